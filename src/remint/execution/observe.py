"""Read the world once: ledger heads, arrivals, foreign partitions, outstanding runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from remint.errors import PlanError
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.observation import Observed
from remint.model.partition import PartitionSet
from remint.planner.coverage import covered_days
from remint.planner.staleness import changed_heads
from remint.publishing.tools import Tools
from remint.store.base import CoverageKind


def observe(tools: Tools, graph: DatasetGraph) -> Observed:
    """Return the state of every dataset of ``graph``; reads only."""
    store = tools.store
    names = [d.name for d in graph]
    observed = Observed(
        heads=store.heads(names),
        arrivals={d.name: store.arrivals(d.name) for d in graph if d.arrivals},
        foreign=dict(_foreign(tools, graph)),
        outstanding=tuple(store.outstanding()),
    )
    observed = replace(observed, covered=dict(_covered(tools, graph, observed)))
    return replace(observed, inputs=store.inputs(changed_heads(graph, observed)))


def _covered(tools: Tools, graph: DatasetGraph, observed: Observed) -> Iterable[tuple[DatasetName, PartitionSet]]:
    """Yield the days that each source has answered for."""
    for dataset in graph:
        if dataset.source is None:
            continue
        asked = [(c.start, c.end) for c in tools.store.coverage(dataset.name) if c.kind is CoverageKind.DAYS]
        days = covered_days(dataset, asked, observed.arrivals.get(dataset.name, {}))
        if days is not None:
            yield dataset.name, days


def _foreign(tools: Tools, graph: DatasetGraph) -> Iterable[tuple[DatasetName, PartitionSet]]:
    """Yield the partitions whose live files are not those of the ledger; only tables that moved are opened."""
    seen = tools.store.tables_seen()
    for dataset in graph:
        table = tools.table(dataset)
        version = tools.tables.version(table)
        if version == seen.get(dataset.name):
            continue
        found = foreign_keys(tools, dataset)
        if found:
            yield dataset.name, found


def foreign_keys(tools: Tools, dataset: Dataset) -> PartitionSet:
    """Return the partitions of one table whose live files are not those of the ledger.

    Raises:
        PlanError: somebody else wrote rows without a partition value, which nothing here can name.
    """
    table = tools.table(dataset)
    live = {} if tools.tables.version(table) is None else tools.tables.live_files(table)
    ledger = {
        key: frozenset(f.path for f in record.files)
        for key, record in tools.store.records(dataset.name).items()
        if record.files
    }
    if "" in live:
        column = dataset.partition.column
        raise PlanError(
            f"{dataset.name}: somebody else wrote rows without {column} ({tools.tables.last_writer(table)} is the "
            "newest commit), and no partition can hold them",
            hint=f"delete them with the tool that wrote them: DELETE ... WHERE {column} IS NULL",
        )
    different = [key for key in {*live, *ledger} if live.get(key, frozenset()) != ledger.get(key, frozenset())]
    return PartitionSet.of(dataset.partition.grain, different)
