"""The validated graph of datasets: order, neighbours and selectors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from remint.errors import ProjectError, UnknownDataset
from remint.model.dataset import Dataset, DatasetName, Input, Layer
from remint.model.mapping import ByArrival, Edge


@dataclass(frozen=True, slots=True)
class DatasetGraph:
    """Datasets by name, in an order in which every dataset stands behind what it reads."""

    datasets: Mapping[DatasetName, Dataset]

    @classmethod
    def build(cls, datasets: Iterable[Dataset]) -> DatasetGraph:
        """Return the graph of ``datasets``, upstream first, ties by name.

        Raises:
            ProjectError: the inputs form a cycle; the message shows it.
        """
        by_name = {d.name: d for d in sorted(datasets, key=lambda d: d.name)}
        sorter = TopologicalSorter(
            {
                # Reading one's own earlier partitions is an order of units, not of datasets.
                name: [i.dataset for i in d.inputs if i.dataset in by_name and i.dataset != name]
                for name, d in by_name.items()
            }
        )
        try:
            sorter.prepare()
        except CycleError as error:
            raise ProjectError("inputs form a cycle: " + " -> ".join(reversed(error.args[1]))) from None
        order: list[DatasetName] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=lambda n: (list(Layer).index(by_name[n].layer), n))
            order.extend(ready)
            sorter.done(*ready)
        return cls({name: by_name[name] for name in order})

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.datasets.values())

    def __getitem__(self, name: DatasetName) -> Dataset:
        return self.datasets[name]

    def edge(self, reader: Dataset, entry: Input) -> Edge:
        """Return how the units of ``reader`` and the partitions that it reads through ``entry`` lead to each other."""
        source = self.datasets[entry.dataset]
        by_arrival = isinstance(entry.mapping, ByArrival) and source.arrivals is not None
        return Edge(
            mapping=entry.mapping,
            reader=reader.partition,
            source=source.arrivals.spec if by_arrival and source.arrivals else source.partition,
            reader_version=reader.fixed_value,
            source_version="" if by_arrival else source.fixed_value,
        )

    def downstream(self, name: DatasetName) -> set[DatasetName]:
        """Return every other dataset that reads ``name``, at any depth."""
        found: set[DatasetName] = set()
        for dataset in self:
            if dataset.name != name and any(i.dataset == name or i.dataset in found for i in dataset.inputs):
                found.add(dataset.name)
        return found

    def upstream(self, name: DatasetName) -> set[DatasetName]:
        """Return every dataset that ``name`` reads, at any depth."""
        found: set[DatasetName] = set()
        pending = [name]
        while pending:
            for entry in self.datasets[pending.pop()].inputs:
                if entry.dataset not in found and entry.dataset != name:
                    found.add(entry.dataset)
                    pending.append(entry.dataset)
        return found

    def find(self, name: str) -> Dataset:
        """Return the dataset called ``name``: in full, or bare where only one layer has it.

        Raises:
            UnknownDataset: none or several match; the hint names the nearest.
        """
        if name in self.datasets:
            return self.datasets[name]
        bare = [full for full in self.datasets if full.split(".", 1)[1] == name]
        if len(bare) == 1:
            return self.datasets[bare[0]]
        if bare:
            raise UnknownDataset(f"{name!r} could be {' or '.join(bare)}", hint=f"write the layer too: {bare[0]}")
        shown = difflib.get_close_matches(name, [*self.datasets, *(n.split(".", 1)[1] for n in self.datasets)], n=3)
        near = f"; nearest: {', '.join(shown)}" if shown else ""
        raise UnknownDataset(f"no dataset is called {name!r}{near}", hint="remint show    # lists the datasets")

    def select(self, selectors: Iterable[str]) -> tuple[DatasetName, ...]:
        """Return the datasets that ``selectors`` name, upstream first; all of them for no selector.

        A selector is ``name``, ``layer:gold``, ``name+`` (with downstream) or ``+name`` (with upstream). A dataset
        brings its quarantine along.

        Raises:
            UnknownDataset: a selector names nothing.
        """
        chosen: set[DatasetName] = set()
        wanted = tuple(selectors)
        for selector in wanted:
            if selector.startswith("layer:"):
                chosen |= self._layer(selector.removeprefix("layer:"))
                continue
            dataset = self.find(selector.strip("+"))
            chosen.add(dataset.name)
            if selector.endswith("+"):
                chosen |= self.downstream(dataset.name)
            if selector.startswith("+"):
                chosen |= self.upstream(dataset.name)
        chosen |= {d.name for d in self if d.quarantine_of in chosen}
        return tuple(name for name in self.datasets if not wanted or name in chosen)

    def _layer(self, text: str) -> set[DatasetName]:
        found = {d.name for d in self if d.layer.value == text}
        if not found:
            layers = sorted({d.layer.value for d in self})
            raise UnknownDataset(f"no dataset is in a layer called {text!r}", hint="layers here: " + ", ".join(layers))
        return found
