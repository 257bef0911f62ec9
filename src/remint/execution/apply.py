"""Apply a plan: stage and audit every batch, then publish all tables, then record it in one transaction.

Rules: the plan says everything; nothing is visible before every check of every batch has passed; the journal holds
each finished step, so ``resume`` redoes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from remint.checks.judge import Verdict
from remint.errors import PlanOutdated
from remint.execution.audit import audit
from remint.execution.observe import observe_units
from remint.execution.stage import StagedUnit, Workpiece, from_payload, outline, to_payload
from remint.execution.timing import Watch, timed
from remint.model.dataset import Dataset, DatasetName, Logic, LogicVersion
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.observation import Observed
from remint.model.partition import Grain, PartitionKey, PartitionSet, gathered, split_key
from remint.model.plan import Plan, Requirement, Step
from remint.model.provenance import DataFile, ProvenanceRecord
from remint.model.request import Mode
from remint.model.run import RunState, Stage, StepKind
from remint.model.standing import RunChanges
from remint.model.wording import counted
from remint.planner.policy import refuse_unsettled
from remint.publishing.leftovers import leftovers, token
from remint.publishing.publish import (
    TableChange,
    found_file,
    intend,
    intended,
    intended_fence,
    publish_tables,
    record_success,
)
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.store.values import AuditStatus, Outcome, Projection


def run_plan(tools: Tools, plan: Plan, run_id: str) -> None:
    """Carry out ``plan`` under an existing run, from wherever its journal says it stands.

    Raises:
        PlanOutdated: what the plan reads or replaces is not as it was planned; nothing changed.
        ChecksFailed: a blocking check failed; nothing changed, the run is outstanding.
        RemintError: the run stopped for another reason; its journal says how far it came.
    """
    graph = DatasetGraph.build(plan.datasets)
    state = tools.store.run(run_id).state
    if state is RunState.FAILED:
        tools.store.set_state(run_id, RunState.STAGING)
    try:
        piece = _workpiece(tools, graph, plan, run_id, state)
        if state is not RunState.PUBLISHING:
            _require(tools, plan, piece.observed, run_id)
            _stage_batches(plan, piece)
            intend(tools, run_id, list(_changes(piece)), _fence(piece))
        _publish(plan, piece)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _workpiece(tools: Tools, graph: DatasetGraph, plan: Plan, run_id: str, state: RunState) -> Workpiece:
    piece = Workpiece(
        tools=tools,
        graph=graph,
        observed=observe_units(tools, graph, plan.units),
        certain=plan.action_units(certain=True),
        run_id=run_id,
        now=plan.created_at.isoformat(),
    )
    for entry in tools.store.journal(run_id):
        if entry.kind is StepKind.STAGED:
            name, units = entry.payload["dataset"], from_payload(entry.payload["units"])
            if state is not RunState.PUBLISHING:
                piece.prove(graph[name], [f for u in units if not u.is_confirmed for f in u.files])
            piece.add(name, _confirmed_again(tools, name, units))
    return piece


def _confirmed_again(tools: Tools, name: DatasetName, units: list[StagedUnit]) -> list[StagedUnit]:
    """Return staged units; of those whose content was live, with the files that hold it now.

    Since they were staged, other runs may have put the same content into other files, for example by a rollback.
    """
    live = tools.store.records(name, [u.key for u in units if u.is_confirmed])
    return [
        replace(u, files=live[u.key].files) if u.is_confirmed and live[u.key].digest == u.digest else u for u in units
    ]


def check_plan(tools: Tools, plan: Plan, run_id: str = "") -> None:
    """Refuse a plan that no longer fits, before a run is made of it, or before ``run_id`` goes on with it.

    Raises:
        PlanOutdated: lists what moved.
        PythonChanged: a function that it would call is not the one that was planned.
        EngineUnavailable: what would make a dataset is not there.
    """
    _require(tools, plan, observe_units(tools, DatasetGraph.build(plan.datasets), {}), run_id)


def moved_since(tools: Tools, plan: Plan) -> list[str]:
    """Return in words what the plan reads or replaces and what has moved since it was made."""
    return _all_moved(tools, plan, observe_units(tools, DatasetGraph.build(plan.datasets), {}))


def _require(tools: Tools, plan: Plan, observed: Observed, run_id: str) -> None:
    """Stop when anything that the plan reads or replaces has moved since it was made; other moves do not matter."""
    graph = DatasetGraph.build(plan.datasets)
    refuse_unsettled(graph, observed)
    moved = _all_moved(tools, plan, observed)
    if moved:
        raise PlanOutdated(plan.plan_id, moved, run_id)
    made = gathered((step.dataset, step.keys) for batch in plan.batches for step in batch.steps)
    for name in made:
        tools.tables.prepare(tools.table(graph[name]))
    now = plan.created_at.isoformat()
    tools.engine.start_for([outline(tools, graph, graph[name], keys, now) for name, keys in made.items()])


def _logics(piece: Workpiece) -> Iterable[tuple[DatasetName, tuple[Logic, LogicVersion]]]:
    for name in piece.staged:
        dataset = piece.graph[name]
        if dataset.transform is not None and dataset.quarantine_of is None:
            yield name, (dataset.transform.logic, dataset.version)


def _all_moved(tools: Tools, plan: Plan, observed: Observed) -> list[str]:
    if plan.as_of_seq and tools.store.run_at(plan.as_of_seq) != plan.as_of_run:
        return [f"the ledger: record {plan.as_of_seq} is not of run {plan.as_of_run}"]
    later = list(tools.store.changes(plan.as_of_seq))
    lines = [line for need in plan.requirements for line in _moved(tools, plan, need, later, observed)]
    # Looked at before anything is committed: the registry would refuse it when the tables are published already.
    for dataset in (d for d in plan.datasets if d.transform and d.quarantine_of is None and d.name in plan.units):
        taken = {r.number: r for r in observed.logics.get(dataset.name, ())}.get(dataset.version.number)
        if taken and taken.digest != dataset.logic_digest:
            lines.append(
                f"{dataset.name}: version {taken.number} was published with another logic by run {taken.run_id}"
            )
    return lines


def _moved(tools: Tools, plan: Plan, need: Requirement, later: list[RunChanges], observed: Observed) -> Iterable[str]:
    """Yield in words what is not as the plan requires: which partition, and whose run or commit it was."""
    keys = need.keys
    last: dict[PartitionKey, str] = {}
    for run in later:
        changed = (run.arrived if need.arrived else run.changed).get(need.dataset, ())
        last.update((key, run.run_id) for key in changed if key in keys)
    then = {} if need.arrived or not last else tools.store.records(need.dataset, list(last), plan.as_of_seq)
    now = {} if need.arrived or not last else tools.store.records(need.dataset, list(last))
    for key, run_id in sorted(last.items()):
        if need.arrived:
            yield f"{need.dataset} {key}: more rows arrived by run {run_id}"
        elif (was := _content(then, key)) != (found := _content(now, key)):
            happened = "published" if not was else "withdrawn" if not found else "republished"
            yield f"{need.dataset} {key}: {happened} by run {run_id}"
    if need.arrived or need.dataset not in observed.foreign:
        return
    foreign = observed.foreign[need.dataset]
    accounted = PartitionSet.from_ranges(need.grain, need.foreign)
    for key in (foreign.keys & keys) - accounted:
        yield f"{need.dataset} {key}: somebody else wrote to it: {foreign.by}"


def _content(records: Mapping[PartitionKey, ProvenanceRecord], key: PartitionKey) -> str:
    return records[key].digest if key in records and records[key].fingerprint else ""


def _stage_batches(plan: Plan, piece: Workpiece) -> None:
    done = {
        (entry.payload["batch"], entry.payload["step"])
        for entry in piece.tools.store.journal(piece.run_id)
        if entry.kind is StepKind.STAGED
    }
    for dataset in piece.graph:
        units = piece.staged.get(dataset.name, {}).values()
        kept = [f for u in units for f in u.files]
        piece.tools.storage.delete(leftovers(piece.tools, piece.tools.folder(dataset), piece.run_id, kept))
    total = sum(len(step.keys) for batch in plan.batches for step in batch.steps)
    count = 0
    for index, batch in enumerate(plan.batches):
        for number, step in enumerate(batch.steps):
            count += len(step.keys)
            if (index, number) in done:
                continue
            words = _stage_step(piece, step, (index, number))
            kind = EventKind.STAGED if words else EventKind.SKIPPED
            piece.tools.emit(
                Event(
                    kind=kind,
                    run_id=piece.run_id,
                    dataset=step.dataset,
                    detail=words or f"{len(step.keys)} unchanged, nothing to do",
                    units_done=count,
                    units_total=total,
                )
            )
        piece.tools.engine.forget()


def _stage_step(piece: Workpiece, step: Step, place: tuple[int, int]) -> str:
    dataset = piece.graph[step.dataset]
    due = piece.due(dataset, step.keys)
    units: list[StagedUnit] = []
    warnings: tuple[Verdict, ...] = ()
    words = ""
    timing, watch = None, Watch(piece.tools.stopwatch)
    if due:
        work = piece.work(dataset, due, token(piece.tools, piece.run_id, *place))
        staged = piece.tools.engine.stage(work)
        piece.tools.storage.sync_names(work.root, piece.tools.lake)
        watch.lap(Stage.STAGE)
        warnings = audit(dataset, due, staged, piece.rows_arrived(dataset, due))
        watch.lap(Stage.AUDIT)
        units = piece.units(dataset, due, staged)
        watch.lap(Stage.STAGE)
        timing = timed(piece, work, staged, place[0], watch)
        same = sum(u.is_confirmed for u in units)
        words = f"{due.describe()}: {counted(len(units) - same, 'partition')}, {counted(staged.rows, 'row')}"
        words += f", {same} came out the same" if same else ""
    piece.add(dataset.name, units)
    payload = {
        "batch": place[0],
        "step": place[1],
        "dataset": dataset.name,
        "units": to_payload(units),
        "warnings": [str(w) for w in warnings],
        "seconds": watch.seconds,
    }
    piece.tools.store.journal_append(piece.run_id, StepKind.STAGED, payload, timing=timing)
    return words


def _publish(plan: Plan, piece: Workpiece) -> None:
    tools, run_id = piece.tools, piece.run_id
    changes = intended(tools, piece.graph, run_id)
    published = publish_tables(tools, run_id, changes)
    run, ended = tools.store.run(run_id), tools.now()
    scope = _scope(plan, piece)
    outcome = Outcome(
        run_id=run_id,
        ended_at=ended,
        audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
        summary=scope.summary(),
        records=tuple(_records(piece, published.versions)),
        fence=intended_fence(tools, run_id),
        read_seq=plan.as_of_seq,
        # A quarantine has no version of its own: its logic follows its dataset's and Bronze's columns.
        logics=dict(_logics(piece)),
        projections=tuple(_projections(piece)),
        versions=published.versions,
        tables_seen=published.accounted,
        watermarks=_watermarks(plan, piece),
    )
    record_success(tools, changes, outcome)


def _changes(piece: Workpiece) -> Iterable[TableChange]:
    for dataset in piece.graph:
        units = piece.staged.get(dataset.name)
        if units is None:
            continue
        replaced = [u for u in units.values() if not u.is_confirmed]
        yield TableChange(
            dataset=dataset,
            adds=tuple(f for u in replaced for f in u.files),
            removes=tuple(_live_files(piece, dataset, {u.key for u in replaced})),
        )


def _live_files(piece: Workpiece, dataset: Dataset, keys: set[PartitionKey]) -> Iterable[DataFile]:
    """Yield the files that the run takes out: the ledger's, and what is really there where somebody else wrote."""
    foreign = piece.observed.foreign_keys(dataset.name)
    for record in piece.tools.store.records(dataset.name, [k for k in keys if k not in foreign]).values():
        yield from record.files
    if any(k in foreign for k in keys):
        live = piece.tools.tables.live_files(piece.tools.table(dataset))
        for key in sorted(k for k in keys if k in foreign):
            for path in sorted(live.get(key, ())):
                yield found_file(piece.tools, dataset, path, key)


def _records(piece: Workpiece, versions: Mapping[DatasetName, int]) -> Iterable[ProvenanceRecord]:
    for name, units in piece.staged.items():
        for unit in units.values():
            yield ProvenanceRecord(
                dataset=name,
                key=unit.key,
                run_id=piece.run_id,
                fingerprint=unit.fingerprint,
                logic=piece.graph[name].logic_digest,
                inputs=unit.inputs,
                digest=unit.digest,
                files=unit.files,
                table_version=versions[name],
                published=not unit.is_confirmed,
            )


def _projections(piece: Workpiece) -> Iterable[Projection]:
    for name, units in piece.staged.items():
        for columns in piece.graph[name].read_as:
            for unit in units.values():
                if ",".join(columns) in unit.projections:
                    digest = unit.projections[",".join(columns)]
                    yield Projection(dataset=name, content=unit.digest, columns=columns, digest=digest)


def _fence(piece: Workpiece) -> dict[tuple[DatasetName, str], int | None]:
    heads = piece.observed.heads
    return {
        (name, key): heads[name][key].seq if key in heads.get(name, {}) else None
        for name, units in piece.staged.items()
        for key in units
    }


def _watermarks(plan: Plan, piece: Workpiece) -> dict[DatasetName, str]:
    """Return the newest event partition that each dataset has now; only for runs that may move pipeline state."""
    if plan.request.mode is not Mode.INCREMENTAL and not plan.request.override_state:
        return {}
    held = piece.tools.store.watermarks()
    newest = {
        name: max(split_key(piece.graph[name].partition.grain, key)[0] for key in units)
        for name, units in piece.staged.items()
        if units and piece.graph[name].partition.grain is not Grain.IDENTITY
    }
    return {name: key for name, key in newest.items() if key > held.get(name, "")}


def _scope(plan: Plan, piece: Workpiece) -> Scope:
    journal = piece.tools.store.journal(piece.run_id)
    units = [(name, unit) for name, by_key in piece.staged.items() for unit in by_key.values()]
    changed = [unit for _, unit in units if not unit.is_confirmed]
    detail = {
        "plan_id": plan.plan_id,
        "units": len(units),
        "units_published": len(changed),
        "units_unchanged": len(units) - len(changed),
        "warnings": [w for entry in journal if entry.kind is StepKind.STAGED for w in entry.payload["warnings"]],
    }
    rows = sum(f.rows for u in changed for f in u.files)
    return Scope.of(piece.graph, ((name, unit.key) for name, unit in units), rows, detail)
