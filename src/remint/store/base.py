"""The seam to the state database: what can be read from it, what can be written to it, and the values that pass.

Rules: planning is given a ``StoreReader``, so it cannot write. Times are ISO-8601 UTC text that ends in ``Z``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from remint.model.approval import Approval
from remint.model.cost import Timing
from remint.model.dataset import DatasetName, Logic, LogicVersion
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import Arrival, ArrivedContent, Head, LogicRecord, ProvenanceRecord, Release
from remint.model.run import Run, RunState, StepKind
from remint.model.standing import RunChanges, Standing

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to which data, when and why: one line of the reprocessing audit."""

    at: str
    """When the entry was written."""
    action: str
    """``apply``, ``ingest``, ``rollback``, ``adopt``; ``abandon``, ``approve``; ``intend`` and ``publish`` of a forced
    run; ``alert``."""
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
class Admission:
    """What must hold for a run to begin, looked at in the transaction that creates it."""

    needs_approval: tuple[str, ...] = ()
    """In words, why the plan needs one; an open approval is used up. Empty: it needs none."""
    max_running: int | None = None
    """Runs that may be in progress, with this one."""
    begun: Mapping[str, Any] | None = None
    """What an ingest asks for: the first step of its journal. There is no moment at which a run exists without it."""


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
    tables_seen: Mapping[DatasetName, int] = field(default_factory=dict)
    """Table versions that the ledger accounts for from now on."""
    watermarks: Mapping[DatasetName, str] = field(default_factory=dict)
    """Last event key processed; empty for a run whose mode may not move watermarks."""
    cursors: Mapping[DatasetName, CursorMove] = field(default_factory=dict)
    """Cursors at which sources are to be read on; empty for a run whose mode may not move watermarks."""
    coverage: tuple[Coverage, ...] = ()
    rolled_back: tuple[AuditEntry, ...] = ()
    """What the log says about each run that this one undid as a whole; those runs become ``ROLLED_BACK``."""

    def __post_init__(self) -> None:
        named = {r.run_id for r in self.records} | {f.run_id for f in self.source_files} | {self.audit.run_id}
        if named != {self.run_id}:
            raise ValueError(f"the outcome of {self.run_id} speaks for other runs: {sorted(map(str, named))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a dataset holds in all."""

    units: int
    rows: int
    size_bytes: int
    last_run: str


class StoreReader(Protocol):
    """Everything that can be asked of the state database."""

    def heads(
        self, datasets: Collection[DatasetName], only: Mapping[DatasetName, PartitionSet] | None = None
    ) -> dict[DatasetName, dict[PartitionKey, Head]]:
        """Return the newest ledger record of each unit; every dataset asked for is a key, with no units perhaps.

        Args:
            datasets: whose units.
            only: restricts the units of each dataset; one that is no key has none then.
        """
        ...

    def totals(self) -> dict[DatasetName, Totals]:
        """Return what each dataset holds; one of which nothing is published is absent."""
        ...

    def last_record(self) -> tuple[int, str]:
        """Return the sequence number of the newest ledger record and the run that wrote it; 0 and nothing at first."""
        ...

    def changes(self, after_seq: int) -> Iterator[RunChanges]:
        """Yield what each run recorded after a ledger sequence number, in ledger order."""
        ...

    def run_at(self, seq: int) -> str:
        """Return the run that wrote a ledger record; empty when there is no such record."""
        ...

    def standings(self) -> dict[DatasetName, Standing]:
        """Return how datasets stood when that was last saved."""
        ...

    def projections(self, dataset: DatasetName, columns: tuple[str, ...], contents: Collection[str]) -> dict[str, str]:
        """Return, by content digest, the digest over some columns, where it is known."""
        ...

    def inputs(self, seqs: Collection[int]) -> dict[int, InputDigests]:
        """Return, by ledger sequence number, what each record was made from."""
        ...

    def records(
        self, dataset: DatasetName, keys: Collection[PartitionKey] | None = None, as_of_seq: int | None = None
    ) -> dict[PartitionKey, ProvenanceRecord]:
        """Return the newest record of each unit.

        Args:
            dataset: whose units.
            keys: only these units; None for all of them.
            as_of_seq: the newest at or before this ledger sequence number: what was published then.
        """
        ...

    def paths_ever(self, dataset: DatasetName) -> set[str]:
        """Return the path of every file that any ledger record of the dataset names."""
        ...

    def records_of_run(self, run_id: str) -> list[StoredRecord]:
        """Return what a run recorded, in ledger order."""
        ...

    def previous_record(self, dataset: DatasetName, key: PartitionKey, before_seq: int) -> StoredRecord | None:
        """Return the newest record of a unit before a ledger sequence number."""
        ...

    def logics(self, datasets: Collection[DatasetName]) -> dict[DatasetName, tuple[LogicRecord, ...]]:
        """Return the logics that were published, in order of number; every dataset asked for is a key."""
        ...

    def arrivals(self, dataset: DatasetName, only: PartitionSet | None = None) -> dict[PartitionKey, ArrivedContent]:
        """Return all that has arrived, by event key; only for some of them when given.

        Raises:
            StoreError: arrivals were digested under more than one scheme, so their sum means nothing.
        """
        ...

    def arrival_files(
        self, dataset: DatasetName, event_keys: Collection[PartitionKey], *, rivals: bool = False
    ) -> list[str]:
        """Return the Bronze files that hold rows of any of the event keys, or else rivals of such rows, sorted."""
        ...

    def countings(self) -> dict[DatasetName, str]:
        """Return in words how the arrivals of each dataset are counted, once any were recorded."""
        ...

    def source_files(self, dataset: DatasetName) -> dict[str, SourceFileRecord]:
        """Return the newest record of each source file, by URI."""
        ...

    def coverage(self, dataset: DatasetName) -> list[Coverage]:
        """Return what a dataset's source was asked for, oldest first."""
        ...

    def run(self, run_id: str) -> Run:
        """Return a run by its id or by a prefix that only one id has.

        Raises:
            UnknownRun: no run or several; the message names those that come near.
        """
        ...

    def runs(self, limit: int, states: Collection[RunState] | None = None) -> list[Run]:
        """Return runs, newest first, only those in ``states`` when given."""
        ...

    def outstanding(self) -> list[Run]:
        """Return the runs that somebody must end, oldest first."""
        ...

    def run_of_plan(self, plan_id: str) -> Run | None:
        """Return the newest run that applied a plan."""
        ...

    def plan_json(self, run_id: str) -> str | None:
        """Return the plan that a run applies; None when it has none."""
        ...

    def journal(self, run_id: str) -> list[JournalEntry]:
        """Return a run's steps in the order in which they were taken."""
        ...

    def releases(self) -> list[Release]:
        """Return every release, oldest first."""
        ...

    def last_seq_of_run(self, run_id: str) -> int | None:
        """Return the ledger sequence number that a run's release ends with; None when it made no release."""
        ...

    def tables_seen(self) -> dict[DatasetName, int]:
        """Return, by dataset, the last table version that the ledger accounts for."""
        ...

    def watermarks(self) -> dict[DatasetName, str]:
        """Return where each watermark stands; a dataset whose watermark never moved is absent."""
        ...

    def watermark_history(self, dataset: DatasetName) -> list[WatermarkMove]:
        """Return every move of a dataset's watermark, oldest first."""
        ...

    def audit(self, limit: int) -> list[AuditRecord]:
        """Return the newest audit entries, newest first."""
        ...

    def audit_of(self, run_id: str) -> list[AuditRecord]:
        """Return the audit entries about a run, oldest first."""
        ...

    def approvals(self, limit: int) -> list[Approval]:
        """Return approvals, newest first."""
        ...

    def approvals_of(self, plan_id: str) -> list[Approval]:
        """Return the approvals of a plan, oldest first."""
        ...

    def timings(self, datasets: Collection[DatasetName], limit: int) -> dict[DatasetName, tuple[Timing, ...]]:
        """Return what staging took, by dataset, newest first; a dataset that never ran is absent."""
        ...

    def timings_of(self, run_id: str) -> list[Timing]:
        """Return what each step of a run took, in the order in which they were taken."""
        ...


class StoreWriter(StoreReader, Protocol):
    """Everything that can be changed: each method is one durable transaction, all or nothing."""

    def create_run(
        self,
        run: Run,
        plan_json: str | None = None,
        audit: AuditEntry | None = None,
        admission: Admission = Admission(),
    ) -> Run:
        """Record a new run, with the plan that it applies and an audit entry of its start; return it.

        A run that needed an approval comes back with the approver; its audit entry says so too. A forced run's
        intent is logged before its start.

        Raises:
            ApprovalError: the run needs an approval and none is open; nothing is written.
            TooManyRuns: as many runs are in progress as may be; nothing is written.
        """
        ...

    def save_standings(self, standings: Mapping[DatasetName, Standing]) -> None:
        """Keep how datasets stand; one that was saved as of a later ledger record stays."""
        ...

    def learn(self, projections: Collection[Projection]) -> None:
        """Keep digests over columns; those that are known stay."""
        ...

    def grant(self, approval: Approval, audit: AuditEntry) -> None:
        """Record an approval, with the audit entry that says so."""
        ...

    def log(self, entry: AuditEntry) -> None:
        """Append an audit entry that goes with no other change."""
        ...

    def journal_append(
        self,
        run_id: str,
        kind: StepKind,
        payload: Mapping[str, Any],
        *,
        timing: Timing | None = None,
        audit: AuditEntry | None = None,
    ) -> int:
        """Append a step to a run's journal, with what it took and what the log says; durable on return.

        Returns:
            The number of the step.

        Raises:
            UnknownRun: no run has exactly this id.
        """
        ...

    def set_state(
        self,
        run_id: str,
        to: RunState,
        *,
        error: str | None = None,
        ended_at: str | None = None,
        audit: AuditEntry | None = None,
    ) -> None:
        """Move a run to another state and set its error and end as given.

        Raises:
            NotResumable: ``model.run.advance`` does not allow the step; nothing is changed.
        """
        ...

    def finish(self, outcome: Outcome) -> Release:
        """Record the success of a run and return its release; for a run that succeeded before, that release again.

        Raises:
            PublishConflict: a head is not what ``outcome.fence`` expects; nothing is written.
            NotResumable: the run's state cannot become ``SUCCEEDED``; nothing is written.
            StoreError: a watermark would move that may not; nothing is written.
        """
        ...

    def abandon(self, run_id: str, audit: AuditEntry, ended_at: str) -> None:
        """Give a run up before any commit, with the audit entry that says who did and why."""
        ...
