"""Read published data through a release: every table of the cut, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remint.engines.base import Rows
from remint.execution.diff import DatasetDiff, diff_cuts
from remint.execution.expired import readable
from remint.execution.versions import cut_scans, deprecated_in, diff_versions
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import DateRange
from remint.publishing.tools import Tools


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the datasets of a project as they were published; changes nothing."""

    tools: Tools
    graph: DatasetGraph

    def sql(self, query: str, *, as_of: int | None = None, limit: int = 1000) -> Rows:
        """Run a SELECT over every dataset, as published now or as of a ledger sequence number."""
        newest = self.tools.store.releases()[-1:]
        cut = as_of if as_of is not None else max((r.last_seq for r in newest), default=0)
        scans = cut_scans(self.tools, self.graph, cut)
        return self.tools.engine.query(query, readable(self.tools, self.graph, scans, query), limit)

    def deprecated_in(self, query: str) -> dict[DatasetName, dict[int, int]]:
        """Return the deprecated partitions that a query over ``_versions`` relations may read.

        Returns:
            By dataset and number of the version, how many partitions.
        """
        return deprecated_in(self.tools, self.graph, query)

    def diff(self, before: int, after: int, datasets: Sequence[Dataset]) -> list[DatasetDiff]:
        """Return what differs between two cuts of the ledger."""
        return diff_cuts(self.tools, datasets, before, after, {})

    def diff_versions(self, name: str, numbers: tuple[int, int], span: DateRange | None = None) -> DatasetDiff:
        """Return what differs between two published versions of a dataset's logic.

        Raises:
            UsageError: one of them was not published.
        """
        dataset = self.graph.find(name)
        published = self.tools.store.logics([dataset.name])[dataset.name]
        return diff_versions(self.tools, dataset, published, numbers, span)
