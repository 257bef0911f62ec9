"""What a shadow run computes: units of the chosen datasets in a small window, and what they reach inside it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remint.errors import InvalidRange, PlanError
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import DateRange, PartitionKey, PartitionSet, gathered
from remint.model.plan import Batch
from remint.model.provenance import LogicRecord
from remint.model.wording import counted
from remint.planner.batching import batches
from remint.planner.build import read_rows, rows_by_day
from remint.planner.policy import Policy, refuse_unsettled
from remint.planner.survey import World, own_chain, reached

_MOST_UNITS = 92
"""Partitions of one dataset, a quarter in days: more than that is no small window."""
_MOST_BATCHES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowWork:
    """Units that a shadow run computes."""

    certain: Mapping[DatasetName, PartitionSet]
    """Units of the chosen datasets: computed in any case."""
    possible: Mapping[DatasetName, PartitionSet]
    """Units inside the window that these reach: computed only if what they read comes out different."""
    beyond: Mapping[DatasetName, PartitionSet]
    """Units outside of the window that the change would reach too: not computed."""

    @property
    def units(self) -> dict[DatasetName, PartitionSet]:
        """All units that will or may be computed."""
        return gathered([*self.certain.items(), *self.possible.items()])


def as_published(graph: DatasetGraph, logics: Mapping[DatasetName, Sequence[LogicRecord]]) -> DatasetGraph:
    """Return the graph with the declared logic under the version numbers that are published.

    Partitions that are cut by their version are then laid over those of the version before, so that what reads them
    reads a history without a gap.
    """
    return DatasetGraph.build(_as_published(d, logics.get(d.name, ())) for d in graph)


def _as_published(dataset: Dataset, published: Sequence[LogicRecord]) -> Dataset:
    newest = max((r.number for r in published), default=dataset.version.number)
    return replace(dataset, version=replace(dataset.version, number=newest))


def shadow_work(world: World, chosen: Iterable[DatasetName], span: DateRange, size: int | None) -> ShadowWork:
    """Return what a shadow run of the ``chosen`` datasets computes in ``span``.

    Args:
        world: as it stands.
        chosen: datasets whose declared logic is tried; those without a transform are passed over.
        span: the window.
        size: at most so many partitions of each chosen dataset, evenly spread; None: all of the window.
    """
    graph, names = world.graph, set(chosen)
    certain: dict[DatasetName, PartitionSet] = {}
    possible: dict[DatasetName, PartitionSet] = {}
    beyond: dict[DatasetName, PartitionSet] = {}
    for dataset in graph:
        name = dataset.name
        if dataset.transform is None:
            continue
        sure = dataset.no_units()
        if name in names:
            sure = _some(span.within(world.units[name]), size)
        touched = ShadowWork(certain=certain, possible=possible, beyond={}).units
        reach = reached(graph, dataset, world, touched)
        found = own_chain(world, dataset, sure, reach) if sure or reach else dataset.no_units()
        found = PartitionSet.union(found.grain, (found, *reach.values()))
        inside = span.within(found) - sure
        for place, keys in ((certain, sure), (possible, inside), (beyond, found - sure - inside)):
            if keys:
                place[name] = keys
    return ShadowWork(certain=certain, possible=possible, beyond=beyond)


def _some(keys: PartitionSet, size: int | None) -> PartitionSet:
    return keys if size is None else PartitionSet.of(keys.grain, spread(list(keys), size))


def spread(listed: list[PartitionKey], size: int) -> list[PartitionKey]:
    """Return at most ``size`` of ``listed``, evenly spread, the first and the last among them."""
    if len(listed) <= size:
        return listed
    last = len(listed) - 1
    return sorted({listed[round(i * last / max(size - 1, 1))] for i in range(size)})


def shadow_batches(world: World, work: ShadowWork, span: DateRange, policy: Policy) -> tuple[Batch, ...]:
    """Return the order in which ``work`` is computed.

    Raises:
        BronzeChanged: Bronze was changed by somebody else.
        InvalidRange: the window names no partition of what is chosen.
        PlanError: a run is half published, or the window is no small one and ``--all`` was not given.
    """
    refuse_unsettled(world.graph, world.observed)
    if not work.certain:
        raise InvalidRange(
            f"the range {span.describe()} names 0 partitions of what is chosen",
            hint="remint status    # shows which partitions there are",
        )
    units = work.units
    rows = sum(n for name, keys in units.items() for n in read_rows(world, world.graph[name], keys).values())
    most = max(work.certain, key=lambda name: len(work.certain[name]))
    too_many = len(work.certain[most]) > _MOST_UNITS or rows > _MOST_BATCHES * policy.batch_rows
    if too_many and not policy.allow_all:
        raise PlanError(
            f"a shadow run is for a small window; this one computes {counted(len(work.certain[most]), 'partition')} of "
            f"{most} and reads {rows:,} rows",
            hint="shorten --range, take a part of it with --sample 5, or add --all if it is meant",
        )
    return batches(world.graph, units, rows_by_day(world, units), policy.batch_rows)
