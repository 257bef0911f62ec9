"""Expressions that are the time of a row: one column, truncated, moved by a fixed distance."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sqlglot import exp

from remint.loading.sql_rules import Relations
from remint.loading.sql_scopes import Body, Chain, Relation, Scopes, joins, output_name, star_of, starred
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_time import ZERO, Span, coarser, interval, nested, truncation

_TIME_TYPE = re.compile(r"DATE|TIME", re.IGNORECASE)
_TIME_WORDS = frozenset(
    ["year", "quarter", "month", "week", "day", "hour", "minute", "date", "time", "ts", "period", "epoch", "dt", "at"]
)
_MAY_HIDE_TIME = (exp.Window, exp.AggFunc, exp.Query, exp.Anonymous)
"""What can make a value of its own for every day: a running number, a session."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """``trunc(relation.column, truncated) + moved``."""

    relation: Relation
    column: str
    truncated: TimeGrain | None = None
    moved: Span = ZERO


class Terms:
    """Reads expressions of one transform."""

    def __init__(self, scopes: Scopes, relations: Relations) -> None:
        self._scopes = scopes
        self._types = {alias.lower(): {c.name.lower(): c.type for c in columns} for alias, columns in relations.items()}

    def column(self, node: exp.Column, chain: Chain, select: exp.Select | None) -> tuple[Relation, str] | None:
        """Return the relation and name that a column means; None when that is not certain."""
        name = node.name.lower()
        if isinstance(node.this, exp.Star) or len(node.parts) > 2:
            return None
        for level in chain:
            if node.table:
                owners = [r for r in level.relations if r.alias == node.table.lower()]
                if owners:
                    return (owners[0], name) if name in owners[0].names or not owners[0].is_exact else None
                continue
            owners = [r for r in level.relations if name in r.names]
            using = {c.name.lower() for j in joins(select) for c in j.args.get("using") or []} if select else set()
            if len(owners) == 1 or (owners and name in using):
                return owners[0], name
            if owners or any(not r.is_exact for r in level.relations):
                return None
        return None

    def term(self, node: exp.Expr, chain: Chain, select: exp.Select, *, lateral: bool = True) -> Term | None:
        """Return the time that ``node`` is; None for anything else.

        Args:
            node: the expression.
            chain: where its names are looked up.
            select: the SELECT that it stands in.
            lateral: names that no relation has may be those of the SELECT list.
        """
        if isinstance(node, exp.Paren):
            return self.term(node.this, chain, select, lateral=lateral)
        if isinstance(node, exp.Column):
            return self._of_column(node, chain, select, lateral=lateral)
        if isinstance(node, exp.Cast) and node.to.is_type(exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ):
            return self.term(node.this, chain, select, lateral=lateral)
        cut = truncation(node)
        if cut is not None:
            inner = self.term(cut[0], chain, select, lateral=lateral)
            return None if inner is None else _truncated(inner, cut[1])
        if isinstance(node, exp.Add | exp.Sub | exp.DateAdd):
            left, right = (node.this, node.expression)
            if isinstance(node, exp.Add) and interval(left) is not None:
                left, right = right, left
            by, inner = interval(right), self.term(left, chain, select, lateral=lateral)
            if by is None or inner is None:
                return None
            return replace(inner, moved=inner.moved + (-by if isinstance(node, exp.Sub) else by))
        return None

    def is_timeless(self, node: exp.Expr, chain: Chain, select: exp.Select, *, strictly: bool = True) -> bool:
        """True when ``node`` certainly does not tell when a row happened.

        Args:
            node: the expression.
            chain: where its names are looked up.
            select: the SELECT that it stands in.
            strictly: also not in a roundabout way, as the running number of a window does.
        """
        if isinstance(node, exp.Column):
            named = self.column(node, chain, select)
            if named is not None:
                return self.is_timeless_column(*named, strictly=strictly)
            made = _alias_of(node, select)
            return made is not None and self.is_timeless(made, chain, select, strictly=strictly)
        if isinstance(node, exp.Query) or (strictly and isinstance(node, _MAY_HIDE_TIME)):
            return False
        parts = [node.this] if isinstance(node, exp.Window) else node.iter_expressions()
        return all(self.is_timeless(part, chain, select, strictly=strictly) for part in parts)

    def is_timeless_column(self, relation: Relation, column: str, *, strictly: bool = True) -> bool:
        """True when a column certainly holds no time, nor anything that was made from one."""
        if relation.is_renamed:
            return False
        if relation.source is not None:
            type_ = self._types.get(relation.source, {}).get(column)
            return type_ is not None and not _TIME_TYPE.search(type_) and not set(column.split("_")) & _TIME_WORDS
        return relation.body is not None and self._is_timeless_in(relation.body, column, strictly=strictly)

    def _is_timeless_in(self, body: Body, column: str, *, strictly: bool) -> bool:
        query = body.query
        if body.is_recursive or body.columns:
            return False
        if isinstance(query, exp.Subquery):
            return self._is_timeless_in(self._scopes.inner(query.this, body, body.outer), column, strictly=strictly)
        if isinstance(query, exp.Union) and query.args.get("by_name"):
            arms = (self._scopes.inner(arm, body, body.outer) for arm in (query.left, query.right))
            return all(self._is_timeless_in(arm, column, strictly=strictly) for arm in arms)
        if not isinstance(query, exp.Select):
            return False
        level = self._scopes.level(query, body)
        made = [m for m in query.expressions if star_of(m) is None and output_name(m) == column]
        if made:
            return self.is_timeless(made[0].unalias(), (level, *body.outer), query, strictly=strictly)
        stars = [m for m in query.expressions if star_of(m) is not None]
        owners = [r for m in stars for r in starred(m, level) if column in r.names]
        return bool(owners) and all(self.is_timeless_column(owner, column, strictly=strictly) for owner in owners)

    def _of_column(self, node: exp.Column, chain: Chain, select: exp.Select, *, lateral: bool) -> Term | None:
        named = self.column(node, chain, select)
        if named is not None:
            return Term(*named)
        made = _alias_of(node, select) if lateral and not node.table else None
        # An alias is looked up once: it may stand for a column of its own name.
        return self.term(made, chain, select, lateral=False) if made is not None else None


def _alias_of(node: exp.Column, select: exp.Select) -> exp.Expr | None:
    found = [m for m in select.expressions if isinstance(m, exp.Alias) and m.alias.lower() == node.name.lower()]
    if len(found) != 1 or node.table:
        return None
    # An expression over its own alias means a column; which one is not known here.
    is_own = any(c.name.lower() == node.name.lower() for c in found[0].this.find_all(exp.Column))
    return None if is_own else found[0].this


def _truncated(inner: Term, grain: TimeGrain) -> Term | None:
    if not nested(inner.truncated, grain):
        return None
    if not inner.moved.is_zero and not (grain == "day" and inner.moved.is_whole_days):
        return None
    return replace(inner, truncated=grain if coarser(grain, inner.truncated) else inner.truncated)
