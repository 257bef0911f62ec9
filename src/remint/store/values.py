"""The values that pass between the state database and those who use it.

Rule: times are ISO-8601 UTC text that ends in ``Z``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from remint.model.dataset import DatasetName, Logic, LogicVersion
from remint.model.lease import Holder
from remint.model.partition import PartitionKey
from remint.model.provenance import Arrival, ProvenanceRecord, TableState
from remint.model.run import StepKind

InputDigests = Mapping[str, Mapping[str, str]]
"""For each input alias, the content digest of each upstream key that was read."""

UnitKey = tuple[DatasetName, PartitionKey]
"""One unit: dataset and partition key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A ledger record with its place in the ledger."""

    seq: int
    recorded_at: str
    record: ProvenanceRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One durable step of a run."""

    seq: int
    """Counts from 1 within the run."""
    kind: StepKind
    payload: Mapping[str, Any]
    """JSON data, as it was appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFileRecord:
    """One source file as an ingest run found it, with what became of its rows."""

    dataset: DatasetName
    uri: str
    sha256: str
    size_bytes: int
    mtime_ns: int
    rows_read: int
    rows_added: int
    rows_duplicate: int
    rows_rejected: int
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkMove:
    """One move of a dataset's watermark."""

    dataset: DatasetName
    value: str
    run_id: str
    moved_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorMove:
    """Where a run leaves the cursor of a source; cursors are opaque, so they are set and never compared."""

    began_at: str | None
    """Watermark that the run read when it began; one that moved meanwhile stays, unless the run overrides state."""
    value: str


class CoverageKind(StrEnum):
    """How a source was asked."""

    DAYS = "days"
    """For whole days: ``start`` is the first, ``end`` the day after the last."""
    CURSORS = "cursors"
    """From one cursor to another; an empty ``start`` is the beginning, an empty ``end`` a source that named none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a source was asked for in a run, and how many rows came: none is an answer, too."""

    dataset: DatasetName
    kind: CoverageKind
    start: str
    end: str
    rows: int
    """Rows read: added, known already or rejected."""
    run_id: str


class AuditStatus(StrEnum):
    """How the audited act stood when the entry was written."""

    STARTED = "started"
    SUCCESS = "success"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ABANDONED = "abandoned"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to which data, when and why: one line of the reprocessing audit."""

    at: str
    """When the entry was written."""
    action: str
    """``apply``, ``ingest``, ``rollback``, ``adopt``, ``expire``, ``repair``; ``abandon``, ``waive``, ``approve``;
    ``clean``; ``intend`` and ``publish`` of a forced run; ``resume``, ``withdraw``; ``pin``, ``unpin``; ``alert``."""
    actor: str
    run_id: str | None
    """The reprocessing id; None for an act that is no run."""
    start_time: str | None = None
    end_time: str | None = None
    layer: str = ""
    """Layers written, sorted, with commas: ``gold,silver``."""
    reason: str
    affected_start: str = ""
    """First day that is affected; empty where there is none."""
    affected_end: str = ""
    """The day after the last one affected (half-open)."""
    record_count: int = 0
    status: AuditStatus
    mode: str = ""
    type: str = ""
    """Type of the backfill; empty for what is none."""
    override_state: bool = False
    trigger: str = ""
    datasets: tuple[DatasetName, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Further facts, as JSON data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An audit entry with its place in the log."""

    seq: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Digest of a partition's content over some of its columns; true for ever, because content names itself."""

    dataset: DatasetName
    content: str
    """Digest over all columns."""
    columns: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants to carry out a run."""

    holder: Holder
    at: str
    until: str
    """When the lease lapses unless it is renewed."""
    after_epoch: int = 0
    """Number of the holder that the claimant knows of; if there is another one by now, the claim is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What must hold for a run to begin, looked at in the transaction that creates it."""

    needs_approval: tuple[str, ...] = ()
    """In words, why the plan needs one; an open approval is used up. Empty: it needs none."""
    max_running: int | None = None
    """Runs that may be in progress, with this one."""
    begun: Mapping[str, Any] | None = None
    """What a run without a plan asks for: the first step of its journal. There is no moment at which such a run exists
    without it."""
    claim: Claim | None = None
    """Who carries the run out; there is no moment at which a run exists that nobody holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that the success of a run changes in the store, written as one transaction."""

    run_id: str
    ended_at: str
    audit: AuditEntry
    summary: str = ""
    """JSON, kept with the run."""
    records: tuple[ProvenanceRecord, ...] = ()
    """Appended to the ledger in this order; each becomes the head of its unit."""
    fence: Mapping[UnitKey, int | None] = field(default_factory=dict)
    """Sequence number that the head of each unit must still have; None: the unit must have no record at all."""
    arrivals: Mapping[DatasetName, tuple[Arrival, ...]] = field(default_factory=dict)
    countings: Mapping[DatasetName, str] = field(default_factory=dict)
    """In words, how the arrivals of each Bronze dataset are counted; the same as ever."""
    source_files: tuple[SourceFileRecord, ...] = ()
    read_seq: int | None = None
    """Ledger record after which the run read its inputs; None for a run that made nothing from inputs."""
    logics: Mapping[DatasetName, tuple[Logic, LogicVersion]] = field(default_factory=dict)
    """Logic that the run published with, and its version; recorded where the version was not published before."""
    projections: tuple[Projection, ...] = ()
    """Digests over some columns of what the run made or read."""
    versions: Mapping[DatasetName, int] = field(default_factory=dict)
    """Table versions that the run published; the release carries those of all other tables on."""
    began_again: Mapping[DatasetName, int] = field(default_factory=dict)
    """Of tables that were lost and made anew, the version that the last release names: a higher one than there is."""
    tables_seen: Mapping[DatasetName, TableState] = field(default_factory=dict)
    """States of tables that the ledger accounts for from now on."""
    watermarks: Mapping[DatasetName, str] = field(default_factory=dict)
    """Last event key processed; empty for a run whose mode may not move watermarks."""
    cursors: Mapping[DatasetName, CursorMove] = field(default_factory=dict)
    """Cursors at which sources are to be read on; empty for a run whose mode may not move watermarks."""
    coverage: tuple[Coverage, ...] = ()
    rolled_back: tuple[AuditEntry, ...] = ()
    """What the log says about each run of which this one left nothing; those runs become ``ROLLED_BACK``."""

    def __post_init__(self) -> None:
        named = {r.run_id for r in self.records} | {f.run_id for f in self.source_files} | {self.audit.run_id}
        if named != {self.run_id}:
            raise ValueError(f"the outcome of {self.run_id} speaks for other runs: {sorted(map(str, named))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionBase:
    """What a choice of files to remove rests on: when any of it moved, the choice is made again."""

    last_seq: int
    """Newest ledger record."""
    outstanding: frozenset[str]
    """Runs that somebody must end, but for the one that removes."""
    pins: int
    """Pins that were ever set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row of a derived table that is not what it is derived from."""

    table: str
    dataset: DatasetName
    key: str
    """Partition, event key or content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a dataset holds in all."""

    units: int
    rows: int
    size_bytes: int
    last_run: str
