"""Is a unit stale, and why? Exact: a unit is stale iff the fingerprint it should have differs from the ledger's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from remint.model.dataset import Dataset, DatasetName, Input
from remint.model.digest import fingerprint, text_digest
from remint.model.graph import DatasetGraph
from remint.model.mapping import ByArrival
from remint.model.observation import Observed
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.plan import Reason, StaleCause
from remint.model.provenance import Head
from remint.model.wording import counted

Digests = Mapping[PartitionKey, str]
"""Content digest, as text, by upstream key."""
_LISTED = 500
"""Inputs of more partitions are recorded as one digest: the ledger, as of the run's reading, has the list."""
WHOLE = "*"
"""Key of the one digest of an input with more than ``_LISTED`` partitions."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of every input, by the key under which consumers read it."""

    present: Mapping[DatasetName, PartitionSet]
    """Keys that are published."""
    arrived_keys: Mapping[DatasetName, PartitionSet]
    published: Mapping[DatasetName, Digests]
    """Over all columns, of those keys that were observed."""
    projected: Mapping[tuple[DatasetName, tuple[str, ...]], Digests]
    """Over some columns; a key that is missing here is known over all columns only."""
    arrived: Mapping[DatasetName, Digests]
    _known: dict[Any, Digests] = field(default_factory=dict)

    @classmethod
    def of(cls, observed: Observed) -> Contents:
        """Return what is published and what has arrived, as digests."""
        return cls(
            present={name: standing.present for name, standing in observed.standings.items()},
            arrived_keys={name: standing.arrived for name, standing in observed.standings.items()},
            published={
                name: {key: head.digest for key, head in heads.items() if not head.is_missing}
                for name, heads in observed.heads.items()
            },
            projected=observed.projections,
            arrived={
                name: {key: str(content.digest) for key, content in by_key.items()}
                for name, by_key in observed.arrivals.items()
            },
        )

    def keys(self, entry: Input, none: PartitionSet) -> PartitionSet:
        """Return the keys that exist of what ``entry`` reads; ``none`` where nothing does."""
        source = self.arrived_keys if isinstance(entry.mapping, ByArrival) else self.present
        return source.get(entry.dataset, none)

    def digest(self, entry: Input, key: PartitionKey) -> str:
        """Return the digest that a consumer sees through ``entry``; empty where the content is not known."""
        if isinstance(entry.mapping, ByArrival):
            return self.arrived.get(entry.dataset, {}).get(key, "")
        if entry.columns is not None:
            found = self.projected.get((entry.dataset, entry.columns), {}).get(key)
            if found:
                return found
        return self.published.get(entry.dataset, {}).get(key, "")

    def rows(self, entry: Input, key: PartitionKey) -> int:
        """Return the rows that a consumer reads through ``entry``; 0 where the content is not known."""
        return _rows(self.digest(entry, key))

    def read(self, entry: Input, keys: PartitionSet) -> Digests:
        """Return the digest of each of ``keys`` as recorded for a unit: one by one, or one for many."""
        place = (entry.dataset, entry.columns, entry.mapping.kind == "by_arrival", keys)
        if place not in self._known:
            found = {key: self.digest(entry, key) for key in keys}
            if len(found) > _LISTED:
                listed = "\n".join(f"{key} {digest}" for key, digest in found.items())
                found = {WHOLE: f"{text_digest(listed)}:{sum(map(_rows, found.values()))}:{len(found)}"}
            if len(self._known) > 4096:
                self._known.clear()
            self._known[place] = found
        return self._known[place]

    def overlaid(
        self,
        staged: Mapping[DatasetName, Digests],
        projected: Mapping[tuple[DatasetName, tuple[str, ...]], Digests],
        present: Mapping[DatasetName, PartitionSet],
    ) -> Contents:
        """Return the contents as they will be once ``staged`` is published; ``present`` names the keys staged."""
        keys = {name: self.present[name] | more for name, more in present.items()}
        merged = {name: {**self.published.get(name, {}), **digests} for name, digests in staged.items()}
        columns = {place: {**self.projected.get(place, {}), **digests} for place, digests in projected.items()}
        return Contents(
            {**self.present, **keys},
            self.arrived_keys,
            {**self.published, **merged},
            {**self.projected, **columns},
            self.arrived,
        )


def input_keys(
    graph: DatasetGraph, dataset: Dataset, entry: Input, keys: PartitionSet, contents: Contents
) -> PartitionSet:
    """Return the upstream keys that exist and that the units ``keys`` of ``dataset`` read through ``entry``."""
    edge = graph.edge(dataset, entry)
    return edge.upstream(keys, contents.keys(entry, PartitionSet(edge.source.grain)))


def unit_inputs(graph: DatasetGraph, dataset: Dataset, key: PartitionKey, contents: Contents) -> dict[str, Digests]:
    """Return, for each input alias, the digest of every upstream key that exists and the unit reads."""
    unit = PartitionSet.of(dataset.partition.grain, [key])
    return {
        entry.alias: contents.read(entry, input_keys(graph, dataset, entry, unit, contents)) for entry in dataset.inputs
    }


def domains(graph: DatasetGraph, observed: Observed) -> dict[DatasetName, PartitionSet]:
    """Return every unit that should exist, by dataset: those published and those that their inputs call for.

    A partition that somebody else made counts too, so that planning empties it again. Partitions of older logic
    versions that were kept do not: nothing makes them again.
    """
    found: dict[DatasetName, PartitionSet] = {}
    for dataset in graph:
        standing = observed.standings[dataset.name]
        keys = standing.present
        if dataset.transform:
            keys = keys | observed.foreign_keys(dataset.name)
        if dataset.fixed_value:
            keys = keys.only([dataset.fixed_value])
        for entry in dataset.inputs:
            if entry.dataset == dataset.name:
                continue
            is_arrival = isinstance(entry.mapping, ByArrival)
            source = observed.standings[entry.dataset].arrived if is_arrival else found[entry.dataset]
            keys = keys | graph.edge(dataset, entry).domain(source)
        found[dataset.name] = keys
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause found for one unit, or for several alike."""

    cause: StaleCause
    about: str
    """What it is about: the input's dataset, or the logic change in words."""
    rows: Mapping[PartitionKey, Mapping[PartitionKey, int]] = field(default_factory=dict)
    """By unit, how many rows more each partition that it reads holds than when the unit was made."""
    by: str = ""
    """The run that changed the input, and why it was made."""


def is_outdated(graph: DatasetGraph, dataset: Dataset, head: Head, contents: Contents) -> bool:
    """Return whether what the unit reads is not what its head was made from, by the logic that made it."""
    return head.fingerprint != fingerprint(head.logic, unit_inputs(graph, dataset, head.key, contents))


def changed_heads(graph: DatasetGraph, observed: Observed) -> tuple[int, ...]:
    """Return the ledger numbers of the suspects whose inputs are not what they were made from."""
    contents = Contents.of(observed)
    return tuple(
        head.seq
        for dataset in graph
        if dataset.transform
        for key in observed.standings[dataset.name].suspects
        if (head := observed.heads.get(dataset.name, {}).get(key)) and is_outdated(graph, dataset, head, contents)
    )


def changed_inputs(
    graph: DatasetGraph, dataset: Dataset, head: Head, contents: Contents, observed: Observed
) -> Iterable[Finding]:
    """Yield what the unit reads that is not what it was made from."""
    now = unit_inputs(graph, dataset, head.key, contents)
    if head.fingerprint == fingerprint(head.logic, now):
        return
    then = observed.inputs.get(head.seq, {})
    for entry in dataset.inputs:
        before, after = then.get(entry.alias, {}), now.get(entry.alias, {})
        # Another logic may read other partitions; that is the logic's doing, not the data's.
        shared = {*before, *after} if head.logic == dataset.logic_digest else {*before} & {*after}
        changed = [k for k in shared if before.get(k) != after.get(k)]
        if not changed:
            continue
        rows = {head.key: {k: _rows(after.get(k)) - _rows(before.get(k)) for k in changed}}
        is_arrival = isinstance(entry.mapping, ByArrival)
        heads = {} if is_arrival else observed.heads.get(entry.dataset, {})
        runs = sorted({observed.runs.get(heads[k].run_id, heads[k].run_id) for k in changed if k in heads})
        cause = StaleCause.DATA if is_arrival else StaleCause.UPSTREAM
        yield Finding(cause=cause, about=entry.dataset, rows=rows, by=runs[-1] if runs else "")


def _rows(digest: str | None) -> int:
    return int(digest.rsplit(":", 2)[1]) if digest else 0


def in_words(found: Iterable[Finding], units: PartitionSet) -> tuple[Reason, ...]:
    """Return the findings of the group ``units`` as reasons, one for each cause and subject, in a fixed order."""
    groups: dict[tuple[StaleCause, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.cause, finding.about), []).append(finding)
    order = list(StaleCause)
    return tuple(
        Reason(
            cause=cause,
            detail=_detail(cause, about, _rows_more(alike, units)),
            roots=tuple(sorted({f.by for f in alike if f.by})),
        )
        for (cause, about), alike in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    )


def _rows_more(found: Iterable[Finding], units: PartitionSet) -> int:
    """Return how many rows more ``units`` read now; 0 where no one number is true of all of them.

    A partition counts once, however many units read it. Units that were made from different contents of it have no
    number in common.
    """
    more: dict[PartitionKey, int] = {}
    for changed in (c for finding in found for unit, c in finding.rows.items() if unit in units):
        for key, rows in changed.items():
            if key in more and (key == WHOLE or more[key] != rows):
                return 0
            more[key] = rows
    return sum(more.values())


def _detail(cause: StaleCause, about: str, rows: int) -> str:
    if cause is StaleCause.DATA:
        return f"{_signed(rows)} arrived in {about}" if rows else f"content of {about} changed"
    if cause is StaleCause.UPSTREAM:
        return f"{about} was republished" + (f" ({_signed(rows)})" if rows else "")
    return about


def _signed(rows: int) -> str:
    return f"{'+' if rows > 0 else ''}{counted(rows, 'row')}"
