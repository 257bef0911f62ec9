"""Fold what runs recorded into how datasets stand: which units are present, by which logic, and which are suspect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from remint.model.dataset import Dataset, DatasetName
from remint.model.digest import canonical_json, text_digest
from remint.model.graph import DatasetGraph
from remint.model.mapping import ByArrival, Edge
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.model.standing import RunChanges, Standing

Standings = Mapping[DatasetName, Standing]


def usable(graph: DatasetGraph, standings: Standings) -> dict[DatasetName, Standing]:
    """Return the standing of every dataset of ``graph``: empty where none was folded with the edges it has now."""
    found = {}
    for dataset in graph:
        edges = _edges(dataset.partition, tuple(graph.edge(dataset, e) for e in dataset.inputs))
        kept = standings.get(dataset.name)
        events = dataset.arrivals.grain if dataset.arrivals else Grain.DAY
        empty = replace(Standing.empty(dataset.partition.grain, events), edges=edges)
        found[dataset.name] = kept if kept and kept.edges == edges else empty
    return found


@lru_cache(maxsize=4096)
def _edges(partition: PartitionSpec, edges: tuple[Edge, ...]) -> str:
    return text_digest(canonical_json([partition, edges]))


def fold(graph: DatasetGraph, standings: Standings, runs: Iterable[RunChanges]) -> dict[DatasetName, Standing]:
    """Return the standings after ``runs``, which are in ledger order; each dataset skips what it has folded already.

    A unit of an apply run clears its own suspicion only if nobody recorded anything between the run's reading and its
    recording: the comparison of fingerprints settles the others.
    """
    found = usable(graph, standings)
    for run in runs:
        before = dict(found)
        for dataset in graph:
            if found[dataset.name].through_seq < run.last_seq:
                found[dataset.name] = _after(graph, before, dataset, run)
    return {
        d.name: replace(s, suspects=s.suspects | _outversioned(graph, found, d)) for d in graph if (s := found[d.name])
    }


def _after(graph: DatasetGraph, before: Standings, dataset: Dataset, run: RunChanges) -> Standing:
    name, grain = dataset.name, dataset.partition.grain
    standing = before[name]
    suspects = standing.suspects | _reached(graph, before, dataset, run)
    made_by = dict(standing.made_by)
    recorded = PartitionSet(grain)
    for logic, keys in run.made.get(name, {}).items():
        units = PartitionSet.of(grain, keys)
        recorded = recorded | units
        made_by = {other: held - units for other, held in made_by.items()}
        made_by[logic] = made_by.get(logic, PartitionSet(grain)) | units
    gone = PartitionSet.of(grain, run.withdrawn.get(name, ()))
    made_by = {logic: left for logic, held in made_by.items() if (left := held - gone)}
    if dataset.transform is not None:
        suspects = suspects - recorded if run.saw_everything else suspects | recorded
    arrived = standing.arrived | PartitionSet.of(standing.arrived.grain, run.arrived.get(name, ()))
    after = replace(
        standing,
        through_seq=run.last_seq,
        made_by=made_by,
        withdrawn=(standing.withdrawn | gone) - recorded,
        arrived=arrived,
    )
    return replace(after, suspects=suspects & after.present)


def _reached(graph: DatasetGraph, before: Standings, dataset: Dataset, run: RunChanges) -> PartitionSet:
    """Return the units that are present and read something that the run changed."""
    reached = dataset.no_units()
    present = before[dataset.name].present
    for entry in dataset.inputs:
        source = graph[entry.dataset]
        is_arrival = isinstance(entry.mapping, ByArrival)
        keys = (run.arrived if is_arrival else run.changed).get(entry.dataset, ())
        if not keys or not present:
            continue
        edge = graph.edge(dataset, entry)
        changed = PartitionSet.of(edge.source.grain, keys)
        held = before[source.name]
        known = held.arrived if is_arrival else held.present
        reached = reached | edge.downstream(changed, present, known | changed)
    return reached


def _outversioned(graph: DatasetGraph, found: Standings, dataset: Dataset) -> PartitionSet:
    """Return the units that may be made from partitions of an older version, of which the present one has none yet."""
    units, present = dataset.no_units(), found[dataset.name].present
    for entry in dataset.inputs:
        version = graph[entry.dataset].fixed_value
        if not version or entry.dataset == dataset.name:
            continue
        held = found[entry.dataset].present
        made = held.only([version])
        awaited = (held - made).over([version]) - made
        units = units | graph.edge(dataset, entry).downstream(awaited, present, made | awaited)
    return units
