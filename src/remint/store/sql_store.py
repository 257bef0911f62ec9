"""The state database on SQLite or PostgreSQL: each method is one transaction over free functions of this package."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from remint.model.approval import Approval
from remint.model.chain import Link
from remint.model.cost import Timing
from remint.model.dataset import DatasetName
from remint.model.lease import Lease
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ArrivedContent, Head, LogicRecord, Pin, ProvenanceRecord, Release, TableState
from remint.model.run import Run, RunState, StepKind
from remint.model.standing import RunChanges, Standing
from remint.store import (
    approvals,
    arrivals,
    audit_log,
    coverage,
    derived,
    leases,
    ledger,
    projections,
    releases,
    retention,
    runs,
    schema,
    standings,
    timings,
    watermarks,
)
from remint.store.admission import admit
from remint.store.database import Database, connect_to, damage
from remint.store.finish import finish
from remint.store.intent import intend
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

BUSY_TIMEOUT_S = 10.0


def open_store(url: str, root: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> SqlStore:
    """Return the store at ``url``; at first use its folder and tables are made, an older one is migrated.

    Args:
        url: SQLAlchemy URL such as ``sqlite:///.remint/state.db``; a relative path is relative to ``root``.
        root: folder of the project.
        busy_timeout_s: how long a writer waits for another one.

    Raises:
        StoreNewer: a newer remint wrote it; nothing is changed.
        StoreBusy: another process is writing longer than the timeout.
        StoreError: it cannot be opened or made; nothing half-made is left.
    """
    database = connect_to(url, root, busy_timeout_s)
    try:
        schema.prepare(database, root)
    except BaseException:
        database.engine.dispose()
        raise
    return SqlStore(database)


class SqlStore:
    """A ``StoreWriter`` over SQLAlchemy Core. Safe to share between threads; ``close`` it when done."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[str, int] = {}
        """By run, the number of the holder that this store writes as."""
        # Whoever drops a store without closing it leaves no connection behind.
        weakref.finalize(self, database.engine.dispose)

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def __enter__(self) -> SqlStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.writing() as connection:
            schema.lock(connection, self._database.where)
            yield connection

    @contextmanager
    def _writing_for(self, run_id: str) -> Iterator[Connection]:
        """Give a transaction in which nobody else holds the run, or takes it over."""
        with self._writing() as connection:
            leases.require(connection, run_id, self._held.get(run_id, 0))
            yield connection

    def heads(
        self, datasets: Collection[DatasetName], only: Mapping[DatasetName, PartitionSet] | None = None
    ) -> dict[DatasetName, dict[PartitionKey, Head]]:
        with self._database.reading() as connection:
            return ledger.heads(connection, datasets, only)

    def totals(self) -> dict[DatasetName, Totals]:
        with self._database.reading() as connection:
            return ledger.totals(connection)

    def last_record(self) -> tuple[int, str]:
        with self._database.reading() as connection:
            return standings.last_record(connection)

    def changes(self, after_seq: int) -> Iterator[RunChanges]:
        with self._database.reading() as connection:
            yield from standings.changes(connection, after_seq)

    def run_at(self, seq: int) -> str:
        with self._database.reading() as connection:
            return standings.run_at(connection, seq)

    def standings(self) -> dict[DatasetName, Standing]:
        with self._database.reading() as connection:
            return standings.saved(connection)

    def projections(self, dataset: DatasetName, columns: tuple[str, ...], contents: Collection[str]) -> dict[str, str]:
        with self._database.reading() as connection:
            return projections.known(connection, dataset, columns, contents)

    def inputs(self, seqs: Collection[int]) -> dict[int, InputDigests]:
        with self._database.reading() as connection:
            return ledger.inputs(connection, seqs)

    def records(
        self, dataset: DatasetName, keys: Collection[PartitionKey] | None = None, as_of_seq: int | None = None
    ) -> dict[PartitionKey, ProvenanceRecord]:
        with self._database.reading() as connection:
            return ledger.records(connection, dataset, keys, as_of_seq)

    def stored(
        self, dataset: DatasetName, keys: Collection[PartitionKey] | None = None, as_of_seq: int | None = None
    ) -> dict[PartitionKey, StoredRecord]:
        with self._database.reading() as connection:
            return ledger.stored(connection, dataset, keys, as_of_seq)

    def records_after(self, seq: int, dataset: DatasetName | None = None) -> list[StoredRecord]:
        with self._database.reading() as connection:
            return ledger.after(connection, seq, dataset)

    def records_at(self, seqs: Collection[int]) -> dict[int, StoredRecord]:
        with self._database.reading() as connection:
            return ledger.at(connection, seqs)

    def first_seqs(self) -> dict[str, int]:
        with self._database.reading() as connection:
            return ledger.first_seqs(connection)

    def pins(self) -> list[Pin]:
        with self._database.reading() as connection:
            return retention.pins(connection)

    def expired(self, dataset: DatasetName) -> dict[str, str]:
        with self._database.reading() as connection:
            return retention.expired(connection, dataset)

    def retention_base(self, run_id: str) -> RetentionBase:
        with self._database.reading() as connection:
            return retention.base(connection, run_id)

    def paths_ever(self, dataset: DatasetName) -> set[str]:
        with self._database.reading() as connection:
            return ledger.paths_ever(connection, dataset)

    def records_of_run(self, run_id: str) -> list[StoredRecord]:
        with self._database.reading() as connection:
            return ledger.of_run(connection, run_id)

    def previous_record(self, dataset: DatasetName, key: PartitionKey, before_seq: int) -> StoredRecord | None:
        with self._database.reading() as connection:
            return ledger.previous(connection, dataset, key, before_seq)

    def logics(self, datasets: Collection[DatasetName]) -> dict[DatasetName, tuple[LogicRecord, ...]]:
        with self._database.reading() as connection:
            return ledger.logics(connection, datasets)

    def arrivals(self, dataset: DatasetName, only: PartitionSet | None = None) -> dict[PartitionKey, ArrivedContent]:
        with self._database.reading() as connection:
            return arrivals.content(connection, dataset, only)

    def arrival_files(
        self, dataset: DatasetName, event_keys: Collection[PartitionKey], *, rivals: bool = False
    ) -> list[str]:
        with self._database.reading() as connection:
            return arrivals.files(connection, dataset, event_keys, rivals=rivals)

    def countings(self) -> dict[DatasetName, str]:
        with self._database.reading() as connection:
            return arrivals.countings(connection)

    def source_files(self, dataset: DatasetName) -> dict[str, SourceFileRecord]:
        with self._database.reading() as connection:
            return arrivals.source_files(connection, dataset)

    def coverage(self, dataset: DatasetName) -> list[Coverage]:
        with self._database.reading() as connection:
            return coverage.of(connection, dataset)

    def run(self, run_id: str) -> Run:
        with self._database.reading() as connection:
            return runs.named(connection, run_id)

    def runs(self, limit: int, states: Collection[RunState] | None = None) -> list[Run]:
        with self._database.reading() as connection:
            return runs.newest(connection, limit, states)

    def outstanding(self) -> list[Run]:
        with self._database.reading() as connection:
            return runs.outstanding(connection)

    def leases(self) -> dict[str, Lease]:
        with self._database.reading() as connection:
            return leases.every(connection)

    def run_of_plan(self, plan_id: str) -> Run | None:
        with self._database.reading() as connection:
            return runs.of_plan(connection, plan_id)

    def plan_json(self, run_id: str) -> str | None:
        with self._database.reading() as connection:
            return runs.plan_json(connection, run_id)

    def journal(self, run_id: str) -> list[JournalEntry]:
        with self._database.reading() as connection:
            return runs.journal(connection, run_id)

    def steps(self, kinds: Collection[StepKind]) -> Iterator[tuple[str, JournalEntry]]:
        with self._database.reading() as connection:
            yield from runs.steps(connection, kinds)

    def differences(self) -> list[Difference]:
        with self._database.reading() as connection:
            return derived.differences(connection)

    def damage(self) -> list[str]:
        with self._database.reading() as connection:
            return damage(connection)

    def hashed_files(self, dataset: DatasetName) -> dict[str, str]:
        with self._database.reading() as connection:
            return derived.hashed_files(connection, dataset)

    def releases(self) -> list[Release]:
        with self._database.reading() as connection:
            return releases.every(connection)

    def release(self, name: str | None = None) -> Release | None:
        with self._database.reading() as connection:
            if name is None:
                return releases.newest(connection)
            return releases.named(connection, name) or releases.of_run(connection, name)

    def last_seq_of_run(self, run_id: str) -> int | None:
        with self._database.reading() as connection:
            release = releases.of_run(connection, run_id)
            return None if release is None else release.last_seq

    def tables_seen(self) -> dict[DatasetName, TableState]:
        with self._database.reading() as connection:
            return releases.seen(connection)

    def watermarks(self) -> dict[DatasetName, str]:
        with self._database.reading() as connection:
            return watermarks.current(connection)

    def watermark_history(self, dataset: DatasetName) -> list[WatermarkMove]:
        with self._database.reading() as connection:
            return watermarks.history(connection, dataset)

    def audit(self, limit: int) -> list[AuditRecord]:
        with self._database.reading() as connection:
            return audit_log.newest(connection, limit)

    def audit_of(self, run_id: str) -> list[AuditRecord]:
        with self._database.reading() as connection:
            return audit_log.of_run(connection, run_id)

    def audit_chain(self) -> Iterator[Link]:
        with self._database.reading() as connection:
            yield from audit_log.chain(connection)

    def approvals(self, limit: int) -> list[Approval]:
        with self._database.reading() as connection:
            return approvals.newest(connection, limit)

    def approvals_of(self, plan_id: str) -> list[Approval]:
        with self._database.reading() as connection:
            return approvals.of_plan(connection, plan_id)

    def timings(self, datasets: Collection[DatasetName], limit: int) -> dict[DatasetName, tuple[Timing, ...]]:
        with self._database.reading() as connection:
            return timings.newest(connection, datasets, limit)

    def timings_of(self, run_id: str) -> list[Timing]:
        with self._database.reading() as connection:
            return timings.of_run(connection, run_id)

    def create_run(
        self,
        run: Run,
        plan_json: str | None = None,
        audit: AuditEntry | None = None,
        admission: Admission = Admission(),  # noqa: B008 - frozen
    ) -> Run:
        with self._writing() as connection:
            run = admit(connection, run, plan_json, audit, admission)
        if admission.claim:
            self._held[run.run_id] = 1
        return run

    def claim(self, run_id: str, claim: Claim) -> int:
        with self._writing() as connection:
            runs.require_outstanding(runs.exact(connection, run_id))
            held = leases.take(connection, run_id, claim)
        self._held[run_id] = held
        return held

    def held(self, run_id: str) -> int:
        return self._held.get(run_id, 0)

    def require_held(self, run_id: str) -> None:
        with self._database.reading() as connection:
            leases.require(connection, run_id, self.held(run_id))

    def renew(self, run_id: str, at: str, until: str) -> bool:
        with self._writing() as connection:
            return leases.renew(connection, run_id, self.held(run_id), at, until)

    def save_standings(self, found: Mapping[DatasetName, Standing]) -> None:
        with self._writing() as connection:
            standings.save(connection, found)

    def account_for(self, states: Mapping[DatasetName, TableState]) -> None:
        with self._writing() as connection:
            releases.see(connection, states)

    def note_hashed(self, dataset: DatasetName, paths: Collection[str], at: str) -> None:
        with self._writing() as connection:
            derived.note_hashed(connection, dataset, paths, at)

    def remake_derived(self) -> None:
        with self._writing() as connection:
            derived.remake(connection)

    def learn(self, found: Collection[Projection]) -> None:
        with self._writing() as connection:
            projections.append(connection, found)

    def grant(self, approval: Approval, audit: AuditEntry) -> None:
        with self._writing() as connection:
            approvals.grant(connection, approval)
            audit_log.append(connection, audit)

    def log(self, entry: AuditEntry) -> None:
        with self._writing() as connection:
            if entry.run_id in self._held:
                leases.require(connection, entry.run_id, self._held[entry.run_id])
            audit_log.append(connection, entry)

    def journal_append(
        self,
        run_id: str,
        kind: StepKind,
        payload: Mapping[str, Any],
        *,
        timing: Timing | None = None,
        audit: AuditEntry | None = None,
    ) -> int:
        with self._writing_for(run_id) as connection:
            if timing is not None:
                timings.append(connection, timing)
            if audit is not None:
                audit_log.append(connection, audit)
            return runs.append_step(connection, run_id, kind, payload)

    def intend(
        self,
        run_id: str,
        payload: Mapping[str, Any],
        fence: Mapping[UnitKey, int | None],
        newest: Mapping[DatasetName, int],
    ) -> None:
        with self._writing_for(run_id) as connection:
            intend(connection, run_id, payload, fence, newest)

    def set_state(
        self,
        run_id: str,
        to: RunState,
        *,
        error: str | None = None,
        ended_at: str | None = None,
        audit: AuditEntry | None = None,
    ) -> None:
        with self._writing_for(run_id) as connection:
            runs.move(connection, runs.exact(connection, run_id), to, error=error, ended_at=ended_at)
            if audit is not None:
                audit_log.append(connection, audit)

    def finish(self, outcome: Outcome) -> Release:
        with self._writing_for(outcome.run_id) as connection:
            return finish(connection, outcome)

    def pin(self, pin: Pin, needs: Mapping[DatasetName, Collection[str]], audit: AuditEntry) -> None:
        with self._writing() as connection:
            retention.pin(connection, pin, needs)
            audit_log.append(connection, audit)

    def unpin(self, pin_id: str, reason: str, audit: AuditEntry) -> None:
        with self._writing() as connection:
            if retention.unpin(connection, pin_id, reason, audit):
                audit_log.append(connection, audit)

    def expire(self, run_id: str, files: Mapping[DatasetName, Collection[str]], base: RetentionBase) -> None:
        with self._writing_for(run_id) as connection:
            retention.expire(connection, run_id, files, base)

    def abandon(self, run_id: str, audit: AuditEntry, ended_at: str) -> None:
        self.set_state(run_id, RunState.ABANDONED, ended_at=ended_at, audit=audit)
