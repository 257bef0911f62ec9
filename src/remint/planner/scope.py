"""Which units a plan may concern, before any fingerprint is compared: what observing must look at closely."""

from __future__ import annotations

from remint.model.dataset import DatasetName
from remint.model.partition import PartitionSet, gathered
from remint.model.request import Request
from remint.planner.staleness import input_keys
from remint.planner.survey import World, own_chain, reached


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
            keys = keys | (request.range.within(units, dataset.partition.zone) if request.range else units)
        keys = PartitionSet.union(keys.grain, (keys, *reached(graph, dataset, world, found).values()))
        found[dataset.name] = keys | own_chain(world, dataset, keys, {})
    return found


def read_by(
    world: World, units: dict[DatasetName, PartitionSet]
) -> tuple[dict[DatasetName, PartitionSet], dict[DatasetName, PartitionSet]]:
    """Return what must be known beside ``units``: the upstream keys that they read, published and arrived."""
    reads = [
        (world.graph[name], entry, keys) for name, keys in units.items() if keys for entry in world.graph[name].inputs
    ]
    found = [(e, input_keys(world.graph, dataset, e, keys, world.contents)) for dataset, e, keys in reads]
    return (
        gathered((e.dataset, keys) for e, keys in found if e.mapping.kind != "by_arrival"),
        gathered((e.dataset, keys) for e, keys in found if e.mapping.kind == "by_arrival"),
    )
