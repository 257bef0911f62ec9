"""What the declared logic changes against what was published before, in words for a plan's reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.provenance import LogicRecord


def logic_changes(
    graph: DatasetGraph, published: Mapping[DatasetName, Sequence[LogicRecord]]
) -> dict[DatasetName, dict[str, str]]:
    """Return, by dataset and digest of an older logic, the change in words: ``v1 -> v2 changes over_limit_count``."""
    return {
        dataset.name: dict(_changes(dataset, published.get(dataset.name, ()))) for dataset in graph if dataset.transform
    }


def _changes(dataset: Dataset, published: Sequence[LogicRecord]) -> list[tuple[str, str]]:
    older = [r for r in published if r.digest != dataset.logic_digest]
    if not older or dataset.transform is None:
        return []
    from remint.loading.sql_changes import changed_columns  # noqa: PLC0415 - parses SQL; needed only after an edit

    known = {r.digest: r.number for r in published}
    number = known.get(dataset.logic_digest, len(published) + 1)
    return [
        (r.digest, f"v{r.number} -> v{number} {changed_columns(r.sql, dataset.transform.logic.canonical)}")
        for r in older
    ]
