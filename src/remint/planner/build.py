"""``build_plan``: a request and the observed world become a frozen plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from remint.model.dataset import Dataset, DatasetName
from remint.model.partition import Grain, PartitionKey, PartitionSet
from remint.model.plan import (
    Action,
    ActionKind,
    Plan,
    Reason,
    Requirement,
    StaleCause,
    Untouched,
    plan_digest,
)
from remint.model.request import Request
from remint.model.wording import counted
from remint.planner.batching import batches
from remint.planner.cost import with_costs
from remint.planner.policy import Policy, judge, refuse, refuse_unsettled
from remint.planner.staleness import Finding, domains, in_words, input_keys, unit_state
from remint.planner.survey import Verdicts, World, survey


def build_plan(request: Request, world: World, policy: Policy, now: datetime) -> Plan:
    """Return what to do about ``request``, with reasons, order, requirements and what is left alone.

    Args:
        request: what was asked, echoed in the plan.
        world: graph as declared and state as observed.
        policy: limits; the request is refused where it breaks one.
        now: UTC; written to the plan.

    Returns:
        A plan whose id is the digest of its content. It is empty when everything selected is fresh.

    Raises:
        InvalidRange: the range is in the future or names nothing.
        BronzeChanged: a Bronze table was changed by somebody else.
        PolicyRefused: the plan breaks a limit that does not ask for an approval.
    """
    graph, observed = world.graph, world.observed
    refuse_unsettled(graph, observed)
    selection = graph.select(request.selectors)
    asks = refuse(request, selection, domains(graph, observed), policy=policy, now=now)
    verdicts = survey(request, world)
    affected = {name: PartitionSet.of(graph[name].partition.grain, [*v.will, *v.may]) for name, v in verdicts.items()}
    actions = _actions(world, verdicts)
    involved = {a.dataset for a in actions}
    involved |= {name for n in involved for name in graph.upstream(n)}
    plan = Plan(
        plan_id="",
        project=world.project,
        created_at=now,
        request=request,
        datasets=tuple(d for d in graph if d.name in involved),
        actions=actions,
        batches=batches(graph, affected, _rows_by_day(world, affected), policy.batch_rows),
        requirements=_requirements(world, affected),
        untouched=_untouched(world, selection, verdicts, affected),
        fresh_units=sum(v.fresh for n, v in verdicts.items() if n in selection),
    )
    plan = with_costs(plan, observed.timings, policy.prices)
    plan = replace(plan, needs_approval=(*asks, *judge(plan, policy)))
    return replace(plan, plan_id=plan_digest(plan))


def _actions(world: World, verdicts: Mapping[DatasetName, Verdicts]) -> tuple[Action, ...]:
    graph = world.graph
    actions: list[Action] = []
    roots: dict[DatasetName, str] = {}
    for name, verdict in verdicts.items():
        groups: dict[tuple[bool, ActionKind, tuple[object, ...]], list[PartitionKey]] = {}
        heads = world.observed.heads.get(name, {})
        for key, found in verdict.will.items():
            groups.setdefault((True, _kind(heads, key), _causes(found)), []).append(key)
        for key, (pending, found) in verdict.may.items():
            groups.setdefault((False, _kind(heads, key), (*pending, *_causes(found))), []).append(key)
        for (certain, kind, _), keys in groups.items():
            if certain:
                reasons = in_words(f for k in keys for f in verdict.will[k])
            else:
                reasons = tuple(
                    Reason(cause=StaleCause.UPSTREAM, detail=f"if {up} comes out different", root=roots[up])
                    for up in verdict.may[keys[0]][0]
                )
                reasons += in_words(f for k in keys for f in verdict.may[k][1])
            roots.setdefault(name, _root(name, reasons[0]))
            actions.append(_action(world, graph[name], kind, keys, certain=certain, reasons=reasons))
    return tuple(actions)


def _causes(found: Iterable[Finding]) -> tuple[tuple[StaleCause, str], ...]:
    return tuple((f.cause, f.about) for f in found)


def _kind(heads: Mapping[PartitionKey, object], key: PartitionKey) -> ActionKind:
    return ActionKind.REBUILD if key in heads else ActionKind.BUILD


def _root(name: DatasetName, reason: Reason) -> str:
    return reason.root or f"{name} {reason.cause.upper()}: {reason.detail}"


def _action(
    world: World,
    dataset: Dataset,
    kind: ActionKind,
    keys: list[PartitionKey],
    *,
    certain: bool,
    reasons: tuple[Reason, ...],
) -> Action:
    heads = world.observed.heads.get(dataset.name, {})
    held = [heads[k] for k in keys if k in heads]
    units = PartitionSet.of(dataset.partition.grain, keys)
    rows_read = sum(_read_rows(world, dataset, units).values()) or None
    known = list(heads.values())
    rows = sum(h.rows for h in held) if held else rows_read
    rows_known = sum(h.rows for h in known)
    size = sum(h.size_bytes for h in held) if held else None
    if size is None and rows and rows_known:
        size = round(rows * sum(h.size_bytes for h in known) / rows_known)
    return Action(
        dataset=dataset.name,
        kind=kind,
        grain=units.grain,
        partitions=tuple(units.as_ranges()),
        units=len(units),
        certain=certain,
        reasons=reasons,
        rows_read=rows_read,
        rows_expected=rows,
        size_bytes=size,
    )


def _read_rows(world: World, dataset: Dataset, units: PartitionSet) -> dict[tuple[str, PartitionKey], int]:
    """Return the published rows that ``units`` read, by input alias and upstream key."""
    contents = world.contents
    found = {}
    for entry in dataset.inputs:
        digests = contents.read_by(entry)
        for key in input_keys(world.graph, dataset, entry, units):
            if key in digests:
                found[entry.alias, key] = int(digests[key].rsplit(":", 2)[1])
    return found


def _rows_by_day(world: World, affected: Mapping[DatasetName, PartitionSet]) -> dict[int, int]:
    """Return, by day ordinal, the most rows that one dataset reads of that day."""
    most: dict[int, int] = {}
    for name, keys in affected.items():
        if keys.grain is not Grain.DAY:
            continue
        for (_, key), rows in _read_rows(world, world.graph[name], keys).items():
            if len(key) == len("2026-10-14"):
                day = PartitionSet.of(Grain.DAY, [key]).spans[0][0]
                most[day] = max(most.get(day, 0), rows)
    return most


def _requirements(world: World, affected: Mapping[DatasetName, PartitionSet]) -> tuple[Requirement, ...]:
    graph, contents = world.graph, world.contents
    needed: dict[tuple[DatasetName, PartitionKey, bool], str] = {}
    for name, keys in affected.items():
        dataset = graph[name]
        for key in keys:
            needed[name, key, False] = unit_state(world.observed, contents, name, key, arrived=False)
        for entry in dataset.inputs:
            digests = contents.read_by(entry)
            arrived = digests is contents.arrived.get(entry.dataset)
            for key in input_keys(graph, dataset, entry, keys):
                if key in digests or arrived:
                    needed[entry.dataset, key, arrived] = unit_state(
                        world.observed, contents, entry.dataset, key, arrived=arrived
                    )
    return tuple(
        Requirement(dataset=name, key=key, state=state, arrived=arrived)
        for (name, key, arrived), state in sorted(needed.items())
    )


def _untouched(
    world: World,
    selection: tuple[DatasetName, ...],
    verdicts: Mapping[DatasetName, Verdicts],
    affected: Mapping[DatasetName, PartitionSet],
) -> tuple[Untouched, ...]:
    notes = []
    for dataset in world.graph:
        name = dataset.name
        if dataset.transform is None:
            notes.append(Untouched(dataset=name, detail="Bronze is never rewritten"))
            continue
        left = PartitionSet.of(dataset.partition.grain, verdicts[name].left)
        if not left:
            continue
        if name in selection:
            detail = f"{counted(len(left), 'stale partition')} outside the range left stale: {left.describe()}"
        elif any(affected.get(i.dataset) for i in dataset.inputs):
            detail = f"not selected, and stale or about to be: {counted(len(left), 'partition')}: {left.describe()}"
        else:
            detail = f"not selected: {counted(len(left), 'stale partition')}: {left.describe()}"
        notes.append(Untouched(dataset=name, detail=detail))
    return tuple(notes)
