"""Stage one dataset's units of one batch: resolve pinned inputs, run the query, decide what really changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from remint.engines.base import Scan, Staged, StageWork
from remint.model.dataset import Dataset, DatasetName, Input
from remint.model.digest import canonical, fingerprint
from remint.model.graph import DatasetGraph
from remint.model.mapping import ByArrival
from remint.model.observation import Columns, Observed
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import DataFile
from remint.planner.staleness import Contents, domains, input_keys, unit_inputs
from remint.publishing.intact import Depth, flawed_files, published_files, require_intact
from remint.publishing.scheme import known_again
from remint.publishing.tools import Tools
from remint.storage.base import below


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedUnit:
    """One unit as a run made it."""

    key: PartitionKey
    fingerprint: str
    inputs: Mapping[str, Mapping[str, str]]
    digest: str
    projections: Mapping[str, str]
    """Digest over each set of columns that a consumer reads, by those columns with commas."""
    files: tuple[DataFile, ...]
    """The unit's files from now on: the staged ones, or the live ones where the content came out the same."""
    is_confirmed: bool
    """The content equals what is live, so nothing is republished."""


def outline(tools: Tools, graph: DatasetGraph, dataset: Dataset, keys: PartitionSet, now: str) -> StageWork:
    """Return the staging of ``keys`` with inputs that name no file: enough to say whether an engine can do it."""
    sources = {entry.alias: graph[entry.dataset] for entry in dataset.inputs}
    return StageWork(
        dataset=dataset,
        keys=keys,
        inputs={alias: tools.scan(source, ()) for alias, source in sources.items()},
        context=PartitionSet(keys.grain),
        root=tools.folder(dataset),
        token="",
        now=now,
        function=tools.function_of(dataset),
    )


@dataclass(slots=True)
class Workpiece:
    """A run in the making: what it has staged so far, laid over what is published."""

    tools: Tools
    graph: DatasetGraph
    observed: Observed
    certain: Mapping[DatasetName, PartitionSet]
    run_id: str
    now: str = ""
    """ISO UTC time that ``run.now`` stands for: when the plan was made that is carried out, or proved."""
    beside: Path | None = None
    """Folder to stage below instead of the tables' own folders: for what is never published."""
    staged: dict[DatasetName, dict[PartitionKey, StagedUnit]] = field(default_factory=dict)
    proven: dict[str, int] = field(default_factory=dict)
    """Places of the files that this command has written or compared with what was published, and their bytes."""
    before: Contents = field(init=False)
    """The content of every input as it was before this run."""
    after: Contents = field(init=False)
    """The same as it will be once this run is published."""
    domains: Mapping[DatasetName, PartitionSet] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.after = Contents.of(self.observed)
        self.domains = domains(self.graph, self.observed)

    def add(self, name: DatasetName, units: Iterable[StagedUnit]) -> None:
        """Lay more staged units over what is published."""
        made = {u.key: u for u in units}
        self.staged.setdefault(name, {}).update(made)
        if not made:
            return
        dataset = self.graph[name]
        folder = self.tools.folder(dataset)
        mine = [f for u in made.values() if not u.is_confirmed for f in u.files]
        self.proven.update({below(folder, f.path): f.size_bytes for f in mine})
        projected = {}
        for columns in dataset.read_as:
            spelled = ",".join(columns)
            projected[name, columns] = {k: u.projections[spelled] for k, u in made.items() if spelled in u.projections}
        keys = PartitionSet.of(dataset.partition.grain, made)
        self.after = self.after.overlaid({name: {k: u.digest for k, u in made.items()}}, projected, {name: keys})

    def files(self, dataset: Dataset, keys: PartitionSet) -> list[DataFile]:
        """Return the files of ``keys``: this run's where it made them, else the published ones."""
        made = self.staged.get(dataset.name, {})
        rest = PartitionSet.of(keys.grain, (k for k in keys if k not in made))
        published = self.tools.store.records(dataset.name, list(rest)) if rest else {}
        chosen = {k: made[k].files for k in keys if k in made} | {k: r.files for k, r in published.items()}
        return [file for key in sorted(chosen) for file in chosen[key]]

    def due(self, dataset: Dataset, keys: PartitionSet) -> PartitionSet:
        """Return which of ``keys`` must be made; the others turned out to need nothing (early cutoff)."""
        sure = self.certain.get(dataset.name, PartitionSet(keys.grain))
        return PartitionSet.of(keys.grain, (k for k in keys if k in sure or self._is_moved(dataset, k)))

    def _is_moved(self, dataset: Dataset, key: PartitionKey) -> bool:
        """Return whether this run changed what the unit reads; that it was stale before is not this run's business."""
        inputs = unit_inputs(self.graph, dataset, key, self.after)
        head = self.observed.heads.get(dataset.name, {}).get(key)
        if head is not None and head.fingerprint == fingerprint(dataset.logic_digest, inputs):
            return False
        return inputs != unit_inputs(self.graph, dataset, key, self.before)

    def work(self, dataset: Dataset, keys: PartitionSet, token: str) -> StageWork:
        """Return the staging of ``keys`` with every input pinned to files."""
        beside = PartitionSet(keys.grain)
        inputs = {}
        for entry in dataset.inputs:
            edge = self.graph.edge(dataset, entry)
            read = input_keys(self.graph, dataset, entry, keys, self.after)
            beside = beside | edge.downstream(read, self.domains[dataset.name], read)
            inputs[entry.alias] = self._scan(entry, read)
        table = self.tools.table(dataset)
        return StageWork(
            dataset=dataset,
            keys=keys,
            inputs=inputs,
            context=beside - keys,
            root=self._folder(dataset),
            token=token,
            layout=self.tools.tables.layout(table),
            now=self.now,
            function=self.tools.function_of(dataset),
        )

    def _folder(self, dataset: Dataset) -> str:
        return self.tools.folder(dataset) if self.beside is None else str(self.beside / dataset.location)

    def _scan(self, entry: Input, wanted: PartitionSet) -> Scan:
        source = self.graph[entry.dataset]
        if isinstance(entry.mapping, ByArrival) and source.arrivals is not None:
            days, files = list(wanted), self.tools.store.arrival_files
            paths, rivals = files(source.name, days), files(source.name, days, rivals=True)
            files_read = published_files(self.tools, source, {*paths, *rivals})
            self.prove(source, files_read)
            return replace(
                self.tools.scan(source, files_read),
                paths=tuple(paths),
                only=wanted,
                only_column=source.arrivals.column,
                only_label=source.arrivals.label or "",
                key=source.arrivals.key,
                rivals=tuple(rivals),
            )
        held = self.files(source, wanted)
        self.prove(source, held)
        return self.tools.scan(source, held)

    def prove(self, dataset: Dataset, files: Iterable[DataFile]) -> None:
        """Hash the files that this command has not hashed yet; nothing is read that is not as it was published.

        Raises:
            FilesDamaged: names the files, with what was expected and found.
        """
        folder = self.tools.folder(dataset)
        new = {path: f for f in files if (path := below(folder, f.path)) not in self.proven}
        require_intact(self.tools, dataset, list(new.values()))
        self.proven.update({path: f.size_bytes for path, f in new.items()})

    def rows_arrived(self, dataset: Dataset, keys: PartitionSet) -> int | None:
        """Return the rows that ingest recorded for the units of a parsing dataset; None where it reads no arrivals."""
        if dataset.parse is None:
            return None
        entry = next(e for e in dataset.inputs if e.alias == dataset.parse.alias)
        if not isinstance(entry.mapping, ByArrival):
            return None
        arrived = self.observed.arrivals.get(entry.dataset, {})
        read = input_keys(self.graph, dataset, entry, keys, self.after)
        return sum(arrived[k].digest.rows for k in read if k in arrived)

    def units(self, dataset: Dataset, keys: PartitionSet, staged: Staged) -> list[StagedUnit]:
        """Return the staged units, each compared with what is live; staged copies of the same content are deleted."""
        heads = self.observed.heads.get(dataset.name, {})
        foreign = self.observed.foreign_keys(dataset.name)
        storage, folder = self.tools.storage, self.tools.folder(dataset)
        by_key: dict[PartitionKey, list[DataFile]] = {key: [] for key in keys}
        for file in staged.files:
            # Beside the tables, paths are absolute: what is published is read from below the table's folder.
            path = file.path if self.beside is None else below(self._folder(dataset), file.path)
            by_key[file.key].append(replace(file, path=path))
        made = []
        digests, projections = self._known_again(dataset, staged)
        alike = [
            key
            for key in by_key
            if (head := heads.get(key)) and not head.is_missing and head.digest == digests[key] and key not in foreign
        ]
        records = self.tools.store.records(dataset.name, alike) if alike else {}
        live_files = [f for record in records.values() for f in record.files]
        odd = self.tools.tables.said_otherwise(self.tools.table(dataset), live_files) if live_files else {}
        for key, files in by_key.items():
            digest, same = digests[key], key in records
            inputs = unit_inputs(self.graph, dataset, key, self.after)
            kept = tuple(files)
            if same:
                live = records[key].files
                # What is live must hold that on disk too, and for other programs; else the new files take its place.
                same = not any(f.path in odd for f in live)
                same = same and not flawed_files(storage, folder, live, Depth.CONTENT)
            if same:
                kept = live
                self.proven.update({below(folder, f.path): f.size_bytes for f in live})
                storage.delete(below(folder, f.path) for f in files)
            made.append(
                StagedUnit(
                    key=key,
                    fingerprint=fingerprint(dataset.logic_digest, inputs),
                    inputs=inputs,
                    digest=digest,
                    projections={",".join(c): found[key] for c, found in projections.items()},
                    files=kept,
                    is_confirmed=same,
                )
            )
        return made

    def _known_again(
        self, dataset: Dataset, staged: Staged
    ) -> tuple[dict[PartitionKey, str], dict[Columns, dict[PartitionKey, str]]]:
        """Return the digests of what was staged, over all and over some columns, by the texts by which it is known."""
        heads = self.observed.heads.get(dataset.name, {})
        known = {key: head.digest for key, head in heads.items() if not head.is_missing}
        digests = known_again(self.tools, dataset, {k: str(d) for k, d in staged.digests.items()}, known)
        projections = {}
        for columns, found in staged.projections.items():
            before = self.observed.projections.get((dataset.name, columns), {})
            texts = {k: str(d) for k, d in found.items()}
            projections[columns] = known_again(self.tools, dataset, texts, before, columns)
        return digests, projections


def discard_beside(folder: Path) -> None:
    """Delete everything that was staged beside the tables."""
    shutil.rmtree(folder, ignore_errors=True)


def to_payload(units: Iterable[StagedUnit]) -> list[dict[str, Any]]:
    """Return staged units as the journal keeps them."""
    return [canonical(unit) for unit in units]


def from_payload(rows: Iterable[Mapping[str, Any]]) -> list[StagedUnit]:
    """Return the staged units that ``to_payload`` wrote."""
    return [StagedUnit(**{**row, "files": tuple(DataFile(**f) for f in row["files"])}) for row in rows]
