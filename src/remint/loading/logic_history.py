"""What the declared logic changes against what was published before, in words for a plan's reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange
from remint.model.provenance import LogicRecord

_FORM_ALONE = "changes how the SQL is written"


class _Changes(Mapping[str, LogicChange]):
    """Changes by digest, found when they are asked for: only a stale unit needs them, and they need a parser."""

    def __init__(self, dataset: Dataset, published: Sequence[LogicRecord]) -> None:
        self._declared = dataset.transform.logic.canonical if dataset.transform else ""
        self._older = {r.digest: r for r in published if r.digest != dataset.logic_digest}
        self._number = dataset.version.number
        self._made: dict[str, LogicChange] = {}

    def __getitem__(self, digest: str) -> LogicChange:
        if digest not in self._made:
            older = self._older[digest]
            raised = self._number if self._number != older.number else f"{self._number + 1}?"
            change = _change(older.sql, self._declared)
            self._made[digest] = replace(change, words=f"v{older.number} -> v{raised} {change.words}")
        return self._made[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._older)

    def __len__(self) -> int:
        return len(self._older)


def logic_changes(
    graph: DatasetGraph, published: Mapping[DatasetName, Sequence[LogicRecord]]
) -> Mapping[DatasetName, Mapping[str, LogicChange]]:
    """Return, by dataset and digest of an older logic, the change: ``v1 -> v2 changes over_limit_count``."""
    return {dataset.name: _Changes(dataset, published.get(dataset.name, ())) for dataset in graph if dataset.transform}


def version_changes(dataset: Dataset, published: Sequence[LogicRecord]) -> dict[int, LogicChange]:
    """Return, by number, what each version of a dataset changes against the one before; the declared one included."""
    texts = {r.number: r.sql for r in published}
    if dataset.transform:
        texts.setdefault(dataset.version.number, dataset.transform.logic.canonical)
    numbers = sorted(texts)
    return {new: _change(texts[old], texts[new]) for old, new in pairwise(numbers)}


def _change(old: str, new: str) -> LogicChange:
    from remint.loading.sql_changes import sql_change  # noqa: PLC0415 - costs half a second to import

    change = sql_change(old, new)
    return change if change.words else replace(change, words=_FORM_ALONE)
