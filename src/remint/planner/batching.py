"""Batches: neighbouring partitions of all layers staged by one query each, within a row budget.

A daily loop costs 2.4 times one batch of the whole, because by-arrival inputs are read again for every day; a
30-day batch costs 1.04 times. So batches are as large as the memory budget lets them be, never single partitions.
"""

from __future__ import annotations

from collections.abc import Mapping

from remint.model.dataset import DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import Grain, PartitionSet, end_day, key_at
from remint.model.plan import Batch, Step


def batches(
    graph: DatasetGraph,
    units: Mapping[DatasetName, PartitionSet],
    rows_by_day: Mapping[int, int],
    batch_rows: int,
) -> tuple[Batch, ...]:
    """Return the order in which ``units`` are staged.

    Args:
        graph: gives the order inside a batch, upstream first.
        units: what will or may run, by dataset.
        rows_by_day: the most rows that any dataset reads for a day, by day ordinal.
        batch_rows: rows that one batch may read; at least one day goes into a batch whatever it reads.

    Returns:
        Batches in time order. A month stands in the batch of its last planned day, so its days come first;
        identity partitions stand in the last batch.
    """
    windows = _windows(units, rows_by_day, batch_rows)
    result = []
    for index, window in enumerate(windows):
        is_last = index == len(windows) - 1
        steps = []
        for dataset in graph:
            keys = units.get(dataset.name)
            part = _in_window(keys, window, is_last) if keys else None
            if part:
                steps.append(Step(dataset=dataset.name, grain=part.grain, partitions=tuple(part.as_ranges())))
        if steps:
            result.append(Batch(steps=tuple(steps)))
    return tuple(result)


def _windows(
    units: Mapping[DatasetName, PartitionSet], rows_by_day: Mapping[int, int], batch_rows: int
) -> list[PartitionSet]:
    days = PartitionSet(Grain.DAY)
    for keys in units.values():
        if keys.grain is Grain.DAY:
            days = days | keys
        elif keys.grain is Grain.MONTH:
            last = (end_day(Grain.MONTH, k).toordinal() for k in keys)
            days = days | PartitionSet.of(Grain.DAY, (key_at(Grain.DAY, d - 1) for d in last))
    windows: list[PartitionSet] = []
    current: list[int] = []
    held = 0
    for start, end in days.spans:
        for day in range(start, end):
            rows = rows_by_day.get(day, 0)
            if current and held + rows > batch_rows:
                windows.append(_window(current))
                current, held = [], 0
            current.append(day)
            held += rows
    if current or not windows:
        windows.append(_window(current))
    return windows


def _window(days: list[int]) -> PartitionSet:
    return PartitionSet.of(Grain.DAY, (key_at(Grain.DAY, d) for d in days))


def _in_window(keys: PartitionSet, window: PartitionSet, is_last: bool) -> PartitionSet | None:
    if keys.grain is Grain.IDENTITY:
        return keys if is_last else None
    if keys.grain is Grain.DAY:
        return keys & window
    closing = (k for k in keys if key_at(Grain.DAY, end_day(Grain.MONTH, k).toordinal() - 1) in window)
    return PartitionSet.of(Grain.MONTH, closing)
