"""The seam to the state database: what can be read from it and what can be written to it.

Rules: planning is given a ``StoreReader``, so it cannot write. Times are ISO-8601 UTC text that ends in ``Z``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from remint.model.approval import Approval
from remint.model.chain import Link
from remint.model.cost import Timing
from remint.model.dataset import DatasetName
from remint.model.lease import Lease
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ArrivedContent, Head, LogicRecord, Pin, ProvenanceRecord, Release, TableState
from remint.model.run import Run, RunState, StepKind
from remint.model.standing import RunChanges, Standing
from remint.store.values import (
    Admission,
    AuditEntry,
    AuditRecord,
    Claim,
    Coverage,
    Difference,
    InputDigests,
    JournalEntry,
    Outcome,
    Projection,
    RetentionBase,
    SourceFileRecord,
    StoredRecord,
    Totals,
    UnitKey,
    WatermarkMove,
)


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

    def stored(
        self, dataset: DatasetName, keys: Collection[PartitionKey] | None = None, as_of_seq: int | None = None
    ) -> dict[PartitionKey, StoredRecord]:
        """Return what ``records`` returns, with the place of each record in the ledger."""
        ...

    def records_after(self, seq: int, dataset: DatasetName | None = None) -> list[StoredRecord]:
        """Return every ledger record after a sequence number, in ledger order; of one dataset when given."""
        ...

    def records_at(self, seqs: Collection[int]) -> dict[int, StoredRecord]:
        """Return ledger records by their sequence numbers."""
        ...

    def first_seqs(self) -> dict[str, int]:
        """Return, by run, the first ledger record of each run that recorded any."""
        ...

    def pins(self) -> list[Pin]:
        """Return every pin that was ever set, oldest first."""
        ...

    def expired(self, dataset: DatasetName) -> dict[str, str]:
        """Return the path of every file of a dataset that was removed, with the run that removed it."""
        ...

    def retention_base(self, run_id: str) -> RetentionBase:
        """Return what a choice of files to remove by ``run_id`` rests on now."""
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
        """Return all that has arrived, by event key; only for some of them when given."""
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

    def leases(self) -> dict[str, Lease]:
        """Return who holds each run, or held it last, by run."""
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

    def steps(self, kinds: Collection[StepKind]) -> Iterator[tuple[str, JournalEntry]]:
        """Yield the steps of some kinds of every run, with its id, in the order in which each took them."""
        ...

    def differences(self) -> list[Difference]:
        """Return where what is derived (heads, totals of arrivals, projections) is not what it is derived from."""
        ...

    def damage(self) -> list[str]:
        """Return in words what the database says is wrong with itself."""
        ...

    def hashed_files(self, dataset: DatasetName) -> dict[str, str]:
        """Return when each file of a dataset was last hashed by doctor, by path."""
        ...

    def releases(self) -> list[Release]:
        """Return every release, oldest first."""
        ...

    def release(self, name: str | None = None) -> Release | None:
        """Return the release of this name, or that a run of exactly this id made, or the last one without a name."""
        ...

    def last_seq_of_run(self, run_id: str) -> int | None:
        """Return the ledger sequence number that a run's release ends with; None when it made no release."""
        ...

    def tables_seen(self) -> dict[DatasetName, TableState]:
        """Return, by dataset, the last state of its table that the ledger accounts for."""
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

    def audit_chain(self) -> Iterator[Link]:
        """Yield every entry of the audit log as it is stored, with its hash, oldest first."""
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
    """Everything that can be changed: each method is one durable transaction, all or nothing.

    What is written for a run is written by its newest holder alone: ``journal_append``, ``intend``, ``set_state``,
    ``finish`` and ``abandon`` raise ``Superseded``, and write nothing, where another writer has claimed the run since.
    """

    def create_run(
        self,
        run: Run,
        plan_json: str | None = None,
        audit: AuditEntry | None = None,
        admission: Admission = Admission(),  # noqa: B008 - frozen
    ) -> Run:
        """Record a new run, with the plan that it applies and an audit entry of its start; return it.

        A run that needed an approval comes back with the approver; its audit entry says so too. A forced run's
        intent is logged before its start.

        Raises:
            ApprovalError: the run needs an approval and none is open; nothing is written.
            TooManyRuns: as many runs are in progress as may be; nothing is written.
            PlanUsed: its plan was applied before; nothing is written.
        """
        ...

    def claim(self, run_id: str, claim: Claim) -> int:
        """Become the newest holder of a run, so that no earlier one can write for it; return the holder's number.

        Raises:
            RunAtWork: somebody else claimed it since the claimant looked; nothing is written.
            NotResumable: the run has ended.
        """
        ...

    def held(self, run_id: str) -> int:
        """Return the number of the holder that this writer is of a run; 0 when it never claimed it."""
        ...

    def require_held(self, run_id: str) -> None:
        """Make sure that nobody claimed a run since this writer did.

        Raises:
            Superseded: somebody did.
        """
        ...

    def renew(self, run_id: str, at: str, until: str) -> bool:
        """Prolong this writer's lease of a run; return whether it is still the newest holder."""
        ...

    def save_standings(self, standings: Mapping[DatasetName, Standing]) -> None:
        """Keep how datasets stand; one that was saved as of a later ledger record stays."""
        ...

    def account_for(self, states: Mapping[DatasetName, TableState]) -> None:
        """Note that every live file of tables in these states holds what the ledger says."""
        ...

    def note_hashed(self, dataset: DatasetName, paths: Collection[str], at: str) -> None:
        """Note that doctor hashed files of a dataset."""
        ...

    def remake_derived(self) -> None:
        """Make heads, totals of arrivals, standings and projections again from the append-only tables."""
        ...

    def learn(self, projections: Collection[Projection]) -> None:
        """Keep digests over columns; those that are known stay."""
        ...

    def grant(self, approval: Approval, audit: AuditEntry) -> None:
        """Record an approval, with the audit entry that says so."""
        ...

    def log(self, entry: AuditEntry) -> None:
        """Append an audit entry that goes with no other change.

        Raises:
            Superseded: it is about a run that this writer claimed, and somebody else claimed it since.
        """
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

    def intend(
        self,
        run_id: str,
        payload: Mapping[str, Any],
        fence: Mapping[UnitKey, int | None],
        newest: Mapping[DatasetName, int],
    ) -> None:
        """Append a run's intent to publish to its journal and move it to ``PUBLISHING``.

        Args:
            run_id: the run.
            payload: of the journal's step; its ``tables`` name their ``dataset``.
            fence: sequence number that the head of each unit must have; None: no record at all.
            newest: sequence number of the newest record that each dataset must have; 0: none.

        Raises:
            PublishConflict: a head or a newest record is another one, or another run is publishing to a dataset of
                ``newest``; nothing is written.
            NotResumable: the run's state cannot become ``PUBLISHING``; nothing is written.
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

    def pin(self, pin: Pin, needs: Mapping[DatasetName, Collection[str]], audit: AuditEntry) -> None:
        """Record that the files of a release stay, with the audit entry that says so.

        Args:
            pin: to be recorded.
            needs: paths of those files, by dataset.
            audit: who pinned it and why.

        Raises:
            PinRefused: one of the files was removed; nothing is written.
        """
        ...

    def unpin(self, pin_id: str, reason: str, audit: AuditEntry) -> None:
        """Record that a pin is given up; one that was given up before stays as it is."""
        ...

    def expire(self, run_id: str, files: Mapping[DatasetName, Collection[str]], base: RetentionBase) -> None:
        """Write down the files that a run is about to remove: in its journal, and as removed for everybody else.

        Raises:
            ExpireRefused: what the choice rests on moved; nothing is written.
        """
        ...

    def abandon(self, run_id: str, audit: AuditEntry, ended_at: str) -> None:
        """Give a run up before any commit, with the audit entry that says who did and why."""
        ...
