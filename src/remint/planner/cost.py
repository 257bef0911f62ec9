"""What a plan will take, learned from what past runs took. Pure.

The model is one line a dataset: ``seconds = a * queries + b * rows read``, fitted over its newest timings by Theil and
Sen: ``b`` is the median slope over all pairs of timings that read different numbers of rows, ``a`` the median of what
is left. One slow run on a busy machine moves neither. With too few different sizes for a slope, ``b`` is the median
of seconds by row and ``a`` is 0. A dataset that never ran takes the project's median of seconds by row. Where there
is no history at all, the answer is None: never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

from remint.model.cost import Estimate, Prices, Timing, Timings
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionSet
from remint.model.plan import Action, Plan
from remint.planner.staleness import Contents, input_keys

NEWEST = 20
"""Timings of one dataset that are looked at: machines and data change, so older ones mislead."""
_SIZES = 3
"""Different numbers of rows that a slope is fitted over at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a dataset takes."""

    by_query: float
    """Seconds, whatever is read."""
    by_row: float
    """Seconds for each row read."""
    bytes_by_row: float | None
    """Bytes opened for each row read; None when no timing read any."""


def rate(timings: Sequence[Timing]) -> Rate | None:
    """Return what the newest of ``timings`` (newest first) tell; None when there are none."""
    seen = timings[:NEWEST]
    if not seen:
        return None
    slopes = [
        (two.seconds - one.seconds) / (two.rows_read - one.rows_read)
        for one, two in combinations(seen, 2)
        if one.rows_read != two.rows_read
    ]
    ratios = [t.seconds / t.rows_read for t in seen if t.rows_read]
    if len({t.rows_read for t in seen}) >= _SIZES:
        by_row = max(0.0, median(slopes))
        by_query = max(0.0, median(t.seconds - by_row * t.rows_read for t in seen))
    elif ratios:
        by_row, by_query = median(ratios), 0.0
    else:
        by_row, by_query = 0.0, median(t.seconds for t in seen)
    return Rate(by_query=by_query, by_row=by_row, bytes_by_row=_bytes_by_row(seen))


def _bytes_by_row(seen: Sequence[Timing]) -> float | None:
    found = [t.bytes_scanned / t.rows_read for t in seen if t.rows_read]
    return median(found) if found else None


def _project_rate(history: Timings) -> Rate | None:
    """Return the median over every dataset's timings, for datasets that never ran."""
    seen = [t for timings in history.values() for t in timings[:NEWEST]]
    ratios = [t.seconds / t.rows_read for t in seen if t.rows_read]
    if not ratios:
        return None
    return Rate(by_query=0.0, by_row=median(ratios), bytes_by_row=_bytes_by_row(seen))


def with_costs(plan: Plan, history: Timings, prices: Prices) -> Plan:
    """Return the plan with every action estimated, and the total; called before the plan gets its id.

    Args:
        plan: with its batches: a dataset that stands in three of them runs three queries.
        history: what staging took, by dataset, newest first.
        prices: what time and bytes cost.
    """
    general = _project_rate(history)
    rates = {a.dataset: rate(history.get(a.dataset, ())) or general for a in plan.actions}
    units: dict[DatasetName, int] = {}
    queries: dict[DatasetName, int] = {}
    for action in plan.actions:
        units[action.dataset] = units.get(action.dataset, 0) + action.units
    for step in (s for batch in plan.batches for s in batch.steps):
        queries[step.dataset] = queries.get(step.dataset, 0) + 1
    actions = tuple(
        _estimated(a, rates[a.dataset], queries.get(a.dataset, 1) * a.units / units[a.dataset], prices)
        for a in plan.actions
    )
    return replace(plan, actions=actions, estimate=_total(actions, history, prices))


def _estimated(action: Action, found: Rate | None, queries: float, prices: Prices) -> Action:
    """Return the action with its share of the dataset's queries priced."""
    rows = action.rows_read
    if found is None or rows is None:
        return replace(action, bytes_scanned=None, seconds=None, money=None)
    seconds = round(found.by_query * queries + found.by_row * rows, 3)
    scanned = None if found.bytes_by_row is None else round(found.bytes_by_row * rows)
    return replace(action, bytes_scanned=scanned, seconds=seconds, money=prices.money(seconds, scanned))


def _total(actions: Sequence[Action], history: Timings, prices: Prices) -> Estimate:
    known = [a for a in actions if a.seconds is not None]
    if not known:
        return Estimate(currency=prices.currency, unknown_actions=len(actions))
    names = {a.dataset for a in known}
    sources = [history[n][:NEWEST] for n in names if history.get(n)]
    if any(not history.get(n) for n in names):
        sources = [timings[:NEWEST] for timings in history.values()]
    seconds = round(sum(a.seconds or 0.0 for a in known), 3)
    scanned = [a.bytes_scanned for a in known if a.bytes_scanned is not None]
    return Estimate(
        seconds=seconds,
        money=prices.money(seconds, sum(scanned) if scanned else None),
        currency=prices.currency,
        bytes_scanned=sum(scanned) if scanned else None,
        runs=len({t.run_id for timings in sources for t in timings}),
        unknown_actions=len(actions) - len(known),
    )


def rows_read(graph: DatasetGraph, contents: Contents, dataset: Dataset, units: PartitionSet) -> int:
    """Return the rows of the input partitions that ``units`` read, as a timing counts them."""
    return sum(
        contents.rows(entry, key)
        for entry in dataset.inputs
        for key in input_keys(graph, dataset, entry, units, contents)
    )
