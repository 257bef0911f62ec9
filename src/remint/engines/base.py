"""The seam to engines: run a transform over pinned files, write staged Parquet with digests, answer queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from remint.model.dataset import Column, Dataset
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey, PartitionSet, PartitionSpec
from remint.model.provenance import PLAIN, Arrival, DataFile, Layout

T = TypeVar("T")


Names = tuple[tuple[str, str], ...]
"""Declared columns, each with its name in a file; empty where what the file calls so is another column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Pinned files of one table, read as one relation with the declared columns."""

    root: str
    """Absolute folder of the table."""
    paths: tuple[str, ...]
    """Relative to ``root``, or absolute; empty reads as a relation without rows."""
    columns: tuple[Column, ...]
    partition: PartitionSpec
    only: PartitionSet | None = None
    """Rows whose ``only_column`` falls in these keys, pushed into the innermost scan; None: all rows of the files."""
    only_column: str = ""
    """Column of ``only``: DATE or TIMESTAMPTZ."""
    only_label: str = ""
    """Column of the values in ``only``."""
    key: tuple[str, ...] = ()
    """Rows that are equal in these columns are versions of one thing, in ``only`` or not; empty: none are."""
    rivals: tuple[str, ...] = ()
    """Files, like ``paths``, with rows outside of ``only`` whose ``key`` occurs in it: those rows are read too."""
    size_bytes: int = 0
    """Of all of these files; 0 where nobody asked."""
    renamed: tuple[tuple[str, Names], ...] = ()
    """Files among them that hold columns under other names than declared."""
    is_whole: bool = False
    """The files hold every column, so that no folder's name is read for one: writers spell those as they like."""


class UserFunction(Protocol):
    """A transform that is a function of the project over Arrow tables."""

    @property
    def place(self) -> str:
        """``datasets.py:12``, where the function is defined."""
        ...

    def run(self, tables: Mapping[str, Any], take: Callable[[Any], T]) -> T:
        """Return what ``take`` makes of the function's result for ``tables``, which are named by parameter.

        Raises:
            TransformFailed: user code raised, or ``take`` refused what it returned.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where rows are written, and how their files name them."""

    root: str
    """Absolute folder of the table."""
    spec: PartitionSpec
    token: str
    """Unique part of the file names."""
    layout: Layout = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWork:
    """One dataset's units of one batch, to be made by one query or one call."""

    dataset: Dataset
    keys: PartitionSet
    inputs: Mapping[str, Scan]
    """By the alias under which the transform reads."""
    context: PartitionSet
    """Keys that are read beside the units' own (trailing windows); the transform's rows for them are dropped."""
    root: str
    """Absolute folder of the table; files are written where the table wants them, named in no table version."""
    token: str
    """Unique part of the file names: run, batch and dataset."""
    layout: Layout = PLAIN
    now: str = ""
    """ISO UTC time that ``run.now`` stands for in the SQL: when the plan was made."""
    function: UserFunction | None = None
    """Makes the rows in the place of SQL."""

    @property
    def target(self) -> Target:
        """Where the rows go."""
        return Target(root=self.root, spec=self.dataset.partition, token=self.token, layout=self.layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What one staging query wrote, read back from its files."""

    files: tuple[DataFile, ...]
    digests: Mapping[PartitionKey, ContentDigest]
    """For every unit asked for: a unit without rows has the empty digest and no file."""
    projections: Mapping[tuple[str, ...], Mapping[PartitionKey, ContentDigest]]
    """The same over each set of columns in ``Dataset.read_as``."""
    violations: Mapping[str, Mapping[PartitionKey, int]]
    """By check name, the rows that break it, by partition; only checks that are broken."""
    strays: Mapping[PartitionKey, int]
    """Rows that left their partition: written under a key that was not asked for."""
    rows_read: int
    """Input rows of the batch, counted where the dataset parses, else 0."""
    rows_read_by_unit: int
    """The same, a row counted once for each event partition asked for that its key occurs in."""
    rows_rejected: int
    """Rows that parsing rejected (they are the quarantine's)."""
    rows_superseded: int
    """Rows that lost to a later row of their key."""
    rows_elsewhere: int
    """Rows that came out for the partition of a rival, whose own unit publishes them; counted where it parses."""

    @property
    def rows(self) -> int:
        """Rows written."""
        return sum(f.rows for f in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestWork:
    """One fetched source file, to be turned into Bronze and quarantine files."""

    dataset: Dataset
    """Bronze; its columns, key, partition, arrivals and source say how to read the file."""
    quarantine: Dataset
    path: str
    """Local, decompressed, UTF-8 where it is text."""
    uri: str
    """As it is named in quarantine rows and messages."""
    known: Scan
    """Bronze files that may hold the same keys."""
    ingested_at: str
    """ISO UTC time of the run."""
    root: str
    quarantine_root: str
    token: str
    layout: Layout = PLAIN
    """Of Bronze."""
    quarantine_layout: Layout = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What one source file became; ``rows_read == rows_added + rows_duplicate + rows_rejected``."""

    files: tuple[DataFile, ...]
    quarantine_files: tuple[DataFile, ...]
    digests: Mapping[str, ContentDigest]
    """Content of each written file, Bronze and quarantine, by path."""
    arrivals: tuple[Arrival, ...]
    rows_read: int
    rows_added: int
    rows_duplicate: int
    rows_rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Rows of two relations compared by key."""

    added: int
    removed: int
    changed: int
    changed_columns: Mapping[str, int]
    """By column, in how many of the changed rows it differs."""
    sample: Sequence[Mapping[str, Any]]
    """A few differing rows: key columns, ``change``, and the other columns; for a changed row those that differ, as
    before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The answer to a query."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    truncated: bool = False


class Maker(Protocol):
    """What makes datasets: it reads pinned files and writes staged ones; it never touches a table's log."""

    name: str

    def start_for(self, works: Iterable[StageWork]) -> None:
        """Start what does this work: asked before anything is written, so that nothing is half done without it.

        Args:
            works: of each dataset, with inputs that name no file yet.

        Raises:
            EngineUnavailable: it is not installed, or does not start.
            TransformFailed, SchemaMismatch: it cannot do the work, whatever the inputs hold.
        """
        ...

    @property
    def digest_scheme(self) -> str:
        """Name of the row hash that its digests are made of."""
        ...

    def stage(self, work: StageWork) -> Staged:
        """Run the transform and write its units as Parquet files.

        Raises:
            TransformFailed: the SQL or the function does not run.
            SchemaMismatch: the result's columns are not the contract's.
            TieInKeep: ``keep`` cannot tell which row of a key is the latest.
        """
        ...

    def recompute(self, work: StageWork) -> Mapping[PartitionKey, ContentDigest]:
        """Return the digests that ``stage`` would give, writing nothing."""
        ...

    def digests(self, scan: Scan, columns: Sequence[str] | None = None) -> Mapping[PartitionKey, ContentDigest]:
        """Return the content digest of each partition of published files, over ``columns`` or all of them."""
        ...

    def file_digests(
        self, dataset: Dataset, scan: Scan, *, by_event: bool
    ) -> Mapping[tuple[str, PartitionKey], ContentDigest]:
        """Return the content digest of each file, by path and key: of its partition, or of the event (Bronze)."""
        ...

    def forget(self) -> None:
        """Drop what was kept between the steps of a batch (parsed inputs)."""
        ...


class Engine(Maker, Protocol):
    """What a command has: it makes every dataset, looks at single files, and answers people."""

    def maker_of(self, work: StageWork) -> str:
        """Return the name of the engine that does a piece of work: its own, but for several engines as one."""
        ...

    def ingest(self, work: IngestWork) -> Ingested:
        """Turn one source file into Bronze and quarantine files.

        Raises:
            SourceRejected: the file as a whole is not what its format says.
        """
        ...

    def write(self, rows: Any, columns: Sequence[Column], target: Target) -> list[DataFile]:
        """Write a stream of Arrow record batches as files of the target, in the given columns and types, by path.

        Raises:
            TransformFailed: a value does not fit its type, or rows have a partition value that no unit can have.
        """
        ...

    def rivals(self, dataset: Dataset, known: Scan, new: Scan) -> tuple[Arrival, ...]:
        """Return which rows count for other event partitions than their own, now that Bronze holds ``new`` too.

        Args:
            dataset: Bronze, whose arrivals have a key.
            known: what it held before, of which all that is returned here was returned before.
            new: files that are added.

        Returns:
            One entry for each file of either and each event partition that a version of one of its rows names; never
            a row for a partition for which it counted before.
        """
        ...

    def compare(self, before: Scan, after: Scan, key: Sequence[str], sample: int) -> Comparison:
        """Return what differs between two states of a table, row by row."""
        ...

    def query(self, sql: str, scans: Mapping[str, Scan], limit: int) -> Rows:
        """Run one read-only SELECT over named relations.

        Raises:
            RefusedQuery: it is not one SELECT, or it fails.
        """
        ...

    def arrow(self, sql: str, scans: Mapping[str, Scan]) -> Any:
        """Run one read-only SELECT over named relations and return all of its rows as an Arrow table.

        Raises:
            RefusedQuery: it is not one SELECT, or it fails.
        """
        ...

    def connection(self, scans: Mapping[str, Scan]) -> Any:
        """Return a connection of the engine's own kind, for the caller alone, in which every scan is a view."""
        ...

    def write_views(self, path: Path, scans: Mapping[str, Scan], about: Mapping[str, str]) -> None:
        """Write the scans as views to a new file that the engine can read elsewhere.

        Args:
            path: must not exist; its suffix says whether it becomes a script or a database.
            scans: by the name of the view.
            about: what the file says about itself, in a view of its own and in words.

        Raises:
            ReadError: the file cannot be written.
        """
        ...


def quoted(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier: the one place where identifiers are quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as a SQL string literal: the one place where values are quoted."""
    return "'" + text.replace("'", "''") + "'"
