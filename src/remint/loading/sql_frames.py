"""Which rows around its own a window function reads, where its rows are ordered by the time of the partition."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from remint.checks.sql_tree import function_name
from remint.loading.sql_conditions import Anchor, Bounds
from remint.loading.sql_scopes import Chain
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_terms import Terms
from remint.loading.sql_time import Span, coarser, interval

_NUMBERS = frozenset(["row_number", "rank", "dense_rank"])
_SHARES = frozenset(["percent_rank", "cume_dist", "ntile"])
_STEPS = {"lag": -1, "lead": 1}


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows that a window function reads, as distances from its own row."""

    bounds: Bounds
    truncated: TimeGrain | None = None
    """What the order is truncated to."""
    named: tuple[exp.Expr, ...] = ()
    """The entry of the WINDOW clause that says it."""


def frame_of(window: exp.Window, select: exp.Select, chain: Chain, anchor: Anchor, terms: Terms) -> Frame | None:
    """Return the rows that ``window`` reads for certain; None when the SQL does not tell how far they reach in time."""
    partition, order, spec = _clauses(window, select)
    if partition is None or not all(terms.is_timeless(node, chain, select) for node in partition):
        return None
    function = window.this
    while isinstance(function, exp.IgnoreNulls | exp.RespectNulls):
        function = function.this
    if _chooses_by_time(function, chain, select, anchor, terms):
        return None
    if not order:
        return Frame((None, None)) if not partition and spec is None and isinstance(function, exp.AggFunc) else None
    term = terms.term(order[0].this, chain, select)
    if term is None or term.relation is not anchor.relation or term.column != anchor.column or not term.moved.is_zero:
        return None
    bounds = _bounds(function, spec, is_only=len(order) == 1)
    if bounds is None or (coarser(term.truncated, anchor.truncated) and bounds[0] is not None and bounds[0].rows):
        return None
    if order[0].args.get("desc"):
        bounds = tuple(None if end is None else -end for end in reversed(bounds))  # type: ignore[assignment]
    return Frame(bounds, term.truncated, tuple(_named(window, select)))


def _clauses(
    window: exp.Window, select: exp.Select
) -> tuple[list[exp.Expr] | None, list[exp.Ordered], exp.WindowSpec | None]:
    """Return PARTITION BY, ORDER BY and frame, with those of the named window that it extends."""
    partition = list(window.args.get("partition_by") or [])
    order, spec = window.args.get("order"), window.args.get("spec")
    alias = window.args.get("alias")
    if alias is not None:
        named = _named(window, select)
        if len(named) != 1 or named[0].args.get("alias") is not None:
            return None, [], None
        partition = partition or list(named[0].args.get("partition_by") or [])
        order, spec = order or named[0].args.get("order"), spec or named[0].args.get("spec")
    return partition, list(order.expressions) if order is not None else [], spec


def _named(window: exp.Window, select: exp.Select) -> list[exp.Window]:
    alias = window.args.get("alias")
    listed = select.args.get("windows") or []
    return [w for w in listed if alias is not None and w.this.name.lower() == alias.name.lower()]


def _chooses_by_time(function: exp.Expr, chain: Chain, select: exp.Select, anchor: Anchor, terms: Terms) -> bool:
    """True when the function looks at the time of the rows in its frame, so that it may leave some of them out."""
    for column in function.find_all(exp.Column):
        is_argument = column.parent is function
        if not is_argument and not terms.is_timeless(column, chain, select):
            return True
    return function.find(exp.Query) is not None


def _bounds(function: exp.Expr, spec: exp.WindowSpec | None, *, is_only: bool) -> Bounds | None:
    name = function_name(function)
    if name in _NUMBERS:
        return None, Span()
    if name in _SHARES:
        return None, None
    if name in _STEPS:
        offset = function.args.get("offset")
        count = 1 if offset is None else int(offset.this) if isinstance(offset, exp.Literal) and offset.is_int else 0
        step = Span(rows=_STEPS[name] * (count if is_only else min(count, 1)))
        return (step, Span()) if _STEPS[name] < 0 else (Span(), step)
    if spec is None:
        return None, Span()
    kind = str(spec.args.get("kind") or "").upper()
    if kind == "RANGE" and not is_only and _has_distance(spec):
        return None
    ends = [_end(spec.args.get(key), spec.args.get(f"{key}_side"), kind, is_only=is_only) for key in ("start", "end")]
    return None if "unknown" in ends else (ends[0], ends[1])  # type: ignore[return-value]


def _end(end: object, side: object, kind: str, *, is_only: bool) -> Span | str | None:
    """Return one end of a frame: None when it is unbounded, ``unknown`` when it cannot be told."""
    if end is None or end == "CURRENT ROW":
        return Span()
    if end == "UNBOUNDED":
        return None
    sign = -1 if side == "PRECEDING" else 1
    if not isinstance(end, exp.Expr):
        return "unknown"
    if kind == "RANGE":
        span = interval(end)
        return "unknown" if span is None else -span if sign < 0 else span
    if not isinstance(end, exp.Literal) or not end.is_int:
        return "unknown"
    return Span(rows=sign * (int(end.this) if is_only else min(int(end.this), 1)))


def _has_distance(spec: exp.WindowSpec) -> bool:
    return any(isinstance(spec.args.get(key), exp.Expr) for key in ("start", "end"))
