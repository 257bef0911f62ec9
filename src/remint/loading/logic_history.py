"""What the declared logic changes against what was published before, in words for a plan's reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from remint.loading.sql_source import PYTHON
from remint.model.dataset import Dataset, DatasetName, Logic
from remint.model.graph import DatasetGraph
from remint.model.provenance import LogicRecord


class _Words(Mapping[str, str]):
    """Words by digest, made when they are asked for: only a stale unit needs them, and SQL needs a parser."""

    def __init__(self, dataset: Dataset, published: Sequence[LogicRecord]) -> None:
        self._declared = dataset.transform.logic if dataset.transform else None
        self._older = {r.digest: r for r in published if r.digest != dataset.logic_digest}
        self._number = dataset.version.number
        self._made: dict[str, str] = {}

    def __getitem__(self, digest: str) -> str:
        if digest not in self._made:
            older = self._older[digest]
            before = Logic(digest=digest, canonical=older.sql, canonicaliser=older.canonicaliser)
            words = change_in_words(before, self._declared) if self._declared else ""
            raised = self._number if self._number != older.number else f"{self._number + 1}?"
            self._made[digest] = f"v{older.number} -> v{raised} {words}"
        return self._made[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._older)

    def __len__(self) -> int:
        return len(self._older)


def change_in_words(before: Logic, after: Logic) -> str:
    """Return what ``after`` changes: ``changes over_limit_count`` of SQL, ``changes score(), THRESHOLD`` of Python."""
    # These imports cost half a second.
    from remint.loading.sql_changes import changed_columns, changed_settings  # noqa: PLC0415
    from remint.loading.sql_logic import split_settings  # noqa: PLC0415

    was_python, is_python = (logic.canonicaliser.startswith(PYTHON) for logic in (before, after))
    if not was_python and not is_python:
        return changed_columns(before.canonical, after.canonical) or "changes how the SQL is written"
    (old, old_settings), (new, new_settings) = split_settings(before.canonical), split_settings(after.canonical)
    words = [*changed_settings(old_settings, new_settings)]
    if was_python != is_python:
        return "; ".join([f"is made by {'Python' if is_python else 'SQL'} now", *words])
    from remint.loading.python_logic import changed_names  # noqa: PLC0415

    return "; ".join(filter(None, [changed_names(old, new), *words])) or "changes how the Python is written"


def logic_changes(
    graph: DatasetGraph, published: Mapping[DatasetName, Sequence[LogicRecord]]
) -> Mapping[DatasetName, Mapping[str, str]]:
    """Return, by dataset and digest of an older logic, the change in words: ``v1 -> v2 changes over_limit_count``."""
    return {dataset.name: _Words(dataset, published.get(dataset.name, ())) for dataset in graph if dataset.transform}
