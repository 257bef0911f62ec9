"""What a transform's SQL may be: one SELECT over declared inputs that gives the same answer on every replay."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import TokenType, exp, tokenize
from sqlglot.errors import TokenError

from remint.checks.determinism import nondeterminism, pointless_exceptions, reads_clock
from remint.checks.run_now import is_run_now
from remint.checks.sql_tree import function_name, line_of, parse_statements
from remint.errors import ProjectError
from remint.loading.sql_source import REJECTED
from remint.model.dataset import Column

Relations = Mapping[str, tuple[Column, ...]]
"""Columns of each relation that the SQL may read, by alias in lower case."""

_BEGINS_QUERY = frozenset((TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.L_PAREN, TokenType.SEMICOLON))
_SOURCES = (exp.GenerateSeries, exp.Unnest, exp.Explode, exp.Posexplode)
_SOURCE_NAMES = frozenset(["range", "generate_series", "unnest", "generate_subscripts", "json_each", "json_tree"])
# What table functions call their columns when the SQL does not.
_IMPLIED_COLUMNS = frozenset(
    ["range", "generate_series", "generate_subscripts", "unnest", "key", "value", "ordinality"]
)
_FROZEN = "run.now is the time at which the plan was made: the same on every replay of it"


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal, with the line in the SQL text."""

    message: str
    line: int
    hint: str | None = None


def parse_transform(sql: str) -> exp.Query | Problem:
    """Return the one query that ``sql`` is, or why it is none."""
    try:
        first = next(iter(tokenize(sql, dialect="duckdb")), None)
        # Before parsing: the parser logs what it does not know, and would take "SHOW" for a name.
        if first is not None and first.token_type not in _BEGINS_QUERY:
            return Problem(f"{first.text.upper()} is not a SELECT; a transform only reads", first.line)
        statements = parse_statements(sql)
    except TokenError as error:
        return Problem(f"SQL does not parse: {str(error).partition(chr(10))[0]}", 1)
    except ProjectError as error:
        return Problem(error.message, error.line or 1)
    if not statements:
        return Problem("holds no SQL", 1, "write one SELECT")
    if len(statements) > 1:
        return Problem(f"{len(statements)} statements; a transform is one SELECT", line_of(statements[1]))
    only = statements[0]
    if not isinstance(only, exp.Query):
        return Problem(f"{_kind(only)} is not a SELECT; a transform only reads", line_of(only))
    return only


def problems(
    query: exp.Query, relations: Relations, required: Mapping[str, str], allow: Sequence[str] = ()
) -> list[Problem]:
    """Return all that is wrong with ``query``, by line.

    Args:
        query: the transform.
        relations: what it may read.
        required: aliases that it must read, with the dataset for the message.
        allow: functions that are let through although a replay may give another answer.
    """
    read: set[str] = set()
    found = [*_writes(query), *_tables(query, relations, read), *_unknown_columns(query, relations)]
    found += [*_run_now(query)]
    found += [Problem(message, 1) for message in pointless_exceptions(allow)]
    for node, message in nondeterminism(query, allow):
        found.append(Problem(message, line_of(node), _FROZEN if reads_clock(node) else None))
    for alias in (a for a in required if not read & {a.lower(), f"{a.lower()}{REJECTED}"}):
        found.append(Problem(f"the input {alias} ({required[alias]}) is declared but never read", 1))
    return sorted(set(found), key=lambda p: (p.line, p.message))


def _run_now(query: exp.Query) -> Iterator[Problem]:
    """Yield what makes ``run.now`` mean two things, or leaves a column without a name."""
    used = [node for node in query.find_all(exp.Column) if is_run_now(node)]
    for node in used:
        if node.arg_key == "expressions" and isinstance(node.parent, exp.Select):
            yield Problem("run.now is a value without a name", line_of(node), "write run.now AS <column>")
    if used:
        for named in query.find_all(exp.Table, exp.Subquery, exp.CTE, exp.UDTF):
            if named.alias_or_name.lower() == "run":
                yield Problem("run.now is the time of the plan, so nothing else can be called run here", line_of(named))


def reads_no_input(function: exp.Expr) -> bool:
    """True for a table function that makes rows from its arguments alone."""
    return isinstance(function, _SOURCES) or function_name(function) in _SOURCE_NAMES


def _kind(node: exp.Expr) -> str:
    return str(node.this).upper() if isinstance(node, exp.Command) else node.key.upper()


def _writes(query: exp.Query) -> Iterator[Problem]:
    for node in query.walk():
        if isinstance(node, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Create | exp.Command | exp.Into):
            yield Problem(f"{_kind(node)} writes; a transform only reads", line_of(node))
        elif isinstance(node, exp.Parameter | exp.Placeholder):
            yield Problem("a parameter has no value here; a transform is complete as it stands", line_of(node))


def _tables(query: exp.Query, relations: Relations, read: set[str]) -> Iterator[Problem]:
    """Yield tables that may not be read; add the aliases that are read to ``read``."""
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            if not reads_no_input(table.this):
                name = function_name(table.this)
                yield Problem(
                    f"{name}() reads what is not an input", line_of(table), "read files through a Bronze dataset"
                )
            continue
        name = table.name
        if table.db or table.catalog or name.lower() not in {*_ctes_in_sight(table), *relations}:
            yield _undeclared(table, relations)
        elif name.lower() not in _ctes_in_sight(table):
            read.add(name.lower())


def _undeclared(table: exp.Table, relations: Relations) -> Problem:
    name = ".".join(part.name for part in table.parts)
    if "/" in name or name.lower().endswith((".csv", ".parquet", ".json", ".jsonl", ".gz")):
        return Problem(f"{name!r} is a file, not an input", line_of(table), "read files through a Bronze dataset")
    near = difflib.get_close_matches(name.lower(), relations, n=1, cutoff=0.5)
    guess = f"; nearest: {near[0]}" if near else ""
    return Problem(
        f"{name!r} is not a declared input{guess}",
        line_of(table),
        f"inputs are read by their alias: {', '.join(relations) or 'none is declared'}",
    )


def _ctes_in_sight(table: exp.Table) -> set[str]:
    """Return the names of the CTEs that a table name at this place can mean, in lower case."""
    names: set[str] = set()
    node: exp.Expr = table
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.With):
            earlier = parent.expressions if parent.recursive else parent.expressions[: node.index or 0]
            names |= {cte.alias.lower() for cte in earlier}
        else:
            clause = parent.args.get("with_")
            if clause is not None and clause is not node:
                names |= {cte.alias.lower() for cte in clause.expressions}
        node = parent
    return names


def _unknown_columns(query: exp.Query, relations: Relations) -> Iterator[Problem]:
    """Yield columns whose name nothing in sight has: neither an input nor anything that the SQL names itself.

    It errs on the side of silence: the engine refuses what this lets through.
    """
    if query.find(exp.Pivot) is not None:
        return  # makes columns out of values
    columns = {c.name.lower(): c.name for relation in relations.values() for c in relation}
    named = _named_inside(query)
    tables = {t.alias_or_name.lower() for t in query.find_all(exp.Table, exp.Subquery, exp.CTE, exp.Unnest, exp.Values)}
    known = {*columns, *named, *tables, *_IMPLIED_COLUMNS}
    for column in query.find_all(exp.Column):
        name = column.name.lower()
        # Also run.now, which is a constant, and no table.
        is_field = bool(column.table) and column.table.lower() not in tables
        if name in known or is_field or isinstance(column.this, exp.Star) or _is_syntax(column):
            continue
        near = difflib.get_close_matches(name, {*columns, *named}, n=1)
        guess = f"; nearest: {columns.get(near[0], near[0])}" if near else ""
        yield Problem(f"no input has a column {column.name!r}{guess}", line_of(column))


def _named_inside(query: exp.Query) -> set[str]:
    """Return every name that the query gives to something, in lower case."""
    found: set[str] = set()
    for node in query.find_all(exp.Alias, exp.TableAlias, exp.Lambda, exp.Comprehension, exp.Aliases, exp.PropertyEQ):
        if isinstance(node, exp.Alias):
            found.add(node.alias.lower())
        elif isinstance(node, exp.TableAlias):
            found |= {c.name.lower() for c in node.args.get("columns") or []} | {node.name.lower()}
        else:
            found |= {i.name.lower() for i in node.find_all(exp.Identifier)}
    return found


def _is_syntax(column: exp.Column) -> bool:
    """True for words that the parser takes for columns: ``ORDER BY ALL``, units of time."""
    return column.name.lower() in ("all", "default") or isinstance(column.parent, exp.Interval | exp.Extract)
