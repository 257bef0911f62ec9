"""The state database on SQLite or PostgreSQL: each method is one transaction over free functions of this package."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from remint.model.approval import Approval
from remint.model.cost import Timing
from remint.model.dataset import DatasetName
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ArrivedContent, Head, LogicRecord, ProvenanceRecord, Release
from remint.model.run import Run, RunState, StepKind
from remint.model.standing import RunChanges, Standing
from remint.store import (
    approvals,
    arrivals,
    audit_log,
    coverage,
    derived,
    ledger,
    projections,
    releases,
    runs,
    schema,
    standings,
    timings,
    watermarks,
)
from remint.store.admission import admit
from remint.store.database import Database, connect_to, damage
from remint.store.finish import finish
from remint.store.values import (
    Admission,
    AuditEntry,
    AuditRecord,
    Coverage,
    Difference,
    InputDigests,
    JournalEntry,
    Outcome,
    Projection,
    SourceFileRecord,
    StoredRecord,
    Totals,
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

    def last_seq_of_run(self, run_id: str) -> int | None:
        with self._database.reading() as connection:
            release = releases.of_run(connection, run_id)
            return None if release is None else release.last_seq

    def tables_seen(self) -> dict[DatasetName, int]:
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
            return admit(connection, run, plan_json, audit, admission)

    def save_standings(self, found: Mapping[DatasetName, Standing]) -> None:
        with self._writing() as connection:
            standings.save(connection, found)

    def account_for(self, versions: Mapping[DatasetName, int]) -> None:
        with self._writing() as connection:
            releases.see(connection, versions)

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
        with self._writing() as connection:
            if timing is not None:
                timings.append(connection, timing)
            if audit is not None:
                audit_log.append(connection, audit)
            return runs.append_step(connection, run_id, kind, payload)

    def set_state(
        self,
        run_id: str,
        to: RunState,
        *,
        error: str | None = None,
        ended_at: str | None = None,
        audit: AuditEntry | None = None,
    ) -> None:
        with self._writing() as connection:
            runs.move(connection, runs.exact(connection, run_id), to, error=error, ended_at=ended_at)
            if audit is not None:
                audit_log.append(connection, audit)

    def finish(self, outcome: Outcome) -> Release:
        with self._writing() as connection:
            return finish(connection, outcome)

    def abandon(self, run_id: str, audit: AuditEntry, ended_at: str) -> None:
        self.set_state(run_id, RunState.ABANDONED, ended_at=ended_at, audit=audit)
