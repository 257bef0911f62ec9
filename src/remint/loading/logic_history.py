"""What the declared logic changes against what was published before, in words for a plan's reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from remint.loading.sql_source import PYTHON
from remint.model.dataset import Dataset, DatasetName, Logic
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange
from remint.model.provenance import LogicRecord


class _Changes(Mapping[str, LogicChange]):
    """Changes by digest, found when they are asked for: only a stale unit needs them, and SQL needs a parser."""

    def __init__(self, dataset: Dataset, published: Sequence[LogicRecord]) -> None:
        assert dataset.transform is not None  # noqa: S101 - the caller looked
        self._declared = dataset.transform.logic
        self._older = {r.digest: r for r in published if r.digest != dataset.logic_digest}
        self._number = dataset.version.number
        self._made: dict[str, LogicChange] = {}

    def __getitem__(self, digest: str) -> LogicChange:
        if digest not in self._made:
            older = self._older[digest]
            raised = self._number if self._number != older.number else f"{self._number + 1}?"
            change = logic_change(_published(older), self._declared)
            self._made[digest] = replace(change, words=f"v{older.number} -> v{raised} {change.words}")
        return self._made[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._older)

    def __len__(self) -> int:
        return len(self._older)


def logic_change(before: Logic, after: Logic) -> LogicChange:
    """Return what ``after`` changes: ``changes over_limit_count`` of SQL, ``changes score(), THRESHOLD`` of Python."""
    # These imports cost half a second.
    from remint.loading.sql_changes import changed_settings, sql_change  # noqa: PLC0415
    from remint.loading.sql_logic import split_settings  # noqa: PLC0415

    was_python, is_python = (logic.canonicaliser.startswith(PYTHON) for logic in (before, after))
    if not was_python and not is_python:
        change = sql_change(before.canonical, after.canonical)
        return change if change.words else replace(change, words="changes how the SQL is written")
    (old, old_settings), (new, new_settings) = split_settings(before.canonical), split_settings(after.canonical)
    found = [*changed_settings(old_settings, new_settings)]
    if was_python != is_python:
        named = f"is made by {'Python' if is_python else 'SQL'} now"
    else:
        from remint.loading.python_logic import changed_names  # noqa: PLC0415

        named = changed_names(old, new) or ("" if found else "changes how the Python is written")
    return LogicChange(
        words="; ".join(filter(None, [named, *(words for words, _ in found)])),
        columns=frozenset(column for _, column in found if column),
        is_any=bool(named) or any(not column for _, column in found),
    )


def logic_changes(
    graph: DatasetGraph, published: Mapping[DatasetName, Sequence[LogicRecord]]
) -> Mapping[DatasetName, Mapping[str, LogicChange]]:
    """Return, by dataset and digest of an older logic, the change: ``v1 -> v2 changes over_limit_count``."""
    return {dataset.name: _Changes(dataset, published.get(dataset.name, ())) for dataset in graph if dataset.transform}


def version_changes(dataset: Dataset, published: Sequence[LogicRecord]) -> dict[int, LogicChange]:
    """Return, by number, what each version of a dataset changes against the one before; the declared one included."""
    logics = {r.number: _published(r) for r in published}
    if dataset.transform:
        logics.setdefault(dataset.version.number, dataset.transform.logic)
    return {new: logic_change(logics[old], logics[new]) for old, new in pairwise(sorted(logics))}


def _published(record: LogicRecord) -> Logic:
    return Logic(digest=record.digest, canonical=record.sql, canonicaliser=record.canonicaliser)
