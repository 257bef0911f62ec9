"""Judge every unit against a request: will it run, may it run, is it stale but left alone, is it fresh. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.mapping import downstream
from remint.model.observation import Observed
from remint.model.partition import Grain, PartitionKey, PartitionSet
from remint.model.plan import StaleCause
from remint.model.request import Request
from remint.planner.staleness import Contents, Finding, domains, findings


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that planning reads."""

    project: str
    graph: DatasetGraph
    observed: Observed
    contents: Contents = field(init=False)
    """What ``observed`` holds, as digests."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "contents", Contents.of(self.observed))


@dataclass(slots=True)
class Verdicts:
    """Units of one dataset, sorted into what will run, may run, is stale but left alone, and is fresh."""

    will: dict[PartitionKey, tuple[Finding, ...]] = field(default_factory=dict)
    may: dict[PartitionKey, tuple[tuple[DatasetName, ...], tuple[Finding, ...]]] = field(default_factory=dict)
    """With the upstream datasets that may change it, and why it is stale already (outside the range asked for)."""
    left: list[PartitionKey] = field(default_factory=list)
    fresh: int = 0


def survey(request: Request, world: World) -> dict[DatasetName, Verdicts]:
    """Return the verdict on every unit of every dataset that has a transform, upstream first."""
    graph, observed = world.graph, world.observed
    contents, selection = world.contents, graph.select(request.selectors)
    units = domains(graph, observed)
    verdicts: dict[DatasetName, Verdicts] = {}
    for dataset in graph:
        if dataset.transform is None:
            continue
        verdict = verdicts[dataset.name] = Verdicts()
        reach = _reached(graph, dataset, verdicts)
        asked = _asked(request, dataset, units[dataset.name])
        for key in units[dataset.name]:
            found = findings(graph, dataset, key, contents, observed)
            pending = tuple(name for name, keys in reach.items() if key in keys)
            if dataset.name not in selection:
                if found or pending:
                    verdict.left.append(key)
            elif key in asked and (found or request.rebuild):
                again = Finding(cause=StaleCause.REQUEST, about="recompute requested")
                verdict.will[key] = (*found, again) if request.rebuild else tuple(found)
            elif pending:
                verdict.may[key] = (pending, tuple(found))
            elif found:
                verdict.left.append(key)
            else:
                verdict.fresh += 1
    return verdicts


def _asked(request: Request, dataset: Dataset, keys: PartitionSet) -> PartitionSet:
    if request.range is None or dataset.partition.grain is Grain.IDENTITY:
        return keys
    return keys & request.range.keys(dataset.partition.grain)


def _reached(
    graph: DatasetGraph, dataset: Dataset, verdicts: Mapping[DatasetName, Verdicts]
) -> dict[DatasetName, PartitionSet]:
    """Return, by upstream dataset that the plan recomputes, the units of ``dataset`` that read those partitions."""
    grain = dataset.partition.grain
    found: dict[DatasetName, PartitionSet] = {}
    for entry in dataset.inputs:
        source = verdicts.get(entry.dataset)
        if source is None or not (source.will or source.may):
            continue
        keys = PartitionSet.of(graph[entry.dataset].partition.grain, [*source.will, *source.may])
        found[entry.dataset] = found.get(entry.dataset, PartitionSet(grain)) | downstream(entry.mapping, keys, grain)
    return found
