"""Batches: neighbouring partitions of all layers staged by one query each, within a row budget.

A daily loop costs 2.4 times one batch of the whole, because by-arrival inputs are read again for every day; a
30-day batch costs 1.04 times. So batches are as large as the memory budget lets them be, never single partitions,
but for a dataset that reads its own earlier partitions: each of those waits for the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from remint.model import spans as line
from remint.model.calendar import position_at, start_hour
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.mapping import SelfBefore
from remint.model.partition import Grain, PartitionSet
from remint.model.plan import Batch, Step
from remint.model.spans import Spans

_HOURS = 24


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
        Batches in time order. A week or month stands in the batch of its last day, so its days come first; identity
        partitions stand in the last batch. A dataset that looks ahead in time comes after all batches of what it reads.
    """
    windows = _windows(units, rows_by_day, batch_rows)
    result = []
    for names in _waves(graph, units):
        for index, window in enumerate(windows):
            is_last = index == len(windows) - 1
            steps: list[Step] = []
            for name in names:
                part = _in_window(units[name], window, is_last)
                steps += [_step(name, keys) for keys in _in_turn(graph[name], part)]
            if steps:
                result.append(Batch(steps=tuple(steps)))
    return tuple(result)


def _waves(graph: DatasetGraph, units: Mapping[DatasetName, PartitionSet]) -> list[list[DatasetName]]:
    """Return the datasets in groups: within one, time windows of all may follow each other."""
    level: dict[DatasetName, int] = {}
    for dataset in graph:
        if not units.get(dataset.name):
            continue
        before = [
            level[e.dataset]
            + (1 if graph.edge(dataset, e).looks_ahead or dataset.partition.grain is Grain.IDENTITY else 0)
            for e in dataset.inputs
            if e.dataset in level
        ]
        level[dataset.name] = max(before, default=0)
    return [[n for n, at in level.items() if at == wave] for wave in sorted(set(level.values()))]


def _in_turn(dataset: Dataset, keys: PartitionSet) -> Iterable[PartitionSet]:
    """Yield ``keys`` as they are staged: at once, or time by time where each reads the one before."""
    if not any(isinstance(e.mapping, SelfBefore) for e in dataset.inputs):
        return [keys] if keys else []
    points = [p for start, end in keys.all_spans for p in range(start, end)]
    return [keys.each(lambda spans, at=p: line.intersect(spans, ((at, at + 1),))) for p in points]  # type: ignore[misc]


def _step(name: DatasetName, keys: PartitionSet) -> Step:
    return Step(dataset=name, grain=keys.grain, partitions=tuple(keys.as_ranges()))


def _closing_days(keys: PartitionSet) -> Spans:
    """Return the days in whose batch ``keys`` are staged: of a week or month, its last."""
    if keys.grain is Grain.DAY:
        return keys.all_spans
    if keys.grain is Grain.HOUR:
        return line.merge((a // _HOURS, (b - 1) // _HOURS + 1) for a, b in keys.all_spans)
    points = (_closing_day(keys.grain, p) for a, b in keys.all_spans for p in range(a, b))
    return line.merge((day, day + 1) for day in points)


def _closing_day(grain: Grain, position: int) -> int:
    return start_hour(grain, position + 1, "UTC") // _HOURS - 1


def _windows(units: Mapping[DatasetName, PartitionSet], rows_by_day: Mapping[int, int], batch_rows: int) -> list[Spans]:
    days: Spans = ()
    for keys in units.values():
        if keys.grain is not Grain.IDENTITY:
            days = line.union(days, _closing_days(keys))
    windows: list[Spans] = []
    current: list[tuple[int, int]] = []
    held = 0
    for start, end in days:
        begins = start
        for day in range(start, end):
            rows = rows_by_day.get(day, 0)
            if (current or day > begins) and held + rows > batch_rows:
                windows.append((*current, (begins, day)) if day > begins else tuple(current))
                current, held, begins = [], 0, day
            held += rows
        current.append((begins, end))
    return [*windows, tuple(current)]


def _in_window(keys: PartitionSet, window: Spans, is_last: bool) -> PartitionSet:
    match keys.grain:
        case Grain.IDENTITY:
            return keys if is_last else PartitionSet(keys.grain)
        case Grain.DAY:
            return keys.each(lambda spans: line.intersect(spans, window))
        case Grain.HOUR:
            hours = tuple((a * _HOURS, b * _HOURS) for a, b in window)
            return keys.each(lambda spans: line.intersect(spans, hours))
        case _:
            return keys.each(lambda spans: _closing_in(keys.grain, spans, window))


def _closing_in(grain: Grain, spans: Spans, window: Spans) -> Spans:
    """Return the weeks or months whose last day lies in ``window``."""
    near = line.merge(
        sorted((position_at(grain, a * _HOURS, "UTC"), position_at(grain, b * _HOURS, "UTC") + 1) for a, b in window)
    )
    points = (p for a, b in line.intersect(spans, near) for p in range(a, b))
    return line.merge((p, p + 1) for p in points if line.contains(window, _closing_day(grain, p)))
