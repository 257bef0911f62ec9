"""Conditions of a SELECT that tie the times of its relations together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from remint.loading.sql_scopes import Chain, Level, Relation, joins
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_terms import Term, Terms
from remint.loading.sql_time import DAY, HOUR, ZERO, Span, coarser, unit_span

Bounds = tuple[Span | None, Span | None]
"""Earliest and latest distance; None: there is none."""

_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """The column that gives a row the time of its output partition: ``trunc(column) + moved``."""

    relation: Relation
    column: str
    truncated: TimeGrain | None
    moved: Span


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One condition that every row meets."""

    node: exp.Expr
    optional: Relation | None = None
    """The right side of the LEFT JOIN whose condition it is: the other relations keep rows that do not meet it."""
    is_late: bool = False
    """It stands in QUALIFY, so it chooses among rows for which the window functions are computed."""


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """How the time of a relation's rows lies to the anchor's."""

    column: str
    bounds: Bounds
    truncated: TimeGrain | None
    conditions: tuple[Condition, ...]
    needs_own: bool
    """It holds only around the unit's own span."""


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    term: Term
    earliest: Span | None
    latest: Span | None
    needs_own: bool = False


def conditions_of(select: exp.Select, level: Level, chain: Chain, terms: Terms) -> Conditions:
    """Return the conditions of WHERE, ON, HAVING and QUALIFY."""
    found = [Condition(node) for key in ("where", "having") for node in _conjuncts(select.args.get(key))]
    found += [Condition(node, is_late=True) for node in _conjuncts(select.args.get("qualify"))]
    for join in joins(select):
        joined = [r for r in level.relations if r.alias == join.this.alias_or_name.lower()]
        optional = joined[0] if join.side == "LEFT" and len(joined) == 1 else None
        found += [Condition(node, optional) for node in _conjuncts(join.args.get("on"))]
    return Conditions(select, level, chain, terms, found)


class Conditions:
    """All conditions of one SELECT."""

    def __init__(
        self, select: exp.Select, level: Level, chain: Chain, terms: Terms, listed: Sequence[Condition]
    ) -> None:
        self._select = select
        self._level = level
        self._chain = chain
        self._terms = terms
        self._listed = listed
        self._using = [c.name.lower() for join in joins(select) for c in join.args.get("using") or []]
        self._is_natural = any(join.method == "NATURAL" for join in joins(select))

    def leave_free(self, anchor: Anchor, *, for_windows: bool = False) -> bool:
        """True when no condition keeps rows out by their time, so that rows at any distance from one can be there."""
        is_cut = any(self._select.args.get(key) is not None for key in ("limit", "offset", "fetch", "sample"))
        if self._is_natural or (is_cut and not for_windows):
            return False
        for name in self._using:
            others = [r for r in self._level.relations if r is not anchor.relation and name in r.names]
            if not self._terms.is_timeless_column(anchor.relation, name) and not all(r.source for r in others):
                return False
        constant = 0
        for condition in self._listed:
            if condition.optional not in (None, anchor.relation) or (condition.is_late and for_windows):
                continue
            if not self._mentions_time(condition.node, anchor.relation):
                continue
            if _is_constant_bound(condition.node):
                constant += 1
            elif not self._is_plain_equality(condition.node, anchor):
                return False
        return constant <= 1

    def tie(self, relation: Relation, anchor: Anchor, own: TimeGrain) -> Tie | None:
        """Return how the times of ``relation`` lie to the anchor's; None when nothing certain is said of that."""
        if self._is_natural:
            return None
        bounds: list[tuple[Condition, _Bound]] = []
        for condition in self._listed:
            if not self._mentions_time(condition.node, relation) or _is_constant_bound(condition.node):
                continue
            bound = self._bound(condition.node, relation, anchor, own)
            if bound is None:
                return None
            bounds.append((condition, bound))
        ends = [bound for _, bound in bounds]
        for name in self._using:
            if name in relation.names and not self._terms.is_timeless_column(relation, name):
                if name != anchor.column or anchor.relation not in self._level.relations:
                    return None
                ends.append(_Bound(Term(relation, name), ZERO, ZERO))
        columns, grains = {b.term.column for b in ends}, {b.term.truncated for b in ends}
        # Whole days and times are compared alike, as long as the distance is counted in whole days.
        if len(columns) != 1 or (len(grains) > 1 and grains != {None, "day"}):
            return None
        column, truncated = columns.pop(), "day" if len(grains) > 1 else grains.pop()
        earliest = _tightest([b.earliest for b in ends], latest=False)
        latest = _tightest([b.latest for b in ends], latest=True)
        needs_own = any(b.needs_own for b in ends)
        return Tie(column, (earliest, latest), truncated, tuple(c for c, _ in bounds), needs_own)

    def narrow(self, relation: Relation, column: str, parts: Sequence[exp.Expr]) -> bool:
        """True when the conditions, or ``parts`` of the SELECT, may choose among the rows of ``relation`` by time.

        Args:
            relation: one of the relations.
            column: a time of it that may be looked at all the same; empty for none.
            parts: where a CASE or FILTER may stand.
        """
        found = [node for condition in self._listed for node in condition.node.find_all(exp.Column)] if column else []
        found += [node for part in parts for node in part.find_all(exp.Column) if _is_conditional(node)]
        return any(
            self._is_named(node, relation)
            and node.name.lower() != column
            and not self._terms.is_timeless_column(relation, node.name.lower(), strictly=False)
            for node in found
        )

    def _mentions_time(self, node: exp.Expr, relation: Relation) -> bool:
        """True when ``node`` may look at the time of the relation's rows."""
        return any(
            self._is_named(column, relation) and not self._terms.is_timeless_column(relation, column.name.lower())
            for column in node.find_all(exp.Column)
        )

    def _is_named(self, column: exp.Column, relation: Relation) -> bool:
        """True when a column may be one of ``relation``: by name, so also inside of queries."""
        if column.table:
            return column.table.lower() == relation.alias
        return column.name.lower() in relation.names or not relation.is_exact

    def _is_plain_equality(self, node: exp.Expr, anchor: Anchor) -> bool:
        """True for ``anchor.day = other.day`` where the other is an input: it has its days as the anchor has."""
        if not isinstance(node, exp.EQ):
            return False
        sides = [self._term(side) for side in (node.this, node.expression)]
        if any(side is None or not side.moved.is_zero for side in sides):
            return False
        mine = [s for s in sides if s is not None and s.relation is anchor.relation and s.column == anchor.column]
        return len(mine) == 1 and all(s is not None and (s in mine or s.relation.source is not None) for s in sides)

    def _bound(self, node: exp.Expr, relation: Relation, anchor: Anchor, own: TimeGrain) -> _Bound | None:
        """Return what one condition says of the distance from the anchor's time to the relation's."""
        if isinstance(node, exp.Between):
            low = self._compared(exp.GTE, node.this, node.args["low"], relation, anchor, own)
            high = self._compared(exp.LTE, node.this, node.args["high"], relation, anchor, own)
            if low is None or high is None:
                return None
            if (low.term.column, low.term.truncated) != (high.term.column, high.term.truncated):
                return None  # valid_from and valid_to: two times of one row
            earliest = _tightest([low.earliest, high.earliest], latest=False)
            latest = _tightest([low.latest, high.latest], latest=True)
            return _Bound(low.term, earliest, latest, low.needs_own or high.needs_own)
        if type(node) in _FLIPPED:
            return self._compared(type(node), node.this, node.expression, relation, anchor, own)
        return None

    def _compared(
        self,
        operator: type[exp.Expr],
        left: exp.Expr,
        right: exp.Expr,
        relation: Relation,
        anchor: Anchor,
        own: TimeGrain,
    ) -> _Bound | None:
        sides = self._sides(left, right)
        if sides is None:
            return None
        mine, other = sides
        if mine.relation is not relation:
            mine, other, operator = other, mine, _FLIPPED[operator]
        if mine.relation is not relation or other.relation is not anchor.relation or other.column != anchor.column:
            return None
        distance = other.moved + -mine.moved
        edge = replace(distance, is_open=operator in (exp.GT, exp.LT))
        earliest = edge if operator in (exp.GT, exp.GTE, exp.EQ) else None
        latest = edge if operator in (exp.LT, exp.LTE, exp.EQ) else None
        return _from_own(_Bound(mine, earliest, latest), other.truncated, own)

    def _sides(self, left: exp.Expr, right: exp.Expr) -> tuple[Term, Term] | None:
        """Return the two times that are compared; a difference is compared with a number as one time with another."""
        both = self._term(left), self._term(right)
        if both[0] is not None and both[1] is not None:
            return both[0], both[1]
        for difference, number, sign in ((left, right, 1), (right, left, -1)):
            count = _whole_number(number)
            taken = self._difference(difference)
            if count is None or taken is None:
                continue
            first, second, unit = taken
            by = unit_span(unit, count)
            if by is None:
                return None
            moved = replace(second, moved=second.moved + by)
            return (first, moved) if sign > 0 else (moved, first)
        return None

    def _difference(self, node: exp.Expr) -> tuple[Term, Term, str] | None:
        """Return the times of ``first - second`` or ``date_diff(unit, second, first)``, and the unit."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Sub):
            first, second = self._term(node.this), self._term(node.expression)
            return (first, second, "day") if first is not None and second is not None else None
        if not isinstance(node, exp.DateDiff) or node.args.get("unit") is None:
            return None
        unit = str(node.args["unit"].name).lower()
        if unit not in ("day", "hour"):
            return None
        grain: TimeGrain = "day" if unit == "day" else "hour"
        first, second = self._term(node.this), self._term(node.expression)
        if first is None or second is None:
            return None
        cut = [replace(t, truncated=grain if coarser(grain, t.truncated) else t.truncated) for t in (first, second)]
        is_even = all(t.moved.seconds % (DAY if unit == "day" else HOUR) == 0 for t in (first, second))
        return (cut[0], cut[1], unit) if is_even else None

    def _term(self, node: exp.Expr) -> Term | None:
        return self._terms.term(node, self._chain, self._select)


def _from_own(bound: _Bound, truncated: TimeGrain | None, own: TimeGrain) -> _Bound:
    """Return the bound as seen from the unit's own span, where the anchor's time is compared ``truncated``."""
    if coarser(truncated, own):
        # Seen from the last unit in the coarser span, its start lies that much earlier.
        extra = {"month": 30 if not (bound.earliest and bound.earliest.months) else 27, "week": 6}.get(
            str(truncated), 0
        )
        back = Span(seconds=-extra * DAY)
        if truncated == "day":
            back = Span(seconds=-23 * HOUR)
        earliest = None if bound.earliest is None else bound.earliest + back
        return replace(bound, earliest=earliest, needs_own=True)
    if truncated == own and bound.term.truncated != truncated and own != "hour":
        # The span's start is compared, and the latest distance counts from its end.
        is_later = bound.latest is not None and not bound.latest.points_back
        return replace(bound, latest=ZERO if is_later and own != "day" else bound.latest)
    return bound


def _tightest(ends: Sequence[Span | None], *, latest: bool) -> Span | None:
    """Return the end that leaves the fewest rows."""
    known = [end for end in ends if end is not None]
    if not known:
        return None
    choose = min if latest else max
    return choose(known, key=lambda end: (end.about_s, (-1 if latest else 1) * end.is_open))


def _conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Where | exp.Having | exp.Qualify | exp.Paren):
        yield from _conjuncts(node.this)
    elif isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif node is not None:
        yield node


def _is_constant_bound(node: exp.Expr) -> bool:
    """True for ``day >= DATE '2026-01-01'`` and ``day IS NOT NULL``: later rows all meet it."""
    if isinstance(node, exp.Not):
        return isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null)
    if isinstance(node, exp.GT | exp.GTE):
        return isinstance(node.this, exp.Column) and node.expression.find(exp.Column, exp.Query) is None
    if isinstance(node, exp.LT | exp.LTE):
        return isinstance(node.expression, exp.Column) and node.this.find(exp.Column, exp.Query) is None
    return False


def _is_conditional(node: exp.Expr) -> bool:
    return node.find_ancestor(exp.Case, exp.If, exp.Filter, exp.Predicate, exp.Connector) is not None


def _whole_number(node: exp.Expr) -> int | None:
    if isinstance(node, exp.Neg):
        inner = _whole_number(node.this)
        return None if inner is None else -inner
    return int(node.this) if isinstance(node, exp.Literal) and node.is_int and not node.is_string else None
