"""Which relations a SELECT reads under which names, and which columns each of them is known to have.

Rules: what cannot be told is said so (``is_exact`` is False, ``CannotTell`` is raised), never guessed. All names are in
lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from remint.loading.sql_rules import Relations, reads_no_input

_UNREADABLE = (exp.Pivot, exp.PositionalColumn, exp.Command, exp.Into)


class CannotTell(Exception):
    """The query uses what this reading of SQL does not follow."""


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """One entry of a FROM clause."""

    alias: str
    names: tuple[str, ...] = ()
    """Columns that it certainly has, in order."""
    is_exact: bool = False
    """It has no column but ``names``."""
    source: str | None = None
    """The input that it is; None for a query and for what is no table (a list, a series, values)."""
    body: Body | None = None
    """The query that it is."""
    is_renamed: bool = False
    """Its columns got new names by position: ``orders AS o(a, b)``."""
    is_shown: bool = True
    """False for the right side of SEMI and ANTI JOIN, which a star leaves out."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The relations among which one SELECT looks up a name."""

    relations: Sequence[Relation]
    settles: bool = True
    """A name that is found here is not looked up further out. False inside of FROM, where not all of it is in sight."""


Chain = tuple[Level, ...]
"""Where a name is looked up, innermost first."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A query with what it can see: common table expressions, and the queries around it."""

    query: exp.Query
    ctes: Mapping[str, Body]
    outer: Chain
    is_recursive: bool = False
    columns: tuple[str, ...] = ()
    """Names that ``WITH name(columns)`` gives to its first columns."""


class Scopes:
    """The relations of every SELECT of one transform."""

    def __init__(self, relations: Relations) -> None:
        self._inputs = {alias.lower(): tuple(c.name.lower() for c in cs) for alias, cs in relations.items()}
        self._levels: dict[int, Level] = {}
        self._ctes: dict[int, dict[str, Body]] = {}
        self._naming: set[int] = set()

    def body(self, query: exp.Query) -> Body:
        """Return the whole transform as a body.

        Raises:
            CannotTell: the query makes columns out of values, or names them by position.
        """
        if query.find(*_UNREADABLE) is not None:
            raise CannotTell
        return Body(query, {}, ())

    def ctes(self, body: Body) -> Mapping[str, Body]:
        """Return the common table expressions that the clauses of ``body`` see."""
        clause = body.query.args.get("with_")
        if clause is None:
            return body.ctes
        if id(clause) not in self._ctes:
            seen = dict(body.ctes)
            for cte in clause.expressions:
                name, listed = cte.alias.lower(), tuple(c.name.lower() for c in cte.args["alias"].columns)
                if clause.recursive:
                    if name in self._inputs:
                        raise CannotTell  # whether a mention of it is the input depends on where it stands
                    own: dict[str, Body] = dict(seen)
                    seen[name] = own[name] = Body(cte.this, own, body.outer, is_recursive=True, columns=listed)
                else:
                    seen[name] = Body(cte.this, dict(seen), body.outer, columns=listed)
            self._ctes[id(clause)] = seen
        return self._ctes[id(clause)]

    def inner(self, query: exp.Query, body: Body, chain: Chain) -> Body:
        """Return a query that stands inside of ``body`` and sees ``chain``."""
        return Body(query, self.ctes(body), chain)

    def level(self, select: exp.Select, body: Body) -> Level:
        """Return the relations in the FROM clause of ``select``, which is the query of ``body``."""
        if id(select) not in self._levels:
            made: list[Relation] = []
            # Entries to the left are in sight of a LATERAL one: it shares the list that is still being filled.
            chain = (Level(made, settles=False), *body.outer)
            for source, is_shown in sources(select):
                made.append(self._relation(source, body, chain, is_shown=is_shown))
            self._levels[id(select)] = Level(made)
        return self._levels[id(select)]

    def names(self, body: Body) -> tuple[tuple[str, ...], bool]:
        """Return the names of the columns that ``body`` makes, and whether they are all of them."""
        if id(body.query) in self._naming:
            return (), False
        self._naming.add(id(body.query))
        try:
            names, is_exact = self._query_names(body)
        finally:
            self._naming.discard(id(body.query))
        return self._listed(body.columns, names, is_exact=is_exact)

    def _listed(
        self, listed: tuple[str, ...], names: tuple[str, ...], *, is_exact: bool
    ) -> tuple[tuple[str, ...], bool]:
        made = listed if not is_exact else (*listed, *names[len(listed) :])
        if not listed:
            made = names
        return made, is_exact and len(set(made)) == len(made)

    def _query_names(self, body: Body) -> tuple[tuple[str, ...], bool]:
        query = body.query
        if isinstance(query, exp.Subquery):
            return self.names(Body(query.this, self.ctes(body), body.outer))
        if isinstance(query, exp.SetOperation):
            arms = [self.names(Body(arm, self.ctes(body), body.outer)) for arm in (query.left, query.right)]
            if not query.args.get("by_name"):
                return arms[0]
            both = tuple(dict.fromkeys(name for names, _ in arms for name in names))
            return both, all(is_exact for _, is_exact in arms)
        if not isinstance(query, exp.Select):
            raise CannotTell
        return self._select_names(query, self.level(query, body))

    def _select_names(self, select: exp.Select, level: Level) -> tuple[tuple[str, ...], bool]:
        found: list[str] = []
        is_exact = True
        for made in select.expressions:
            star = star_of(made)
            if star is None:
                name = output_name(made)
                found += [name] if name else []
                is_exact = is_exact and bool(name)
                continue
            for relation in starred(made, level):
                left_out = excluded(star)
                found += [n for n in relation.names if n not in left_out]
                is_exact = is_exact and relation.is_exact
            is_exact = is_exact and not star.args.get("rename")
        return tuple(found), is_exact

    def _relation(self, source: exp.Expr, body: Body, chain: Chain, *, is_shown: bool) -> Relation:
        alias = source.alias_or_name.lower()
        given = source.args.get("alias")
        listed = tuple(c.name.lower() for c in given.columns) if isinstance(given, exp.TableAlias) else ()
        inner = source.this if isinstance(source, exp.Lateral) else source
        if isinstance(inner, exp.Subquery):
            made = Body(inner.this, self.ctes(body), chain)
        elif isinstance(inner, exp.Table) and isinstance(inner.this, exp.Identifier):
            name = inner.name.lower()
            found = self.ctes(body).get(name)
            if found is None and name in self._inputs:
                names, is_exact = self._listed(listed, self._inputs[name], is_exact=True)
                return Relation(alias, names, is_exact, name, None, bool(listed), is_shown)
            if found is None:
                raise CannotTell
            made = found
        elif isinstance(inner, exp.Table) and not reads_no_input(inner.this):
            raise CannotTell
        else:
            return Relation(alias, listed, is_shown=is_shown)
        names, is_exact = self.names(made)
        names, is_exact = self._listed(listed, names, is_exact=is_exact)
        return Relation(alias, names, is_exact, None, made, bool(listed or made.columns), is_shown)


def sources(select: exp.Select) -> Iterator[tuple[exp.Expr, bool]]:
    """Yield what stands in the FROM clause, joins in parentheses opened, and whether a star shows it.

    Raises:
        CannotTell: a join in parentheses has a name of its own.
    """
    clause = select.args.get("from_")
    if clause is not None:
        yield from _opened(clause.this)
    yield from _joined(select)
    for lateral in select.args.get("laterals") or []:
        yield lateral, True


def joins(select: exp.Select) -> Iterator[exp.Join]:
    """Yield every join of the FROM clause, also those in parentheses."""
    clause = select.args.get("from_")
    pending: list[exp.Expr] = [select, *([clause.this] if clause is not None else [])]
    while pending:
        node = pending.pop()
        if isinstance(node, exp.Subquery) and _is_join(node.this):
            pending.append(node.this)
        for join in node.args.get("joins") or []:
            yield join
            pending.append(join.this)


def star_of(made: exp.Expr) -> exp.Star | None:
    """Return the star that ``made``, an entry of a SELECT list, is: ``*`` or ``alias.*``."""
    if isinstance(made, exp.Star):
        return made
    return made.this if isinstance(made, exp.Column) and isinstance(made.this, exp.Star) else None


def starred(made: exp.Expr, level: Level) -> list[Relation]:
    """Return the relations whose columns a star stands for; none for the fields of a struct."""
    if isinstance(made, exp.Column):
        return [r for r in level.relations if r.alias == made.table.lower()]
    return [r for r in level.relations if r.is_shown]


def excluded(star: exp.Star) -> frozenset[str]:
    """Return the columns that a star leaves out."""
    return frozenset(c.name.lower() for c in star.args.get("except_") or [])


def output_name(made: exp.Expr) -> str:
    """Return the name of an entry of a SELECT list; empty where the engine makes one up."""
    if isinstance(made, exp.Alias):
        return made.alias.lower()
    if isinstance(made, exp.Paren):
        return output_name(made.this)
    return made.name.lower() if isinstance(made, exp.Column) else ""


def has_star(query: exp.Expr) -> bool:
    """True when any SELECT that ``query`` is made of has columns that it does not list one by one."""
    if isinstance(query, exp.SetOperation):
        return has_star(query.left) or has_star(query.right)
    if isinstance(query, exp.Subquery):
        return has_star(query.this)
    return any(made.find(exp.Star, exp.Columns) is not None for made in query.expressions)


def _opened(node: exp.Expr, *, is_shown: bool = True) -> Iterator[tuple[exp.Expr, bool]]:
    if isinstance(node, exp.Subquery) and _is_join(node.this):
        if node.alias:
            raise CannotTell
        yield from _opened(node.this, is_shown=is_shown)
    elif isinstance(node, exp.Table | exp.Subquery | exp.Lateral | exp.UDTF):
        yield node, is_shown
    else:
        raise CannotTell
    yield from _joined(node, is_shown=is_shown)


def _joined(node: exp.Expr, *, is_shown: bool = True) -> Iterator[tuple[exp.Expr, bool]]:
    for join in node.args.get("joins") or []:
        yield from _opened(join.this, is_shown=is_shown and join.kind not in ("SEMI", "ANTI"))


def _is_join(node: exp.Expr) -> bool:
    return isinstance(node, exp.Table) or bool(node.args.get("joins") and isinstance(node, exp.Subquery))
