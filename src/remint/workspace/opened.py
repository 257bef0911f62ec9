"""An opened project: its declarations, its adapters, and the nouns that have verbs of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Self

from remint.errors import LogDamaged
from remint.loading.project import Project, load_project
from remint.loading.settings import credential, find_project
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.request import Ask
from remint.model.run import Run, RunKind, RunState
from remint.planner.policy import Policy
from remint.publishing.lease import started
from remint.publishing.record import Scope, audit_entry
from remint.publishing.tools import Tools, own_folder, timestamp
from remint.store.base import StoreReader
from remint.store.values import Admission, AuditStatus

if TYPE_CHECKING:
    from remint.engines.base import Engine
    from remint.execution.audit_chain import AuditLog
    from remint.execution.reading import Reader
    from remint.execution.retention import Retention
    from remint.execution.rollback import Rollbacks
    from remint.execution.upkeep import Upkeep
    from remint.formats.base import TableFormat
    from remint.storage.base import Storage


def _silent(_: Event) -> None:
    """Announce nothing."""


class OpenedProject:
    """A project, opened: adapters are bound here and nowhere else."""

    _is_reader: ClassVar[bool] = False

    def __init__(
        self,
        root: Path,
        *,
        emit: Callable[[Event], None] = _silent,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: secrets.token_hex(2),
        stopwatch: Callable[[], float] = perf_counter,
    ) -> None:
        """Open the project in ``root``.

        Raises:
            ProjectInvalid: all mistakes of the project.
        """
        self.root = root
        self.only_engine = ""
        """Engine that makes every dataset in this command, whatever is declared; empty: what is declared."""
        self._emit, self._clock, self._new_id, self._stopwatch = emit, clock, new_id, stopwatch
        self.project: Project = load_project(root, keep=not self._is_reader)

    @classmethod
    def find(cls, start: Path, *, emit: Callable[[Event], None] = _silent) -> Self:
        """Open the project that ``start`` lies in."""
        return cls(find_project(start), emit=emit)

    @property
    def graph(self) -> DatasetGraph:
        """The declared datasets."""
        return self.project.graph

    @property
    def policy(self) -> Policy:
        """The project's limits."""
        return self.project.settings.policy

    @property
    def store(self) -> StoreReader:
        """The state, for reading."""
        return self._tools.store

    @cached_property
    def _tools(self) -> Tools:
        from remint.execution.reading import refreshing
        from remint.store.read_only import open_store_to_read
        from remint.store.sql_store import open_store

        settings = self.project.settings
        open_ = open_store_to_read if self._is_reader else open_store
        return Tools(
            store=open_(settings.store_url, self.root, busy_timeout_s=settings.store_wait_s),
            storage=self._storage,
            tables=self._tables(),
            start_engine=cache(self._start_engine),
            root=self.root,
            lake=settings.lake,
            scratch=self._scratch,
            clock=self._clock,
            stopwatch=self._stopwatch,
            emit=refreshing(self._emit, lambda: self.reader),
            lease_seconds=self.policy.lease_seconds,
            credential=credential,
            function_of=self.project.function_of,
        )

    def _tables(self) -> TableFormat:
        settings = self.project.settings
        if settings.format == "iceberg":
            from remint.formats.iceberg import IcebergFormat
            from remint.workspace.catalogs import catalog_of

            at = settings.catalog
            return IcebergFormat(catalog_of(at.kind, at.name, at.url, at.warehouse), self._storage)
        from remint.formats.delta import DeltaFormat

        return DeltaFormat(self._storage)

    @cached_property
    def _storage(self) -> Storage:
        from remint.storage.places import storage_of

        return storage_of(self.project.settings.lake, self._waiting)

    def _waiting(self, words: str) -> None:
        self._emit(Event(kind=EventKind.WAITING, run_id="", detail=words))

    @cached_property
    def _scratch(self) -> Path:
        return own_folder(self) if self._is_reader else self.root / ".remint" / "tmp"

    def _start_engine(self) -> Engine:
        from remint.workspace.engines import start_engine

        return start_engine(self.project, self._scratch, self._storage, self.only_engine)

    def now(self) -> str:
        """Return the time as approvals are compared with it."""
        return timestamp(self._clock())

    def _graph_of(self, run: Run) -> DatasetGraph:
        """Return the datasets as the run knew them: those of its plan; for an ingest, those declared now."""
        from remint.loading.plan_file import read_plan

        while run.of_run:
            run = self.store.run(run.of_run)
        text = self.store.plan_json(run.run_id)
        return DatasetGraph.build(read_plan(text).datasets) if text else self.graph

    def moved_under(self, run: Run) -> tuple[str, ...]:
        """Return in words what has moved since an outstanding run was planned; while any has, it cannot be resumed."""
        from remint.execution.apply import moved_since
        from remint.loading.plan_file import read_plan

        text = self.store.plan_json(run.run_id)
        # What is half published is compared once that run has ended.
        if not text or any(other.state is RunState.PUBLISHING for other in self.store.outstanding()):
            return ()
        try:
            return tuple(moved_since(self._tools, read_plan(text)))
        except LogDamaged:  # mended first
            return ()

    @cached_property
    def reader(self) -> Reader:
        """Reads published data through releases."""
        from remint.execution.reading import Reader

        return Reader(self._tools, self.graph, self.project.settings.views)

    @cached_property
    def audit_log(self) -> AuditLog:
        """Proves that the audit log is what was written."""
        from remint.execution.audit_chain import AuditLog

        return AuditLog(self._tools, self.project.name)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Looks after the project."""
        from remint.execution.upkeep import Upkeep

        return Upkeep(self._tools, self.graph, self._begun, self.project.settings.user, self.moved_under)

    @cached_property
    def rollbacks(self) -> Rollbacks:
        """Takes runs back."""
        from remint.execution.rollback import Rollbacks

        return Rollbacks(self._tools, self.graph, self._graph_of, self.project.settings.user, self._begun)

    @cached_property
    def retention(self) -> Retention:
        """Keeps earlier states, pins them, and removes what nothing holds any more."""
        from remint.execution.retention import Retention

        settings = self.project.settings
        return Retention(self._tools, self.graph, settings.keep_days, settings.user, self._begun, self._new_id)

    def _new_run(self, kind: RunKind, ask: Ask) -> Run:
        now = self._clock()
        return Run(
            run_id=f"r-{now:%Y%m%d-%H%M%S}-{self._new_id()}",
            kind=kind,
            state=RunState.STAGING,
            plan_id=None,
            mode=ask.mode.value,
            override_state=False,
            trigger=ask.trigger.value,
            reason=ask.reason,
            requested_by=self.project.settings.user,
            started_at=timestamp(now),
        )

    @contextmanager
    def _begun(self, kind: RunKind, ask: Ask, of_run: str | None, admission: Admission) -> Iterator[Run]:
        """Record a run that has no plan, and hold it for the body of the ``with``."""
        run = replace(self._new_run(kind, ask), of_run=of_run)
        with self._started(run, None, admission):
            yield run

    def _started(
        self, run: Run, plan_json: str | None = None, admission: Admission | None = None
    ) -> AbstractContextManager[None]:
        admission = admission or Admission()
        entry = audit_entry(run, Scope(detail=admission.begun or {}), AuditStatus.STARTED, run.started_at)
        return started(self._tools, run, plan_json, entry, admission)
