"""What the declared logic changes against what was published before, in words for a plan's reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.provenance import LogicRecord


class _Words(Mapping[str, str]):
    """Words by digest, made when they are asked for: only a stale unit needs them, and they need a parser."""

    def __init__(self, dataset: Dataset, published: Sequence[LogicRecord]) -> None:
        self._declared = dataset.transform.logic.canonical if dataset.transform else ""
        self._older = {r.digest: r for r in published if r.digest != dataset.logic_digest}
        self._number = dataset.version.number
        self._made: dict[str, str] = {}

    def __getitem__(self, digest: str) -> str:
        if digest not in self._made:
            from remint.loading.sql_changes import changed_columns  # noqa: PLC0415 - costs half a second to import

            older = self._older[digest]
            words = changed_columns(older.sql, self._declared) or "changes how the SQL is written"
            raised = self._number if self._number != older.number else f"{self._number + 1}?"
            self._made[digest] = f"v{older.number} -> v{raised} {words}"
        return self._made[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._older)

    def __len__(self) -> int:
        return len(self._older)


def logic_changes(
    graph: DatasetGraph, published: Mapping[DatasetName, Sequence[LogicRecord]]
) -> Mapping[DatasetName, Mapping[str, str]]:
    """Return, by dataset and digest of an older logic, the change in words: ``v1 -> v2 changes over_limit_count``."""
    return {dataset.name: _Words(dataset, published.get(dataset.name, ())) for dataset in graph if dataset.transform}
