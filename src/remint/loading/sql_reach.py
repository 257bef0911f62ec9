"""Follows the time of an output partition through a query, down to the inputs, and what is read around it.

Rules: every step must be certain, else the walk stops there: the time of a row is one column, truncated or moved by a
fixed distance; rows at a distance must not be kept out by any other condition; what the result does not use is not
followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from remint.loading.sql_conditions import Anchor, Bounds, Conditions, conditions_of
from remint.loading.sql_frames import frame_of
from remint.loading.sql_rules import Relations
from remint.loading.sql_scopes import Body, Chain, Level, Relation, Scopes, joins, output_name, star_of, starred
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_terms import Terms
from remint.loading.sql_time import ZERO, Span, coarser, floored, nested

_ALL = "*"
_MOST_STEPS = 2000
"""A query that refers to its parts over and over is not followed to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumn:
    """The column by whose time rows are partitioned."""

    name: str
    grain: TimeGrain
    is_raw: bool = False
    """Its values lie anywhere inside of a partition, as the time of an event does; else they are its first instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Rows of one input, at a distance from the unit's own span, that can change what the unit holds."""

    alias: str
    column: TimeColumn
    earliest: Span | None
    """From the span's start; None: however early."""
    latest: Span | None
    """From the span's end; None: however late."""
    truncated: TimeGrain | None
    parts: tuple[exp.Expr, ...]
    """Of the SQL, that set the distance; empty when there is none."""
    output: tuple[exp.Expr, ...]
    """Of the SQL, that make the partition column out of the input's."""


@dataclass(frozen=True, slots=True)
class _State:
    earliest: Span | None = ZERO
    latest: Span | None = ZERO
    truncated: TimeGrain | None = None
    parts: tuple[exp.Expr, ...] = ()
    output: tuple[exp.Expr, ...] = ()
    live: frozenset[str] = frozenset([_ALL])
    """Columns of the query at hand that the result uses."""

    @property
    def is_own(self) -> bool:
        """True for the rows of the unit's own span alone."""
        return self.earliest is not None and self.earliest.is_zero and self.latest is not None and self.latest.is_zero

    def widened(self, bounds: Bounds, part: Sequence[exp.Expr]) -> _State:
        """Return the rows at ``bounds`` around the rows at hand."""
        return replace(
            self,
            earliest=None if self.earliest is None or bounds[0] is None else self.earliest + bounds[0],
            latest=None if self.latest is None or bounds[1] is None else self.latest + bounds[1],
            parts=(*self.parts, *part),
        )

    def below(self, grain: TimeGrain | None) -> _State | None:
        """Return the rows before their time was truncated to ``grain``; None when that cannot be told."""
        if grain is None:
            return self
        if not nested(grain, self.truncated):
            return None
        return replace(
            self,
            earliest=None if self.earliest is None else floored(self.earliest, grain),
            latest=None if self.latest is None else floored(self.latest, grain),
            truncated=grain if coarser(grain, self.truncated) else self.truncated,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """One SELECT whose rows have a time."""

    select: exp.Select
    chain: Chain
    conditions: Conditions
    anchor: Anchor
    own: TimeGrain
    """The unit's own span, as far down as here."""
    state: _State
    live: Sequence[exp.Expr]
    """Its parts that the result uses."""


def proofs(
    query: exp.Query, relations: Relations, output: TimeColumn, inputs: Mapping[str, TimeColumn]
) -> Iterator[Proof]:
    """Yield everything that ``query`` proves about the times that it reads, in the order in which it is found.

    Raises:
        CannotTell: the query uses what is not followed.
    """
    walk = _Walk(relations, output, {alias.lower(): (alias, column) for alias, column in inputs.items()})
    walk.follow(walk.scopes.body(query), output.name.lower(), _State())
    yield from walk.found


class _Walk:
    def __init__(self, relations: Relations, output: TimeColumn, inputs: Mapping[str, tuple[str, TimeColumn]]) -> None:
        self.scopes = Scopes(relations)
        self.terms = Terms(self.scopes, relations)
        self.found: list[Proof] = []
        self._output = output
        self._inputs = inputs
        self._steps = 0

    def follow(self, body: Body, column: str, state: _State) -> None:
        """Follow rows of ``body`` whose time is ``column``."""
        self._steps += 1
        if body.is_recursive or self._steps > _MOST_STEPS:
            return
        if body.columns:
            names, _ = self.scopes.names(body)
            inner, is_exact = self.scopes.names(replace(body, columns=()))
            if not is_exact or column not in names:
                return
            column = inner[names.index(column)]
            state = replace(state, live=frozenset([_ALL]) & state.live | _renamed(state.live, names, inner))
        query = body.query
        if isinstance(query, exp.Subquery) and query.args.get("limit") is None:
            self.follow(self.scopes.inner(query.this, body, body.outer), column, state)
        elif isinstance(query, exp.Union) and query.args.get("limit") is None:
            self._union(query, body, column, state)
        elif isinstance(query, exp.Select):
            self._select(query, body, column, state)

    def _union(self, query: exp.Union, body: Body, column: str, state: _State) -> None:
        arms = [self.scopes.inner(arm, body, body.outer) for arm in (query.left, query.right)]
        if query.args.get("by_name"):
            for arm in arms:
                self.follow(arm, column, state)
            return
        made = [self.scopes.names(arm) for arm in arms]
        if not all(is_exact for _, is_exact in made) or column not in made[0][0]:
            return
        first = made[0][0]
        for arm, (names, _) in zip(arms, made, strict=True):
            if len(names) == len(first):
                live = frozenset([_ALL]) & state.live | _renamed(state.live, first, names)
                self.follow(arm, names[first.index(column)], replace(state, live=live))

    def _select(self, select: exp.Select, body: Body, column: str, state: _State) -> None:
        level = self.scopes.level(select, body)
        chain = (level, *body.outer)
        anchor, made = self._anchor(select, level, chain, column, state)
        if anchor is None or any(join.side == "FULL" for join in joins(select)):
            return
        conditions = conditions_of(select, level, chain, self.terms)
        moved = (-anchor.moved, -anchor.moved)
        at = state.widened(moved, () if anchor.moved.is_zero else (made,)).below(anchor.truncated)
        if at is None or not (at.is_own or conditions.leave_free(anchor)):
            return
        if anchor.truncated is not None:
            at = replace(at, output=(*at.output, made))
        own = _coarsest(state.truncated, anchor.truncated, self._output.grain)
        place = _Place(select, chain, conditions, anchor, own, at, _live_parts(select, state.live))
        if not conditions.narrow(anchor.relation, anchor.column, place.live):
            self._relation(anchor.relation, anchor.column, at, place)
        self._windows(place)
        for relation in level.relations:
            if relation is not anchor.relation:
                self._beside(relation, place)
        lateral = [r.body.query for r in level.relations if r.body is not None and _is_lateral(r.body, level)]
        for node in [*place.live, *lateral]:
            for query in _queries_in(node):
                self._correlated(self.scopes.inner(query, body, chain), place)

    def _anchor(
        self, select: exp.Select, level: Level, chain: Chain, column: str, state: _State
    ) -> tuple[Anchor | None, exp.Expr]:
        """Return which column of which relation gives the time of a row, and the expression that makes it."""
        for made in select.expressions:
            if star_of(made) is None and output_name(made) == column:
                term = self.terms.term(made.this if isinstance(made, exp.Alias) else made, chain, select, lateral=False)
                if term is None:
                    return None, made
                return Anchor(term.relation, term.column, term.truncated, term.moved), made
        for made in select.expressions:
            star = star_of(made)
            if star is not None and not any(star.args.values()):
                owners = [r for r in starred(made, level) if column in r.names]
                if len(owners) == 1 or (owners and column in _using(select)):
                    return Anchor(owners[0], column, None, ZERO), made
        return None, select

    def _relation(self, relation: Relation, column: str, state: _State, place: _Place) -> None:
        if relation.source is not None:
            self._input(relation, column, state)
        elif relation.body is not None and not (relation.is_renamed and not relation.body.columns):
            self.follow(relation.body, column, replace(state, live=self._used(relation, place)))

    def _input(self, relation: Relation, column: str, state: _State) -> None:
        alias, time = self._inputs.get(relation.source or "", ("", None))
        if time is not None and time.name.lower() == column and not relation.is_renamed:
            self.found.append(
                Proof(
                    alias=alias,
                    column=time,
                    earliest=state.earliest,
                    latest=state.latest,
                    truncated=state.truncated,
                    parts=state.parts,
                    output=state.output,
                )
            )

    def _windows(self, place: _Place) -> None:
        """Follow the rows in the frames of window functions."""
        windows = [w for node in place.live for w in _windows_in(node)]
        if not windows or not place.conditions.leave_free(place.anchor, for_windows=True):
            return
        for window in windows:
            frame = frame_of(window, place.select, place.chain, place.anchor, self.terms)
            if frame is None:
                continue
            at = place.state.widened(frame.bounds, (*frame.named, window)).below(frame.truncated)
            if at is not None:
                at = replace(at, truncated=place.state.truncated)
                inside = replace(place, live=[window])
                self._relation(place.anchor.relation, place.anchor.column, at, inside)

    def _beside(self, relation: Relation, place: _Place) -> None:
        """Follow another relation, where conditions tie its time to the anchor's."""
        tie = place.conditions.tie(relation, place.anchor, place.own)
        if tie is None or (tie.needs_own and not place.state.is_own):
            return
        made = [node for node in place.live if node.arg_key == "expressions"]
        if place.conditions.narrow(relation, "", made):
            return
        at = place.state.widened(tie.bounds, [c.node for c in tie.conditions]).below(tie.truncated)
        if at is not None:
            # What the other side is truncated to says nothing of the unit's own span.
            self._relation(relation, tie.column, replace(at, truncated=place.state.truncated), place)

    def _correlated(self, body: Body, outer: _Place) -> None:
        """Follow a query that stands inside of an expression, or a LATERAL one, where it is tied to the anchor."""
        query = body.query
        if isinstance(query, exp.Subquery):
            self._correlated(self.scopes.inner(query.this, body, body.outer), outer)
        if not isinstance(query, exp.Select):
            return
        level = self.scopes.level(query, body)
        chain = (level, *body.outer)
        conditions = conditions_of(query, level, chain, self.terms)
        parts = _live_parts(query, frozenset([_ALL]))
        state = replace(outer.state, live=frozenset([_ALL]))
        place = replace(outer, select=query, chain=chain, conditions=conditions, state=state, live=parts)
        for relation in level.relations:
            self._beside(relation, place)
        for part in parts:
            for inner in _queries_in(part):
                self._correlated(self.scopes.inner(inner, body, chain), place)

    def _used(self, relation: Relation, place: _Place) -> frozenset[str]:
        """Return the columns of ``relation`` that a SELECT uses; through a star, those that are used of the SELECT."""
        found: set[str] = set()
        for node in place.live:
            if star_of(node) is not None and relation in starred(node, place.chain[0]):
                wanted = place.state.live
                found |= wanted if _ALL in wanted else wanted & set(relation.names)
            for column in node.find_all(exp.Column):
                named = self.terms.column(column, place.chain, place.select)
                is_inside = column.find_ancestor(exp.Query) is not place.select
                if named is not None and named[0] is relation and (column.table or not is_inside):
                    found.add(named[1])
        return frozenset(found)


def _live_parts(select: exp.Select, live: frozenset[str]) -> list[exp.Expr]:
    """Return the parts of a SELECT on which its rows, or its columns ``live``, depend."""
    found = [
        made for made in select.expressions if _ALL in live or star_of(made) is not None or output_name(made) in live
    ]
    for key in ("where", "group", "having", "qualify"):
        if isinstance(select.args.get(key), exp.Expr):
            found.append(select.args[key])
    return [*found, *(join.args["on"] for join in joins(select) if isinstance(join.args.get("on"), exp.Expr))]


def _renamed(live: frozenset[str], names: Sequence[str], inner: Sequence[str]) -> frozenset[str]:
    return frozenset(to for name, to in zip(names, inner, strict=False) if name in live)


def _queries_in(node: exp.Expr) -> Iterator[exp.Query]:
    """Yield the outermost queries of an expression, itself included."""
    if isinstance(node, exp.Query):
        yield node
        return
    for child in node.iter_expressions():
        yield from _queries_in(child)


def _windows_in(node: exp.Expr) -> Iterator[exp.Window]:
    if isinstance(node, exp.Window):
        yield node
    elif not isinstance(node, exp.Query):
        for child in node.iter_expressions():
            yield from _windows_in(child)


def _is_lateral(body: Body, level: Level) -> bool:
    return bool(body.outer) and body.outer[0].relations is level.relations


def _using(select: exp.Select) -> set[str]:
    return {column.name.lower() for join in joins(select) for column in join.args.get("using") or []}


def _coarsest(*grains: TimeGrain | None) -> TimeGrain:
    found: TimeGrain = "hour"
    for grain in grains:
        if grain is not None and coarser(grain, found):
            found = grain
    return found
