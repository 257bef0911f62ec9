"""What was published: files, ledger records and the heads that planning compares with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remint.model.dataset import DatasetName
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One immutable Parquet file of a table."""

    path: str
    """Relative to the table's folder, decoded."""
    key: PartitionKey
    rows: int
    size_bytes: int
    sha256: str
    stats: str
    """Delta statistics as JSON: numRecords, minValues, maxValues, nullCount; and fieldIds, where columns have ids."""
    etag: str = ""
    """What an object store called the very bytes that were hashed; empty where it names none, as on a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a table wants its files, and how they name their columns."""

    folder: str = ""
    """Below that of the table; empty where they lie in it."""
    field_ids: Mapping[str, int] = field(default_factory=dict)
    """By column. Where there are any, the files hold the partition columns too; where there are none, names tell
    columns and the folders alone hold the partition's."""


PLAIN = Layout()
"""Files lie in the table's folder, and names tell columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest ledger record of a unit, as planning needs it."""

    seq: int
    key: PartitionKey
    run_id: str
    fingerprint: str
    logic: str
    digest: str
    rows: int
    size_bytes: int

    @property
    def is_missing(self) -> bool:
        """True when a rollback took the unit back to before its first publish."""
        return not self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceRecord:
    """One row of the append-only ledger: what a unit holds since a run, and what it was made from."""

    dataset: DatasetName
    key: PartitionKey
    run_id: str
    fingerprint: str
    """Empty: since this run the unit is absent (rolled back to before its first publish)."""
    logic: str
    inputs: Mapping[str, Mapping[str, str]]
    """For each input alias, the content digest of each upstream key that was read."""
    digest: str
    files: tuple[DataFile, ...]
    table_version: int
    """Table version in which these files were live first; for a confirmed unit, the version it was seen in."""
    published: bool = True
    """False when the recomputed content equalled what was live, so no file was replaced (early cutoff)."""

    @property
    def rows(self) -> int:
        """Rows in the unit."""
        return sum(f.rows for f in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of the unit's files."""
        return sum(f.size_bytes for f in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Rows in one Bronze file that count for one event partition."""

    file: str
    event_key: PartitionKey
    digest: ContentDigest
    is_rival: bool = False
    """The rows name other event partitions, and a version of the same thing names this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedContent:
    """All that has arrived for one event partition: its own rows, and the rivals of those rows."""

    digest: ContentDigest
    files: int
    """Files that hold rows of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicRecord:
    """A logic version that some run published: an entry of the registry of versions."""

    dataset: DatasetName
    number: int
    digest: str
    sql: str
    canonicaliser: str
    old: str
    """What it said about the partitions of the versions before: replace, keep or deprecate."""
    recorded_at: str
    run_id: str
    """The first run that published with it."""


RELEASE_PREFIX = "release-"
"""Ids of releases begin so; the number follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A person's word that the files of a release stay, until it is given up."""

    pin_id: str
    release_id: str
    reason: str
    pinned_by: str
    pinned_at: str
    unpinned_by: str | None = None
    unpinned_at: str | None = None

    @property
    def is_open(self) -> bool:
        """True while nobody gave it up."""
        return self.unpinned_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """A version of a table. The number alone may come back, of a table that was dropped and made anew, or set back."""

    version: int
    table_id: str
    """As the format tells the table from one in its place; empty in states of before it was kept."""
    mark: str
    """What no other version of that number has, as the format says; empty likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A consistent cut over all tables, written in the transaction that ended a run."""

    release_id: str
    run_id: str
    last_seq: int
    """Ledger records up to this one belong to the cut."""
    versions: Mapping[DatasetName, int] = field(default_factory=dict)
    created_at: str = ""
