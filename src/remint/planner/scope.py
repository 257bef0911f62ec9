"""Which units a plan may concern, before any fingerprint is compared: what observing must look at closely."""

from __future__ import annotations

from remint.model.dataset import DatasetName
from remint.model.mapping import SelfBefore
from remint.model.partition import PartitionSet
from remint.model.request import Request
from remint.planner.staleness import input_keys
from remint.planner.survey import World, reached


def concerned(request: Request | None, world: World) -> dict[DatasetName, PartitionSet]:
    """Return, for every dataset that has a transform, a superset of the units that can be stale, run or may run.

    Args:
        request: what is asked; None for how things stand.
        world: standings alone are read, so its heads may be empty.
    """
    graph, observed = world.graph, world.observed
    selection = set(graph.select(request.selectors)) if request else set()
    found: dict[DatasetName, PartitionSet] = {}
    for dataset in graph:
        if dataset.transform is None:
            continue
        units, standing = world.units[dataset.name], observed.standings[dataset.name]
        fresh = standing.made_by.get(dataset.logic_digest, dataset.no_units()) - standing.suspects
        keys = (units - fresh) | (observed.foreign_keys(dataset.name) & units)
        if request and request.rebuild and dataset.name in selection:
            keys = keys | (request.range.within(units) if request.range else units)
        for more in reached(graph, dataset, world, found).values():
            keys = keys | more
        for entry in dataset.inputs:
            if isinstance(entry.mapping, SelfBefore) and keys:
                keys = keys | graph.edge(dataset, entry).reached(keys, units, units)
        found[dataset.name] = keys
    return found


def read_by(
    world: World, units: dict[DatasetName, PartitionSet]
) -> tuple[dict[DatasetName, PartitionSet], dict[DatasetName, PartitionSet]]:
    """Return what must be known beside ``units``: the upstream keys that they read, published and arrived."""
    published: dict[DatasetName, PartitionSet] = {}
    arrived: dict[DatasetName, PartitionSet] = {}
    for name, keys in units.items():
        dataset = world.graph[name]
        for entry in dataset.inputs if keys else ():
            read = input_keys(world.graph, dataset, entry, keys, world.contents)
            place = arrived if entry.mapping.kind == "by_arrival" else published
            place[entry.dataset] = place[entry.dataset] | read if entry.dataset in place else read
    return published, arrived
