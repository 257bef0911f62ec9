"""Is a unit stale, and why? Exact: a unit is stale iff the fingerprint it should have differs from the ledger's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remint.model.dataset import Dataset, DatasetName, Input
from remint.model.digest import fingerprint
from remint.model.graph import DatasetGraph
from remint.model.mapping import ByArrival, domain, upstream
from remint.model.observation import Observed
from remint.model.partition import Grain, PartitionKey, PartitionSet
from remint.model.plan import Reason, StaleCause
from remint.model.provenance import Head
from remint.model.wording import counted

FOREIGN_STATE = "foreign"
"""State of a unit whose files somebody else changed."""
Digests = Mapping[PartitionKey, str]
"""Content digest, as text, by upstream key."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of every input of the graph, by the key under which consumers read it."""

    published: Mapping[DatasetName, Digests]
    arrived: Mapping[DatasetName, Digests]

    @classmethod
    def of(cls, observed: Observed) -> Contents:
        """Return what is published and what has arrived, as digests."""
        published = {
            name: {key: head.digest for key, head in heads.items() if not head.is_missing}
            for name, heads in observed.heads.items()
        }
        arrived = {
            name: {key: str(content.digest) for key, content in by_key.items()}
            for name, by_key in observed.arrivals.items()
        }
        return cls(published, arrived)

    def read_by(self, entry: Input) -> Digests:
        """Return the digests that a consumer sees through ``entry``."""
        source = self.arrived if isinstance(entry.mapping, ByArrival) else self.published
        return source.get(entry.dataset, {})

    def overlaid(self, staged: Mapping[DatasetName, Digests]) -> Contents:
        """Return the contents as they will be once ``staged`` is published."""
        merged = {name: {**self.published.get(name, {}), **digests} for name, digests in staged.items()}
        return Contents({**self.published, **merged}, self.arrived)


def input_grain(graph: DatasetGraph, entry: Input) -> Grain:
    """Return the grain of the keys under which ``entry`` reads its dataset."""
    source = graph[entry.dataset]
    if isinstance(entry.mapping, ByArrival) and source.arrivals is not None:
        return source.arrivals.grain
    return source.partition.grain


def input_keys(graph: DatasetGraph, dataset: Dataset, entry: Input, keys: PartitionSet) -> PartitionSet:
    """Return the upstream keys that the units ``keys`` of ``dataset`` read through ``entry``."""
    return upstream(entry.mapping, keys, input_grain(graph, entry))


def unit_inputs(
    graph: DatasetGraph, dataset: Dataset, key: PartitionKey, contents: Contents
) -> dict[str, dict[str, str]]:
    """Return, for each input alias, the digest of every upstream key that exists and the unit reads."""
    unit = PartitionSet.of(dataset.partition.grain, [key])
    found: dict[str, dict[str, str]] = {}
    for entry in dataset.inputs:
        digests = contents.read_by(entry)
        found[entry.alias] = {k: digests[k] for k in input_keys(graph, dataset, entry, unit) if k in digests}
    return found


def unit_fingerprint(graph: DatasetGraph, dataset: Dataset, key: PartitionKey, contents: Contents) -> str:
    """Return what the unit should be made from, given ``contents``."""
    return fingerprint(dataset.logic_digest, unit_inputs(graph, dataset, key, contents))


def unit_state(observed: Observed, contents: Contents, name: DatasetName, key: PartitionKey, *, arrived: bool) -> str:
    """Return what a plan requires to be still so when it is applied: the content of a unit, or that it is foreign."""
    if arrived:
        return contents.arrived.get(name, {}).get(key, "")
    is_foreign = name in observed.foreign and key in observed.foreign[name]
    return FOREIGN_STATE if is_foreign else contents.published.get(name, {}).get(key, "")


def domains(graph: DatasetGraph, observed: Observed) -> dict[DatasetName, PartitionSet]:
    """Return every unit that should exist, by dataset: those published and those that their inputs call for.

    A partition that somebody else made counts too, so that planning empties it again.
    """
    found: dict[DatasetName, PartitionSet] = {}
    for dataset in graph:
        grain = dataset.partition.grain
        keys = PartitionSet.of(grain, observed.heads.get(dataset.name, {}))
        if dataset.transform:
            keys = keys | observed.foreign.get(dataset.name, PartitionSet(grain))
        for entry in dataset.inputs:
            if isinstance(entry.mapping, ByArrival):
                source = PartitionSet.of(input_grain(graph, entry), observed.arrivals.get(entry.dataset, {}))
            else:
                source = found[entry.dataset]
            keys = keys | domain(entry.mapping, source, grain)
        found[dataset.name] = keys
    return found


def changed_heads(graph: DatasetGraph, observed: Observed) -> tuple[int, ...]:
    """Return the ledger numbers of the heads whose inputs are not what they were made from."""
    contents = Contents.of(observed)
    return tuple(
        head.seq
        for dataset in graph
        if dataset.transform
        for key, head in observed.heads.get(dataset.name, {}).items()
        if not head.is_missing and head.fingerprint != unit_fingerprint(graph, dataset, key, contents)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause found for one unit; ``rows`` counts what changed where that is known."""

    cause: StaleCause
    about: str
    """What it is about: the input's dataset, or the logic change in words."""
    rows: int = 0


def findings(
    graph: DatasetGraph, dataset: Dataset, key: PartitionKey, contents: Contents, observed: Observed
) -> list[Finding]:
    """Return why the unit is not fresh as things stand; empty when it is fresh."""
    head = observed.heads.get(dataset.name, {}).get(key)
    found = []
    if key in observed.foreign.get(dataset.name, PartitionSet(dataset.partition.grain)):
        found.append(Finding(cause=StaleCause.FOREIGN, about="its files are not those that remint published"))
    if head is None or head.is_missing:
        about = "never published" if head is None else "rolled back"
        return [*found, Finding(cause=StaleCause.MISSING, about=about)]
    if head.logic != dataset.logic_digest:
        words = observed.logic_changes.get(dataset.name, {}).get(head.logic, "the logic changed")
        found.append(Finding(cause=StaleCause.LOGIC, about=words))
    now = unit_inputs(graph, dataset, key, contents)
    if head.fingerprint != fingerprint(head.logic, now):
        found.extend(_changed_inputs(dataset, head, now, observed))
    return found


def _changed_inputs(dataset: Dataset, head: Head, now: Mapping[str, Digests], observed: Observed) -> Iterable[Finding]:
    then = observed.inputs.get(head.seq, {})
    for entry in dataset.inputs:
        before, after = then.get(entry.alias, {}), now.get(entry.alias, {})
        # Another logic may read other partitions; that is the logic's doing, not the data's.
        shared = {*before, *after} if head.logic == dataset.logic_digest else {*before} & {*after}
        changed = [k for k in shared if before.get(k) != after.get(k)]
        if not changed:
            continue
        rows = sum(_rows(after.get(k)) - _rows(before.get(k)) for k in changed)
        cause = StaleCause.DATA if isinstance(entry.mapping, ByArrival) else StaleCause.UPSTREAM
        yield Finding(cause=cause, about=entry.dataset, rows=rows)


def _rows(digest: str | None) -> int:
    return int(digest.rsplit(":", 2)[1]) if digest else 0


def in_words(found: Iterable[Finding]) -> tuple[Reason, ...]:
    """Return the findings of a group of units as reasons, one for each cause and subject, in a fixed order."""
    totals: dict[tuple[StaleCause, str], int] = {}
    for finding in found:
        place = (finding.cause, finding.about)
        totals[place] = totals.get(place, 0) + finding.rows
    order = list(StaleCause)
    return tuple(
        Reason(cause=cause, detail=_detail(cause, about, rows))
        for (cause, about), rows in sorted(totals.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    )


def _detail(cause: StaleCause, about: str, rows: int) -> str:
    if cause is StaleCause.DATA:
        return f"{_signed(rows)} arrived in {about}" if rows else f"content of {about} changed"
    if cause is StaleCause.UPSTREAM:
        return f"{about} was republished" + (f" ({_signed(rows)})" if rows else "")
    return about


def _signed(rows: int) -> str:
    return f"{'+' if rows > 0 else ''}{counted(rows, 'row')}"
