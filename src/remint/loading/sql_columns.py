"""Which columns of each input a transform reads: those whose values can change its result.

Rules: a column that is left out cannot change the result. Where that is not certain the column counts, and where not
even the columns are certain, all do. So a digest over the columns found here is as good as one over all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import Token, TokenType, exp, tokenize

from remint.loading.sql_rules import Problem, Relations, parse_transform
from remint.loading.sql_scopes import (
    Body,
    CannotTell,
    Chain,
    Level,
    Relation,
    Scopes,
    excluded,
    has_star,
    joins,
    output_name,
    star_of,
    starred,
)

_ALL = "*"
"""Stands for every column where names of columns are expected."""
_EVERYTHING = frozenset([_ALL])
TEXT_TOKENS = frozenset(
    (
        TokenType.STRING,
        TokenType.RAW_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.UNICODE_STRING,
    )
)
"""Kinds of tokens that are text between quotes, in whatever spelling."""
_READ_APART = frozenset(("from_", "joins", "laterals", "with_", "expressions"))


def columns_read(sql: str, relations: Relations) -> Mapping[str, frozenset[str] | None]:
    """Return the columns of each input that ``sql`` reads, in the spelling of ``relations``.

    Args:
        sql: one SELECT.
        relations: what it may read, by alias.

    Returns:
        For every alias its columns; empty where only rows are counted, or nothing is read; None for all of them, also
        those that the input gets later.
    """
    query = parse_transform(sql)
    if isinstance(query, Problem):
        return dict.fromkeys(relations)
    reader = _Reader(relations)
    try:
        reader.read(reader.scopes.body(query), _EVERYTHING)
    except (CannotTell, RecursionError):
        return dict.fromkeys(relations)
    for name in _misread(sql, query):
        reader.want_anywhere(name)
    return {
        alias: None
        if _ALL in reader.found[alias.lower()]
        else frozenset(c.name for c in columns if c.name.lower() in reader.found[alias.lower()])
        for alias, columns in relations.items()
    }


class _Reader:
    """Follows what the result needs down to the inputs."""

    def __init__(self, relations: Relations) -> None:
        self.scopes = Scopes(relations)
        self.found: dict[str, set[str]] = {alias.lower(): set() for alias in relations}
        self._columns = {alias.lower(): {c.name.lower() for c in columns} for alias, columns in relations.items()}
        self._wanted: dict[int, frozenset[str]] = {}

    def want_anywhere(self, name: str) -> None:
        """Count the column, or whole input, ``name``, wherever there is one."""
        for alias, columns in self._columns.items():
            self.found[alias] |= {name} & columns | (_EVERYTHING if alias == name else set())

    def read(self, body: Body, wanted: frozenset[str]) -> None:
        """Count what ``body`` reads when its columns ``wanted`` are used; what it lists itself counts in any case."""
        query = body.query
        before = self._wanted.get(id(query))
        if before is not None and wanted <= before:
            return
        wanted = self._wanted[id(query)] = wanted | (before or frozenset())
        if isinstance(query, exp.Select):
            self._select(query, body, wanted)
            return
        arms = [query.left, query.right] if isinstance(query, exp.SetOperation) else [query.this]
        for arm in arms:
            self.read(self.scopes.inner(arm, body, body.outer), self._of_arm(query, wanted))
        for key, clause in query.args.items():
            if key not in ("this", "expression", "with_"):
                self._walk_all(clause, body, (Level(()), *body.outer))

    def _of_arm(self, query: exp.Query, wanted: frozenset[str]) -> frozenset[str]:
        if isinstance(query, exp.Subquery):
            return wanted
        is_union_all = isinstance(query, exp.Union) and not query.args.get("distinct")
        if is_union_all and query.args.get("by_name"):
            return wanted
        # Columns meet by position, which a star does not tell.
        return wanted if is_union_all and not has_star(query) else _EVERYTHING

    def _select(self, select: exp.Select, body: Body, wanted: frozenset[str]) -> None:
        level = self.scopes.level(select, body)
        if _shows_all(select):
            wanted = _EVERYTHING
        listed: set[str] = set()
        for made in select.expressions:
            if star_of(made) is None:
                self._walk(made, body, (level, *body.outer))
                listed.add(output_name(made))
        for made in select.expressions:
            star = star_of(made)
            if star is not None:
                self._star(made, star, level, body, wanted, listed)
        for key, clause in select.args.items():
            if key not in _READ_APART:
                self._walk_all(clause, body, (level, *body.outer))
        inside = (Level(level.relations, settles=False), *body.outer)
        self._from(select, level, body, inside)

    def _star(
        self,
        made: exp.Expr,
        star: exp.Star,
        level: Level,
        body: Body,
        wanted: frozenset[str],
        listed: set[str],
    ) -> None:
        chain = (level, *body.outer)
        relations = starred(made, level)
        if not relations and isinstance(made, exp.Column):
            self._name([part.name.lower() for part in made.parts[:-1]], chain)  # the fields of a struct
        for replaced in star.args.get("replace") or []:
            self._walk(replaced, body, chain)
        left_out = excluded(star) | {made.alias.lower() for made in star.args.get("replace") or []}
        known = {name for relation in relations for name in relation.names}
        if _ALL in wanted or star.args.get("rename"):
            wanted = _EVERYTHING
        elif any(name not in known | listed for name in wanted) and not left_out >= wanted:
            wanted = _EVERYTHING  # a name that the engine made up, such as k_1 for the second k
        for relation in relations:
            for name in wanted - left_out:
                if name in relation.names or name == _ALL or not relation.is_exact:
                    self._want(relation, name)

    def _from(self, select: exp.Select, level: Level, body: Body, chain: Chain) -> None:
        clause = select.args.get("from_")
        starts = [clause.this] if clause is not None else []
        for node in [*starts, *(j.this for j in joins(select)), *(select.args.get("laterals") or [])]:
            self._source(node, body, chain)
        for relation in level.relations:
            if relation.body is not None:
                self.read(relation.body, frozenset())  # its rows count, whichever columns do
        for join in joins(select):
            self._walk_all(join.args.get("on"), body, chain)
            self._walk_all(join.args.get("match_condition"), body, chain)
            for column in join.args.get("using") or []:
                self._shared(column.name.lower(), level)
            if join.method == "NATURAL":
                self._natural(level)

    def _source(self, node: exp.Expr, body: Body, chain: Chain) -> None:
        """Count what the arguments of a table function, a list or a sample read."""
        inner = node.this if isinstance(node, exp.Lateral) else node
        for key, value in inner.args.items():
            if key == "joins" or (isinstance(inner, exp.Subquery) and key == "this"):
                continue
            self._walk_all(value, body, chain)
        if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Table | exp.Subquery):
            self._source(inner.this, body, chain)

    def _natural(self, level: Level) -> None:
        if not all(relation.is_exact for relation in level.relations):
            for relation in level.relations:
                self._want(relation, _ALL)
        names = [name for relation in level.relations for name in set(relation.names)]
        for name in {n for n in names if names.count(n) > 1}:
            self._shared(name, level)

    def _shared(self, name: str, level: Level) -> None:
        for relation in level.relations:
            if name in relation.names or not relation.is_exact:
                self._want(relation, name)

    def _walk_all(self, value: object, body: Body, chain: Chain) -> None:
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, exp.Expr):
                self._walk(node, body, chain)

    def _walk(self, node: exp.Expr, body: Body, chain: Chain) -> None:
        """Count the columns that an expression names, following the queries inside of it."""
        if isinstance(node, exp.Query):
            self.read(self.scopes.inner(node, body, chain), _EVERYTHING)
        elif isinstance(node, exp.Exists) and isinstance(node.this, exp.Query):
            self.read(self.scopes.inner(node.this, body, chain), frozenset())
        elif isinstance(node, exp.Count) and isinstance(node.this, exp.Star) and not any(node.this.args.values()):
            return
        elif isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            self._name([part.name.lower() for part in node.parts], chain)
        elif isinstance(node, exp.Column):
            self._whole([part.name.lower() for part in node.parts[:-1]], chain)
        elif isinstance(node, exp.Star | exp.Columns):
            for relation in chain[0].relations:
                self._want(relation, _ALL)
            self._walk_children(node, body, chain)
        else:
            if isinstance(node, exp.Dot) and isinstance(node.this, exp.Identifier):
                # A function called on a column: name.lower(), a.name.lower().
                self._name(
                    [part.name.lower() for part in node.iter_expressions() if isinstance(part, exp.Identifier)], chain
                )
            self._walk_children(node, body, chain)

    def _walk_children(self, node: exp.Expr, body: Body, chain: Chain) -> None:
        for child in node.iter_expressions():
            self._walk(child, body, chain)

    def _whole(self, parts: list[str], chain: Chain) -> None:
        """Count all that ``alias.*`` or ``struct.*`` means outside of a SELECT list."""
        found = [r for level in chain for r in level.relations if r.alias in parts]
        for relation in found:
            self._want(relation, _ALL)
        if not found:
            self._name(parts, chain)

    def _name(self, parts: list[str], chain: Chain) -> None:
        """Count what a name of one or more parts can mean: column, alias.column, column.field, a whole relation."""
        for level in chain:
            is_certain = False
            tables = [(at, r) for at, part in enumerate(parts) for r in level.relations if r.alias == part]
            for at, relation in tables:
                column = parts[at + 1] if at + 1 < len(parts) else None
                if column is not None and (column in relation.names or not relation.is_exact):
                    self._want(relation, column)
                    is_certain |= at == 0 and column in relation.names
                elif column is not None:
                    self._want(relation, _ALL)  # a field of the whole row, or a name that the engine made up
            owners = [r for r in level.relations if parts[0] in r.names]
            if not is_certain:
                for relation in owners or [r for r in level.relations if not r.is_exact]:
                    self._want(relation, parts[0])
                for at, relation in tables:
                    if at == len(parts) - 1 and not owners:
                        self._want(relation, _ALL)
            if (is_certain or owners) and level.settles:
                return

    def _want(self, relation: Relation, name: str) -> None:
        if relation.source is not None:
            self.found[relation.source].add(_ALL if relation.is_renamed else name)
        elif relation.body is not None:
            is_by_position = relation.is_renamed or relation.body.is_recursive
            self.read(relation.body, _EVERYTHING if is_by_position else frozenset([name]))


def _shows_all(select: exp.Select) -> bool:
    """True when the columns behind a star decide which rows there are, or which row comes first."""
    distinct, group, order = (select.args.get(key) for key in ("distinct", "group", "order"))
    if distinct is not None and distinct.args.get("on") is None:
        return True
    if not has_star(select):
        return False
    clauses = [clause for clause in (distinct, group, order) if clause is not None]
    by_position = any(clause.find(exp.Literal, exp.Var, exp.Star, exp.Columns) for clause in clauses)
    return by_position or bool(group is not None and group.args.get("all"))


def _misread(sql: str, query: exp.Query) -> Iterator[str]:
    """Yield words of the text that the parser did not take for names, though the engine might: a column ``date``."""
    placed = {node.meta.get("start") for node in query.find_all(exp.Identifier)}
    tokens = tokenize(sql, dialect="duckdb")
    for at, token in enumerate(tokens):
        if token.start not in placed and token.token_type not in TEXT_TOKENS and not _is_no_name(tokens, at):
            yield token.text.lower()


def _is_no_name(tokens: list[Token], at: int) -> bool:
    """True for a function, a type, a typed literal, a unit of time or an alias, by what stands beside it."""
    after = tokens[at + 1].token_type if at + 1 < len(tokens) else None
    if after in (TokenType.L_PAREN, TokenType.STRING):
        return True
    before = tokens[at - 1].token_type if at else None
    if before in (TokenType.ALIAS, TokenType.DCOLON, TokenType.NUMBER, TokenType.STRING):
        return True
    earlier = tokens[at - 2].text.lower() if at > 1 else ""
    is_unit = before is TokenType.L_PAREN and earlier in ("extract", "date_part")
    return is_unit or (earlier in ("union", "all") and tokens[at - 1].text.lower() == "by")  # UNION BY NAME
