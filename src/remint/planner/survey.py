"""Judge every unit against a request: will it run, may it run, is it stale but left alone, is it fresh. Pure.

Rules: sets are never taken apart; only suspects are looked at one by one, because only their fingerprints can differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange, Observed
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.plan import StaleCause
from remint.model.request import Request
from remint.planner.staleness import Contents, Finding, changed_inputs, domains


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that planning reads."""

    project: str
    graph: DatasetGraph
    observed: Observed
    contents: Contents = field(init=False)
    """What ``observed`` holds, as digests."""
    units: Mapping[DatasetName, PartitionSet] = field(init=False)
    """Every unit that should exist, by dataset."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "contents", Contents.of(self.observed))
        object.__setattr__(self, "units", domains(self.graph, self.observed))


@dataclass(frozen=True, slots=True)
class Group:
    """Units of one dataset with the same verdict for the same reasons."""

    keys: PartitionSet
    findings: tuple[Finding, ...] = ()
    """Why they are stale already; rows are summed over the group."""
    pending: tuple[DatasetName, ...] = ()
    """Upstream datasets that the plan recomputes and that may change them."""


@dataclass(slots=True)
class Verdicts:
    """Units of one dataset, sorted into what will run, may run, is stale but left alone, and is fresh."""

    will: list[Group]
    may: list[Group]
    left: PartitionSet
    fresh: int = 0

    @property
    def certain(self) -> PartitionSet:
        """The units that will run."""
        return PartitionSet.union(self.left.grain, (g.keys for g in self.will))

    @property
    def possible(self) -> PartitionSet:
        """The units that may run."""
        return PartitionSet.union(self.left.grain, (g.keys for g in self.may))

    @property
    def affected(self) -> PartitionSet:
        """The units that will or may run."""
        return self.certain | self.possible


def survey(request: Request, world: World) -> dict[DatasetName, Verdicts]:
    """Return the verdict on every unit of every dataset that has a transform, upstream first."""
    graph, selection = world.graph, set(world.graph.select(request.selectors))
    verdicts: dict[DatasetName, Verdicts] = {}
    for dataset in graph:
        if dataset.transform is None:
            continue
        stale = stale_groups(world, dataset)
        reach = reached(graph, dataset, world, {n: v.affected for n, v in verdicts.items()})
        if dataset.name in selection:
            verdicts[dataset.name] = _judged(request, world, dataset, stale, reach)
        else:
            left = PartitionSet.union(dataset.partition.grain, (*(g.keys for g in stale), *reach.values()))
            verdicts[dataset.name] = Verdicts([], [], left, len(world.units[dataset.name] - left))
    return verdicts


def _judged(
    request: Request, world: World, dataset: Dataset, stale: list[Group], reach: dict[DatasetName, PartitionSet]
) -> Verdicts:
    units = world.units[dataset.name]
    asked = request.range.within(units, dataset.partition.zone) if request.range else units
    stale_keys = PartitionSet.union(dataset.partition.grain, (g.keys for g in stale))
    about = "recompute of the full table requested" if asked == units else "recompute requested"
    again = (Finding(cause=StaleCause.REQUEST, about=about),) if request.rebuild else ()
    groups = [*stale, Group(asked - stale_keys)] if request.rebuild else stale
    will = [Group(w, (*g.findings, *again)) for g in groups if (w := g.keys & asked)]
    certain = PartitionSet.union(dataset.partition.grain, (g.keys for g in will))
    own = own_chain(world, dataset, certain, reach)
    if own:
        reach = {**reach, dataset.name: own}
    touched = PartitionSet.union(dataset.partition.grain, reach.values()) - certain
    rest = [*(Group(g.keys - asked, g.findings) for g in stale), Group(touched - stale_keys)]
    may = [
        Group(keys, group.findings, pending)
        for group in rest
        for keys, pending in _by_pending(group.keys & touched, reach)
    ]
    left = stale_keys - certain - touched
    return Verdicts(will, may, left, len(units - certain - touched - left))


def own_chain(
    world: World, dataset: Dataset, certain: PartitionSet, reach: Mapping[DatasetName, PartitionSet]
) -> PartitionSet:
    """Return the units that follow, through the dataset's own earlier partitions, from what will or may run of it."""
    grain, units = dataset.partition.grain, world.units[dataset.name]
    seeds = PartitionSet.union(grain, (certain, *reach.values()))
    edges = (world.graph.edge(dataset, entry) for entry in dataset.inputs)
    return PartitionSet.union(grain, (edge.follows(seeds, units) for edge in edges)) - certain


def _by_pending(
    keys: PartitionSet, reach: Mapping[DatasetName, PartitionSet]
) -> Iterable[tuple[PartitionSet, tuple[DatasetName, ...]]]:
    """Yield ``keys`` taken apart by which upstream datasets reach them."""
    parts: list[tuple[PartitionSet, tuple[DatasetName, ...]]] = [(keys, ())]
    for name, reached_keys in reach.items():
        split = []
        for part, names in parts:
            split += [(part & reached_keys, (*names, name)), (part - reached_keys, names)]
        parts = [(part, names) for part, names in split if part]
    return ((part, names) for part, names in parts if part and names)


def reached(
    graph: DatasetGraph, dataset: Dataset, world: World, affected: Mapping[DatasetName, PartitionSet]
) -> dict[DatasetName, PartitionSet]:
    """Return, by upstream dataset that the plan recomputes, the units of ``dataset`` that read those partitions."""
    found: dict[DatasetName, PartitionSet] = {}
    for entry in dataset.inputs:
        keys = affected.get(entry.dataset)
        if not keys or entry.dataset == dataset.name:
            continue
        edge = graph.edge(dataset, entry)
        present = world.observed.standings[entry.dataset].present
        units = edge.downstream(keys, world.units[dataset.name], present | keys)
        if units:
            found[entry.dataset] = found.get(entry.dataset, dataset.no_units()) | units
    return found


def stale_groups(world: World, dataset: Dataset) -> list[Group]:
    """Return the units that are not fresh as things stand, in groups that share their causes."""
    base = _by_set(world, dataset)
    grouped: dict[tuple[int, tuple[tuple[StaleCause, str, str], ...]], list[PartitionKey]] = {}
    rows: dict[
        tuple[int, tuple[tuple[StaleCause, str, str], ...]], list[dict[PartitionKey, Mapping[PartitionKey, int]]]
    ] = {}
    examined: list[PartitionKey] = []
    for key, found in _suspects(world, dataset):
        index = next(i for i, group in enumerate(base) if key in group.keys)
        place = (index, tuple((f.cause, f.about, f.by) for f in found))
        grouped.setdefault(place, []).append(key)
        for by_unit, finding in zip(rows.setdefault(place, [{} for _ in found]), found, strict=True):
            by_unit.update(finding.rows)
        examined.append(key)
    alone = PartitionSet.of(dataset.partition.grain, examined)
    groups = [Group(keys, g.findings) for g in base if g.findings and (keys := g.keys - alone)]
    for (index, causes), listed in grouped.items():
        more = tuple(
            Finding(cause=c, about=a, rows=n, by=by) for (c, a, by), n in zip(causes, rows[index, causes], strict=True)
        )
        groups.append(Group(PartitionSet.of(dataset.partition.grain, listed), (*base[index].findings, *more)))
    return groups


def _suspects(world: World, dataset: Dataset) -> Iterable[tuple[PartitionKey, tuple[Finding, ...]]]:
    """Yield the suspects that really read something else now, with what."""
    observed, heads = world.observed, world.observed.heads.get(dataset.name, {})
    for key in observed.standings[dataset.name].suspects & world.units[dataset.name]:
        found = tuple(changed_inputs(world.graph, dataset, heads[key], world.contents, observed))
        if found:
            yield key, found


def _by_set(world: World, dataset: Dataset) -> list[Group]:
    """Return every unit in a group by what is known without looking at it: foreign, missing, of which logic."""
    observed, units = world.observed, world.units[dataset.name]
    standing = observed.standings[dataset.name]
    missing = units - standing.present
    changes = observed.logic_changes.get(dataset.name, {})
    rolled_back = Finding(cause=StaleCause.MISSING, about="rolled back")
    succeeding = _succeeding(world, dataset, missing)
    first = missing - PartitionSet.union(missing.grain, (g.keys for g in succeeding))
    groups = [
        *(Group(g.keys - standing.withdrawn, g.findings) for g in succeeding),
        *(Group(g.keys & standing.withdrawn, (rolled_back, *g.findings)) for g in succeeding),
        Group(first - standing.withdrawn, (Finding(cause=StaleCause.MISSING, about="never published"),)),
        Group(first & standing.withdrawn, (rolled_back,)),
    ]
    for logic, held in standing.made_by.items():
        is_declared = logic == dataset.logic_digest
        cause = () if is_declared else (_logic_finding(changes, logic),)
        groups.append(Group(held & units, cause))
    foreign = observed.foreign.get(dataset.name)
    if foreign is not None:
        about = "its files are not those that remint published" + (f": {foreign.by}" if foreign.by else "")
        changed = Finding(cause=StaleCause.FOREIGN, about=about)
        groups = [
            part
            for g in groups
            for part in (Group(g.keys & foreign.keys, (changed, *g.findings)), Group(g.keys - foreign.keys, g.findings))
        ]
    return [g for g in groups if g.keys]


def _succeeding(world: World, dataset: Dataset, missing: PartitionSet) -> list[Group]:
    """Return the missing units beside which an older logic version is kept: missing because the logic changed."""
    found: list[Group] = []
    standing, changes = world.observed.standings[dataset.name], world.observed.logic_changes.get(dataset.name, {})
    if not dataset.fixed_value:
        return found
    for record in sorted(world.observed.logics.get(dataset.name, ()), key=lambda r: -r.number):
        held = standing.made_by.get(record.digest, dataset.no_units())
        keys = (held - held.only([dataset.fixed_value])).over([dataset.fixed_value]) & missing
        change = changes.get(record.digest)
        raised = f"v{record.number} -> {dataset.version.label} is the same logic under another version"
        found.append(Group(keys, (Finding(cause=StaleCause.LOGIC, about=change.words if change else raised),)))
        missing = missing - keys
    return found


def _logic_finding(changes: Mapping[str, LogicChange], logic: str) -> Finding:
    change = changes.get(logic)
    return Finding(cause=StaleCause.LOGIC, about=change.words if change else "the logic changed")
