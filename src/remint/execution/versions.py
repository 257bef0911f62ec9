"""Logic versions side by side: what a query reads of them, and what differs between two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remint.errors import UsageError
from remint.execution.diff import Content, DatasetDiff, diff_contents, present, scan_of
from remint.execution.observe import observe_units
from remint.model.dataset import Dataset, DatasetName
from remint.model.digest import ContentDigest
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange, Observed
from remint.model.partition import DateRange, PartitionKey, PartitionSet, split_key
from remint.model.provenance import DataFile, LogicRecord
from remint.planner import versions as planned
from remint.publishing.tools import Tools

ChangesOf = Callable[[Dataset, Sequence[LogicRecord]], Mapping[int, LogicChange]]
"""Says what each version of a dataset changes against the one before, by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A unit's content, apart from where it was recorded."""

    digest: str
    files: tuple[DataFile, ...]


def diff_versions(
    tools: Tools, dataset: Dataset, published: Sequence[LogicRecord], numbers: tuple[int, int], span: DateRange | None
) -> DatasetDiff:
    """Return what differs between two versions of a dataset's logic.

    Versions that are kept beside each other are compared as they are, but for the column that holds the version. Of
    versions that replace each other, the ledger is compared: as it was before the version after each began, in the
    partitions that each of them made.

    Raises:
        UsageError: a version was not published.
    """
    records = {r.number: r for r in published}
    for number in numbers:
        if number not in records:
            known = ", ".join(map(str, sorted(records))) or "none"
            raise UsageError(f"{dataset.name} has no published version {number}; published: {known}")
    if dataset.version.column:
        return _diff_beside(tools, dataset, numbers, span)
    cuts = [_last_of(tools, published, n) for n in numbers]
    old, new = (present(tools.store.records(dataset.name, None, cut)) for cut in cuts)
    logics = tuple(records[n].digest for n in numbers)
    others = {k for k, r in old.items() if r.logic != logics[0]} | {k for k, r in new.items() if r.logic != logics[1]}
    inside = _within(dataset, {*old, *new} - others, span)
    return diff_contents(tools, dataset, _only(old, inside), _only(new, inside))


def _last_of(tools: Tools, published: Sequence[LogicRecord], number: int) -> int | None:
    """Return the newest ledger record before a version after ``number`` began; None when there is none: now."""
    following = min((r for r in published if r.number > number), key=lambda r: r.number, default=None)
    return tools.store.records_of_run(following.run_id)[0].seq - 1 if following else None


def _diff_beside(tools: Tools, dataset: Dataset, numbers: tuple[int, int], span: DateRange | None) -> DatasetDiff:
    column = dataset.version.column or ""
    bare = replace(
        dataset,
        columns=tuple(c for c in dataset.columns if c.name != column),
        key=tuple(c for c in dataset.key if c != column),
        partition=replace(dataset.partition, label=None),
        metrics=tuple(m for m in dataset.metrics if column not in m.sql),
    )
    records = present(tools.store.records(dataset.name))
    sides = []
    for number in numbers:
        keys = PartitionSet.of(dataset.partition.grain, records).only([f"v{number}"])
        files = {split_key(keys.grain, k)[0]: records[k].files for k in keys}
        held = {time: Held(digest="", files=files[time]) for time in _within(bare, files, span)}
        digests = tools.engine.digests(scan_of(tools, bare, held, held))
        empty = str(ContentDigest.empty(tools.engine.digest_scheme))
        sides.append({k: replace(h, digest=str(digests[k]) if k in digests else empty) for k, h in held.items()})
    return diff_contents(tools, bare, *sides)


def _within(dataset: Dataset, keys: Iterable[PartitionKey], span: DateRange | None) -> set[PartitionKey]:
    chosen = PartitionSet.of(dataset.partition.grain, keys)
    return set(span.within(chosen) if span else chosen)


def _only(contents: Mapping[PartitionKey, Content], keys: set[PartitionKey]) -> dict[PartitionKey, Content]:
    return {k: v for k, v in contents.items() if k in keys}


def registry(
    tools: Tools, graph: DatasetGraph, names: Iterable[DatasetName], changes_of: ChangesOf
) -> list[planned.Version]:
    """Return the registry of logic versions of the named datasets, with what is declared and not published yet."""
    far = observe_units(tools, graph, {})
    found = []
    for dataset in (graph[n] for n in names if graph[n].transform and not graph[n].quarantine_of):
        published = far.logics[dataset.name]
        changes = changes_of(dataset, published)
        found += planned.versions(graph, dataset, published, far.standings[dataset.name], changes)
    return found


def deprecated(
    graph: DatasetGraph, observed: Observed, names: Iterable[DatasetName]
) -> dict[DatasetName, dict[int, int]]:
    """Return the partitions of versions that should not be used any more, by dataset and number."""
    counts = {n: planned.deprecated(graph[n], observed.logics[n], observed.standings[n]) for n in names}
    return {name: by_number for name, by_number in counts.items() if by_number}


def deprecated_in(tools: Tools, graph: DatasetGraph, query: str) -> dict[DatasetName, dict[int, int]]:
    """Return the deprecated partitions that a query over ``_versions`` relations may read."""
    bare = {d.name: f"{d.name.split('.', 1)[1]}_versions" for d in graph if d.version.column}
    named = [name for name, words in bare.items() if words in query.lower()]
    return deprecated(graph, observe_units(tools, graph, {}), named) if named else {}
