"""Which days a source has answered for, and which it never delivered: absent is not empty. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remint.errors import SourceAbsent
from remint.model.dataset import Dataset, DatasetName, FileSource, PageSource
from remint.model.graph import DatasetGraph
from remint.model.observation import Observed
from remint.model.partition import DateRange, Grain, Lookback, PartitionKey, PartitionSet, ordinal


def covered_days(
    dataset: Dataset, windows: Iterable[tuple[str, str]], arrived: Iterable[PartitionKey]
) -> PartitionSet | None:
    """Return the days that the dataset's source has answered for, with rows or without; None where days mean nothing.

    Args:
        dataset: Bronze.
        windows: half-open days that the source was asked for by name, or that its files are named for.
        arrived: event days of which rows have arrived. They count for pages that are read by cursor, where no window
            says which days a reply is about; a file's day is said by its name alone.
    """
    match dataset.source:
        case FileSource(says_days=True):
            delivered = PartitionSet(Grain.DAY)
        case PageSource() if dataset.arrivals is not None and dataset.arrivals.grain is Grain.DAY:
            delivered = PartitionSet.of(Grain.DAY, arrived)
        case PageSource(since_param=str()):
            delivered = PartitionSet(Grain.DAY)
        case _:
            return None
    for start, end in windows:
        delivered |= PartitionSet.from_lanes(Grain.DAY, {"": ((ordinal(Grain.DAY, start), ordinal(Grain.DAY, end)),)})
    return delivered


def absent_days(covered: PartitionSet, span: DateRange | None = None) -> PartitionSet:
    """Return the days that the source never delivered.

    Args:
        covered: days that it has answered for.
        span: days that are wanted; those before the first covered one are before its history, and not absent. A
            lookback ends now, so what was not delivered yet is not absent. None: all between the first and the last
            covered day.
    """
    if not covered:
        return PartitionSet(Grain.DAY)
    spans = covered.all_spans
    first, end = spans[0][0], spans[-1][1]
    if span is None:
        return PartitionSet.from_lanes(Grain.DAY, {"": ((first, end),)}) - covered
    end = min(span.end.toordinal(), end) if isinstance(span, Lookback) else span.end.toordinal()
    history = PartitionSet.from_lanes(Grain.DAY, {"": ((first, end),) if first < end else ()})
    return (span.keys(Grain.DAY) & history) - covered


def absent_sources(
    graph: DatasetGraph, observed: Observed, selection: Sequence[DatasetName], span: DateRange | None = None
) -> dict[DatasetName, PartitionSet]:
    """Return the absent days of every source that the selection is made from; sources without any are left out."""
    wanted = {*selection, *(up for name in selection for up in graph.upstream(name))}
    found = {n: absent_days(observed.covered[n], span) for n in sorted(wanted) if n in observed.covered}
    return {name: days for name, days in found.items() if days}


def refuse_absent(absent: dict[DatasetName, PartitionSet], span: DateRange) -> None:
    """Refuse a range that names days which a source never delivered.

    Raises:
        SourceAbsent: names the sources and the days.
    """
    if absent:
        missing = "; ".join(f"{name} {days.describe()}" for name, days in absent.items())
        raise SourceAbsent(
            f"the range {span.describe()} names days that a source never delivered: {missing}",
            hint="remint ingest brings them; add --allow-absent to plan with what is there",
        )
