"""``build_plan``: a request and the observed world become a frozen plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from remint.model.calendar import grain_of
from remint.model.dataset import Dataset, DatasetName, Input
from remint.model.mapping import ByArrival
from remint.model.partition import Grain, PartitionKey, PartitionSet, gathered, ordinal
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
from remint.planner.coverage import absent_sources, refuse_absent
from remint.planner.policy import Policy, judge, refuse, refuse_recut, refuse_unsettled, refuse_unversioned
from remint.planner.staleness import in_words, input_keys
from remint.planner.survey import Group, Verdicts, World, survey


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
        SourceAbsent: the range names days that a source never delivered.
        VersionNotRaised: logic changed under a version that was published.
        PolicyRefused: the plan breaks a limit that does not ask for an approval.
    """
    graph, observed = world.graph, world.observed
    refuse_unsettled(graph, observed)
    selection = graph.select(request.selectors)
    refuse_recut(graph, observed, selection)
    refuse_unversioned(graph, observed, selection)
    if request.range and not policy.allow_absent:
        refuse_absent(absent_sources(graph, observed, selection, request.range), request.range)
    asks = refuse(request, graph, world.units, policy=policy, now=now)
    verdicts = survey(request, world)
    affected = {n: keys for n, v in verdicts.items() if (keys := v.affected)}
    actions = _actions(world, verdicts)
    involved = {a.dataset for a in actions}
    involved |= {name for n in involved for name in graph.upstream(n)}
    plan = Plan(
        plan_id="",
        project=world.project,
        created_at=now,
        as_of_seq=observed.last_seq,
        as_of_run=observed.last_run,
        request=request,
        datasets=tuple(d for d in graph if d.name in involved),
        actions=actions,
        batches=batches(graph, affected, rows_by_day(world, affected), policy.batch_rows),
        requirements=_requirements(world, affected),
        untouched=_untouched(world, selection, verdicts, affected),
        fresh_units=sum(v.fresh for n, v in verdicts.items() if n in selection),
    )
    plan = with_costs(plan, observed.timings, policy.prices)
    plan = replace(plan, needs_approval=(*asks, *judge(plan, policy)))
    return replace(plan, plan_id=plan_digest(plan))


Roots = dict[DatasetName, list[tuple[PartitionSet, tuple[str, ...]]]]
"""By dataset, the root causes of each set of units that will or may run."""


def _actions(world: World, verdicts: Mapping[DatasetName, Verdicts]) -> tuple[Action, ...]:
    actions: list[Action] = []
    roots: Roots = {}
    for name, verdict in verdicts.items():
        merged: dict[tuple[object, ...], tuple[bool, ActionKind, PartitionSet, tuple[Reason, ...]]] = {}
        for certain, group in (*((True, g) for g in verdict.will), *((False, g) for g in verdict.may)):
            reasons = _reasons(world, name, group, roots)
            found = tuple(root for r in reasons for root in r.roots_of(name))
            roots.setdefault(name, []).append((group.keys, found))
            for kind, keys in _by_kind(world, name, group.keys):
                place = (certain, kind, reasons)
                held = merged[place][2] if place in merged else PartitionSet(keys.grain)
                merged[place] = (certain, kind, held | keys, reasons)
        actions += [
            _action(world, world.graph[name], kind, keys, certain=certain, reasons=reasons)
            for certain, kind, keys, reasons in merged.values()
        ]
    return tuple(actions)


def _by_kind(world: World, name: DatasetName, keys: PartitionSet) -> list[tuple[ActionKind, PartitionSet]]:
    present = world.observed.standings[name].present
    parts = ((ActionKind.BUILD, keys - present), (ActionKind.REBUILD, keys & present))
    return [(kind, part) for kind, part in parts if part]


def _reasons(world: World, name: DatasetName, group: Group, roots: Roots) -> tuple[Reason, ...]:
    """Return why the group's units run: what upstream may bring, with its own root causes, then what is known."""
    pending = tuple(
        Reason(
            cause=StaleCause.UPSTREAM,
            detail=f"if {up} comes out different",
            roots=tuple(_roots_of(world, name, up, group.keys, roots)),
        )
        for up in group.pending
    )
    return pending + in_words(group.findings, group.keys)


def _roots_of(world: World, name: DatasetName, up: DatasetName, keys: PartitionSet, roots: Roots) -> list[str]:
    """Return the root causes of those partitions of ``up`` that the units read."""
    dataset = world.graph[name]
    found: dict[str, None] = {}
    for entry in dataset.inputs:
        edge = world.graph.edge(dataset, entry)
        for held, causes in roots.get(up, ()) if entry.dataset == up else ():
            if edge.upstream(keys, held):
                found.update(dict.fromkeys(causes))
    return list(found)


def _action(
    world: World,
    dataset: Dataset,
    kind: ActionKind,
    units: PartitionSet,
    *,
    certain: bool,
    reasons: tuple[Reason, ...],
) -> Action:
    heads = world.observed.heads.get(dataset.name, {})
    held = [heads[k] for k in units if k in heads] if kind is ActionKind.REBUILD else []
    rows_read = sum(read_rows(world, dataset, units).values()) or None
    rows = sum(h.rows for h in held) if held else rows_read
    rows_known = sum(h.rows for h in heads.values())
    size = sum(h.size_bytes for h in held) if held else None
    if size is None and rows and rows_known:
        size = round(rows * sum(h.size_bytes for h in heads.values()) / rows_known)
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


def read_rows(world: World, dataset: Dataset, units: PartitionSet) -> dict[tuple[str, PartitionKey], int]:
    """Return the published rows that ``units`` read, by input alias and upstream key."""
    contents = world.contents
    found = {}
    for entry in dataset.inputs:
        for key in input_keys(world.graph, dataset, entry, units, contents):
            found[entry.alias, key] = contents.rows(entry, key)
    return found


def rows_by_day(world: World, affected: Mapping[DatasetName, PartitionSet]) -> dict[int, int]:
    """Return, by day ordinal, the most rows that one dataset reads of that day."""
    most: dict[int, int] = {}
    for name, keys in affected.items():
        by_day: dict[int, int] = {}
        for (_, key), rows in read_rows(world, world.graph[name], keys).items():
            day = key[: len("2026-10-14")]
            if grain_of(day) is Grain.DAY:
                at = ordinal(Grain.DAY, day)
                by_day[at] = by_day.get(at, 0) + rows
        for at, rows in by_day.items():
            most[at] = max(most.get(at, 0), rows)
    return most


def _requirements(world: World, affected: Mapping[DatasetName, PartitionSet]) -> tuple[Requirement, ...]:
    graph = world.graph
    read = [
        ((e.dataset, isinstance(e.mapping, ByArrival)), _reach(world, graph[name], e, keys))
        for name, keys in affected.items()
        for e in graph[name].inputs
    ]
    needed = gathered([*(((name, False), keys) for name, keys in affected.items()), *read])
    return tuple(
        Requirement(
            dataset=name,
            grain=keys.grain,
            partitions=tuple(keys.as_ranges()),
            arrived=arrived,
            foreign=() if arrived else tuple((keys & world.observed.foreign_keys(name)).as_ranges()),
        )
        for (name, arrived), keys in sorted(needed.items(), key=lambda item: item[0])
        if keys
    )


def _reach(world: World, dataset: Dataset, entry: Input, keys: PartitionSet) -> PartitionSet:
    """Return the upstream keys that ``keys`` read or would read if they existed."""
    edge = world.graph.edge(dataset, entry)
    held = world.contents.keys(entry, PartitionSet(edge.source.grain))
    if isinstance(entry.mapping, ByArrival):
        return edge.upstream(keys, held)
    # Of a reference the newest partition is read, and a newer one would be.
    return edge.upstream(keys, held) | edge.upstream(keys, held | world.units[entry.dataset])


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
        older = world.observed.standings[name].present
        older = older - older.only([dataset.fixed_value])
        if dataset.fixed_value and older and name in selection:
            detail = f"{counted(len(older), 'partition')} of {', '.join(older.values)} stay beside the current version"
            notes.append(Untouched(dataset=name, detail=detail))
        left = verdicts[name].left
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
