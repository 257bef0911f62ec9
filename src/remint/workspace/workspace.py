"""Every verb of a project; those of reading, undoing and upkeep stand with their nouns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from remint.errors import NotResumable
from remint.formats.base import require_usable
from remint.model.approval import Approval
from remint.model.dataset import Dataset, DatasetName
from remint.model.digest import canonical
from remint.model.observation import LogicChange, Observed
from remint.model.partition import DateRange, Lookback, PartitionSet
from remint.model.plan import Plan
from remint.model.request import Ask, Extraction, Request, Trial, UndoRequest
from remint.model.run import OUTSTANDING, Run, RunKind, RunState
from remint.planner.build import build_plan
from remint.planner.cost import NEWEST
from remint.planner.coverage import absent_sources
from remint.planner.policy import windows
from remint.planner.survey import Verdicts, World, survey
from remint.publishing.lease import taken
from remint.publishing.record import log_resumption
from remint.publishing.scheme import require_countings
from remint.publishing.unrecorded import refuse_unrecorded
from remint.store.values import Admission, Totals
from remint.workspace.opened import OpenedProject

if TYPE_CHECKING:
    from remint.execution.account import RunAccount
    from remint.execution.approve import Readiness
    from remint.execution.shadow import Shadow
    from remint.execution.verify import VerifiedUnit
    from remint.execution.waive import Waived
    from remint.model.graph import DatasetGraph
    from remint.planner.compare import PlanDiff
    from remint.planner.undo import Undo
    from remint.planner.versions import Version


@dataclass(frozen=True, slots=True)
class Survey:
    """How things stand."""

    world: World
    verdicts: Mapping[DatasetName, Verdicts]
    """By selected dataset, upstream first; empty verdicts for Bronze."""
    totals: Mapping[DatasetName, Totals]
    absent: Mapping[DatasetName, PartitionSet]
    """By dataset, the days within its history that its source never delivered; only where there are some."""
    deprecated: Mapping[DatasetName, Mapping[int, int]]
    """Partitions of versions that should not be used any more, by dataset and number."""


class Workspace(OpenedProject):
    """Every verb of an opened project that makes, changes or proves partitions."""

    def observe(self, request: Request | None = None) -> Observed:
        """Return the state of the world, read now, close up where ``request`` may plan something."""
        from remint.execution.observe import observe

        return replace(
            observe(self._tools, self.graph, request),
            logic_changes=self._logic_changes(),
            timings=self.store.timings([d.name for d in self.graph], NEWEST),
        )

    def _logic_changes(self) -> Mapping[DatasetName, Mapping[str, LogicChange]]:
        from remint.loading.logic_history import logic_changes

        return logic_changes(self.graph, self.store.logics([d.name for d in self.graph]))

    def make_plan(
        self, request: Request, *, allow_all: bool = False, allow_future: bool = False, allow_absent: bool = False
    ) -> Plan:
        """Return what to do about ``request``, unsaved.

        Raises:
            PlanError: it cannot be planned, or may not be done.
            TableUnusable: a run could not write to a table as it is.
        """
        require_countings(self._tools, self.graph)
        policy = replace(self.policy, allow_all=allow_all, allow_future=allow_future, allow_absent=allow_absent)
        world = World(project=self.project.name, graph=self.graph, observed=self.observe(request))
        plan = build_plan(request, world, policy, self._clock())
        for name in sorted({step.dataset for batch in plan.batches for step in batch.steps}):
            table = self._tools.table(self.graph[name])
            require_usable(table, self._tools.tables.unusable(table))
        return plan

    def lookback(self, length: timedelta) -> Lookback:
        """Return the ``length`` of time up to now, as a range to ask for."""
        return Lookback.before(self._clock(), length)

    def windows(
        self,
        request: Request,
        days: int,
        *,
        allow_all: bool = False,
        allow_future: bool = False,
        allow_absent: bool = False,
    ) -> tuple[Request, ...]:
        """Return one request for every ``days`` days of the request's range that hold any partition."""
        policy = replace(self.policy, allow_all=allow_all, allow_future=allow_future, allow_absent=allow_absent)
        held = World(project=self.project.name, graph=self.graph, observed=self.observe()).units
        return windows(request, self.graph, held, days, policy=policy, now=self._clock())

    def compare_plan(self, saved: Plan, new: Plan) -> PlanDiff:
        """Return what ``new`` does otherwise than ``saved``, and what moved since that was made."""
        from remint.execution.apply import moved_since
        from remint.planner.compare import compare_plans

        return compare_plans(saved, new, moved_since(self._tools, saved))

    def survey(self, selectors: Sequence[str]) -> Survey:
        """Return how every selected dataset stands; unlike a plan it is never refused, and has no reasons in words."""
        from remint.execution.observe import observe
        from remint.execution.versions import deprecated

        world = World(project=self.project.name, graph=self.graph, observed=observe(self._tools, self.graph))
        verdicts = survey(Request(selectors=tuple(selectors), requested_by=self.project.settings.user), world)
        chosen = self.graph.select(selectors)
        found = {n: verdicts.get(n, Verdicts([], [], self.graph[n].no_units())) for n in chosen}
        absent = absent_sources(self.graph, world.observed, chosen)
        return Survey(world, found, self.store.totals(), absent, deprecated(self.graph, world.observed, chosen))

    def save_plan(self, plan: Plan) -> Path:
        """Write the plan where ``apply`` finds it, and return the file."""
        from remint.loading.plan_file import write_plan

        return write_plan(plan, self.root / ".remint" / "plans")

    def load_plan(self, plan_id: str) -> Plan:
        """Return a saved plan by id or by file.

        Raises:
            UnknownPlan: there is none, or the file does not hold what its id says.
        """
        from remint.loading.plan_file import find_plan

        return find_plan(plan_id, self.root / ".remint" / "plans")

    def apply(self, plan: Plan) -> Run:
        """Carry out a plan and return its run.

        Raises:
            PlanUsed: the plan was applied before.
            PolicyRefused: a rule refuses it, or its start now.
            ApprovalError: it needs the approval of a second person, and none is open.
            PlanOutdated: what it reads or replaces has moved; no run was made.
        """
        from remint.execution.alerts import watched
        from remint.execution.apply import check_plan, run_plan
        from remint.execution.approve import admission, refuse_used
        from remint.loading.plan_file import plan_text

        refuse_used(self._tools, plan)
        check_plan(self._tools, plan)
        asked = plan.request
        run = self._new_run(RunKind.APPLY, Ask(reason=asked.reason, trigger=asked.trigger, mode=asked.mode))
        run = replace(run, plan_id=plan.plan_id, type=asked.type or "", requested_by=asked.requested_by)
        run = replace(run, override_state=bool(asked.override_state))
        admitted = admission(self._tools, plan, self.policy, self._clock())
        with (
            self._started(run, plan_text(plan), admitted),
            watched(self._tools, plan, run.run_id, self.policy.sla_seconds),
        ):
            run_plan(self._tools, plan, run.run_id)
        return self.store.run(run.run_id)

    def approve(self, plan: Plan, approver: str, reason: str, good_for: timedelta) -> Approval:
        """Record that ``approver`` consents to one run of ``plan``, for a while.

        Raises:
            ApprovalBySamePerson: the approver asked for the plan.
            PlanUsed: it was applied already.
        """
        from remint.execution.approve import approve, new_approval

        now = self._clock()
        approval_id = f"a-{now:%Y%m%d-%H%M%S}-{self._new_id()}"
        approval = new_approval(plan, approver, reason, approval_id, (now, now + good_for))
        approve(self._tools, plan, approval)
        return approval

    def readiness(self, plan: Plan) -> Readiness:
        """Return what ``plan`` waits for before it can be applied, as of now."""
        from remint.execution.approve import readiness

        return readiness(self._tools, plan, self.policy, self._clock())

    def owners(self, plan: Plan) -> dict[str, list[DatasetName]]:
        """Return whom ``plan`` concerns: by owner, the datasets that will or may change, upstream first."""
        found: dict[str, list[DatasetName]] = {}
        for name in plan.units:
            if owner := self.project.owners.get(name):
                found.setdefault(owner, []).append(name)
        return found

    def account(self, run: Run) -> RunAccount:
        """Return what a run did and took, against what its plan expected."""
        from remint.execution.account import account
        from remint.loading.plan_file import read_plan

        text = self.store.plan_json(run.run_id)
        return account(self.store, run, read_plan(text) if text else None, self.policy.prices)

    def ingest(self, names: Sequence[str], ask: Ask, extraction: Extraction | None = None) -> Run | None:
        """Ingest new files and pages of the named Bronze datasets (all without names); None when nothing is to be read.

        Args:
            names: as ``remint ingest`` takes them.
            ask: who asks and why; its mode is the extraction's where one is given.
            extraction: what pages to read; None reads on from the watermarks.
        """
        from remint.ingestion.extraction import refuse_extraction, require_credentials
        from remint.ingestion.ingest import Begun, pending_files, require_tables, run_ingest

        asked = extraction or Extraction(mode=ask.mode)
        chosen = [self.graph[n] for n in self.graph.select(names)]
        refuse_extraction(chosen, asked, self._clock())
        begun = Begun.of(chosen, asked, self.store.watermarks())
        pending = pending_files(self._tools, self.graph, begun)
        if not pending and not begun.windows:
            return None
        require_credentials(self._tools, chosen)
        require_countings(self._tools, self.graph)
        refuse_unrecorded(self._tools, chosen)
        require_tables(self._tools, self.graph, [d for d in chosen if d.source])
        run = self._new_run(RunKind.INGEST, replace(ask, mode=asked.mode))
        run = replace(run, override_state=asked.override_state, type=asked.type or "")
        with self._started(run, None, Admission(begun=canonical(begun))):
            run_ingest(self._tools, self.graph, run.run_id, pending)
        return self.store.run(run.run_id)

    def resume(self, run_id: str, *, take_over: bool = False) -> Run:
        """Continue an outstanding run to its end, ``take_over`` also from a process that seems to be at work on it.

        Raises:
            NotResumable: the run has ended.
            Unfinishable: what it is about to publish is gone or damaged.
            PlanOutdated: what it reads or replaces has moved since it was planned; it can only be given up.
            RunAtWork: a process is at work on it.
        """
        from remint.execution.adopt import resume_adopt
        from remint.execution.alerts import watched
        from remint.execution.apply import check_plan, run_plan
        from remint.execution.reingest import restage
        from remint.ingestion.ingest import begun_of, pending_files, require_tables, run_ingest
        from remint.loading.plan_file import read_plan
        from remint.publishing.publish import mend_tables, require_finishable

        run = self.store.run(run_id)
        if run.kind in (RunKind.ADOPT, RunKind.REPAIR) and run.state in OUTSTANDING - {RunState.PUBLISHING}:
            raise NotResumable(
                f"run {run.run_id} was interrupted before it {run.kind}ed anything",
                hint=f'remint rollback {run.run_id} --reason "..."    # gives it up; then {run.kind} again',
            )
        with taken(self._tools, run.run_id, take_over=take_over):
            if run.kind is RunKind.APPLY and run.state is not RunState.PUBLISHING:
                check_plan(self._tools, read_plan(self.store.plan_json(run.run_id) or ""), run.run_id)
            log_resumption(self._tools, run, self.project.settings.user)
            if run.state is RunState.PUBLISHING:
                graph = self._graph_to_end(run)
                mend_tables(self._tools, graph, run.run_id)
                if run.kind is RunKind.INGEST:
                    restage(self._tools, graph, run.run_id)
                require_finishable(self._tools, graph, run.run_id)
            if run.kind is RunKind.APPLY:
                plan = read_plan(self.store.plan_json(run.run_id) or "")
                with watched(self._tools, plan, run.run_id, self.policy.sla_seconds):
                    run_plan(self._tools, plan, run.run_id)
            elif run.kind is RunKind.INGEST:
                begun = begun_of(self._tools, run.run_id)
                if run.state is not RunState.PUBLISHING:
                    require_tables(
                        self._tools, self.graph, [d for d in self.graph if d.source and d.name in begun.datasets]
                    )
                run_ingest(self._tools, self.graph, run.run_id, pending_files(self._tools, self.graph, begun))
            elif run.kind is RunKind.ADOPT:
                resume_adopt(self._tools, self._graph_of(run), run.run_id)
            elif run.kind is RunKind.EXPIRE:
                self.retention.resume(run.run_id)
            else:
                self.rollbacks.resume(run.run_id)
        return self.store.run(run.run_id)

    def rollback(
        self, run_id: str, ask: Ask, request: UndoRequest | None = None, *, take_over: bool = False
    ) -> tuple[Run, Undo]:
        """Undo a run, or what ``request`` names of it, or give up one that published nothing; say what was touched.

        Raises:
            RollbackRefused: it could not be exact; nothing changed.
            RunAtWork: a process is at work on the run that would be given up; ``take_over`` ends that.
        """
        return self.rollbacks.roll_back(run_id, ask, request or UndoRequest(), take_over=take_over)

    def waive(self, run_id: str, reason: str, *, take_over: bool = False) -> Waived:
        """Let an outstanding run be: what it committed is taken back where that goes; ``status`` shows it no more.

        Raises:
            WaiveRefused: it has ended, or can be brought to its end.
            RunAtWork: a process is at work on it.
        """
        from remint.execution.waive import check_waive, waive

        run = self.store.run(run_id)
        graph = self._graph_to_end(run)
        check_waive(self._tools, graph, run)
        with taken(self._tools, run.run_id, take_over=take_over):
            return waive(self._tools, graph, self.store.run(run.run_id), self.project.settings.user, reason)

    def _graph_to_end(self, run: Run) -> DatasetGraph:
        """Return every dataset that an interrupted run may be about."""
        return self.rollbacks.graph_for(run) if run.kind is RunKind.ROLLBACK else self._graph_of(run)

    def adopt(self, name: str, ask: Ask, span: DateRange | None = None, *, compact: bool = False) -> Run | None:
        """Take partitions that somebody else wrote as they are; None when there is none.

        Args:
            name: one dataset, whose table may never have been published by remint.
            ask: who vouches for them, and why.
            span: only these partitions.
            compact: write partitions anew whose files do not hold just their rows.

        Raises:
            AdoptRefused: the table or a partition cannot be taken; nothing changed.
        """
        from remint.execution.adopt import find_adoptable, run_adopt
        from remint.planner.policy import refuse_recut, refuse_unversioned

        dataset = self.graph.find(name)
        found = find_adoptable(self._tools, self.graph, dataset, span, compact=compact)
        if found is None:
            return None
        observed = replace(found.observed, logic_changes=self._logic_changes())
        refuse_recut(self.graph, observed, (dataset.name,))
        refuse_unversioned(self.graph, observed, (dataset.name,))
        run = self._new_run(RunKind.ADOPT, ask)
        with self._started(run):
            run_adopt(self._tools, self.graph, run.run_id, found)
        return self.store.run(run.run_id)

    def cuts_of(self, run_id: str) -> tuple[int, int, list[Dataset]]:
        """Return the ledger before and after a run, and the datasets that it recorded, as declared then."""
        run = self.store.run(run_id)
        stored = self.store.records_of_run(run.run_id)
        if not stored:
            raise NotResumable(f"run {run.run_id} is {run.state} and published nothing to compare")
        names = {s.record.dataset for s in stored}
        return stored[0].seq - 1, stored[-1].seq, [d for d in self._graph_of(run) if d.name in names]

    def verify(
        self,
        selectors: Sequence[str],
        *,
        size: int,
        span: DateRange | None = None,
        ways: Collection[str] = ("alone", "batch"),
    ) -> list[VerifiedUnit]:
        """Recompute a sample of ``size`` units of each selected dataset, or all of a range, and compare.

        Args:
            selectors: datasets.
            size: most units of each.
            span: all units of it instead of a sample.
            ways: each ``alone``, all of a dataset in one ``batch``, or both.
        """
        from remint.execution.verify import Sample, Way, prove

        require_countings(self._tools, self.graph)
        sample = Sample(names=self.graph.select(selectors), size=size, span=span)
        folder = self._scratch.resolve() / f"verify-{self._new_id()}"
        return prove(self._tools, self.graph, sample, frozenset(map(Way, ways)), folder)

    def shadow(self, trial: Trial) -> Shadow:
        """Compute the declared logic of the selected datasets in a window, beside the tables, and compare."""
        from remint.execution.shadow import shadow

        folder = self._scratch.resolve() / f"shadow-{self._clock():%Y%m%d-%H%M%S}-{self._new_id()}"
        return shadow(self._tools, self.graph, trial, folder, batch_rows=self.policy.batch_rows)

    def versions(self, selectors: Sequence[str] = ()) -> list[Version]:
        """Return the registry of logic versions of the selected datasets, with what is declared and not out yet."""
        from remint.execution.versions import registry
        from remint.loading.logic_history import version_changes

        return registry(self._tools, self.graph, self.graph.select(selectors), version_changes)


class ReadingWorkspace(Workspace):
    """A project, opened so that nothing of it is written, not even by who may."""

    _is_reader = True
