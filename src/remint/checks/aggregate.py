"""One scalar aggregate, as metrics and SQL checks are written: ``count(*) FILTER (WHERE amount < 0)``."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from sqlglot import exp

from remint.checks.determinism import nondeterminism
from remint.checks.sql_tree import as_sql, parse_statements, shown
from remint.errors import ProjectError


def check_aggregate(sql: str, columns: Collection[str]) -> str:
    """Return ``sql`` as it stands in a SELECT list: without comments, on one line.

    Args:
        sql: an expression that gives one value for a set of rows.
        columns: names that it may use.

    Raises:
        ProjectError: it is no such expression; without file and line, which the caller knows.
    """
    tree = _expression(sql, "an aggregate such as count(*) FILTER (WHERE amount < 0)")
    _refuse_foreign(tree, sql, columns)
    if next((n for n in tree.walk() if isinstance(n, exp.AggFunc)), None) is None:
        raise ProjectError(f"{sql!r} is no aggregate: it gives a value for every row", hint="count, sum, max, ...")
    bare = next((c for c in tree.find_all(exp.Column) if not _is_aggregated(c, tree)), None)
    if bare is not None:
        raise ProjectError(f"{bare.name!r} stands outside of an aggregate in {sql!r}")
    return _uncommented(sql, tree)


def check_condition(sql: str, columns: Collection[str]) -> str:
    """Return ``sql``, a condition on one row, without comments and on one line.

    Raises:
        ProjectError: it is no such condition; without file and line, which the caller knows.
    """
    tree = _expression(sql, "a condition such as amount >= 0")
    _refuse_foreign(tree, sql, columns)
    if any(isinstance(n, exp.AggFunc) for n in tree.walk()):
        raise ProjectError(f"{sql!r} is an aggregate; a rule looks at one row")
    return _uncommented(sql, tree)


def _uncommented(sql: str, tree: exp.Expr) -> str:
    """Return the text as written where it holds no comment, which would swallow what is put behind it."""
    has_comment = "--" in sql or "/*" in sql
    return as_sql(tree) if has_comment else " ".join(sql.split("\n")).strip()


def _expression(sql: str, expected: str) -> exp.Expr:
    """Return the tree of the one expression that ``sql`` is.

    It is parsed inside of a SELECT list; what comes back must be that SELECT with one expression and nothing more,
    so that text cannot break out of its place.
    """
    if not sql.strip():
        raise ProjectError(f"empty; write {expected}")
    try:
        statements = parse_statements(f"SELECT (\n{sql}\n)")
    except ProjectError as error:
        raise ProjectError(f"{sql!r} is not {expected}: {error.message}") from None
    only = statements[0] if len(statements) == 1 else None
    is_plain = isinstance(only, exp.Select) and len(only.expressions) == 1 and set(_given(only)) == {"expressions"}
    if not is_plain or not isinstance(only, exp.Select) or not isinstance(only.expressions[0], exp.Paren):
        raise ProjectError(f"{sql!r} is not one expression; write {expected}")
    inner: exp.Expr = only.expressions[0].this
    if isinstance(inner, exp.Query):
        raise ProjectError(f"{sql!r} is a query; write only {expected}")
    return inner


def _given(node: exp.Expr) -> list[str]:
    return [name for name, value in node.args.items() if value]


def _refuse_foreign(tree: exp.Expr, sql: str, columns: Collection[str]) -> None:
    known = {c.lower(): c for c in columns}
    for node in tree.walk():
        if isinstance(node, exp.Query | exp.Table | exp.Window | exp.Placeholder | exp.Parameter):
            raise ProjectError(f"{shown(node)!r} cannot stand in {sql!r}: only columns of the dataset can")
        if isinstance(node, exp.Column) and node.name.lower() not in known:
            near = difflib.get_close_matches(node.name.lower(), known, n=1)
            guess = f"; nearest: {known[near[0]]}" if near else ""
            raise ProjectError(f"{sql!r} names the column {node.name!r}, which there is not{guess}")
    for _, problem in nondeterminism(tree):
        raise ProjectError(f"in {sql!r}: {problem}")


def _is_aggregated(column: exp.Column, tree: exp.Expr) -> bool:
    node: exp.Expr | None = column
    while node is not None and node is not tree:
        if isinstance(node, exp.AggFunc | exp.Filter | exp.WithinGroup):
            return True
        node = node.parent
    return isinstance(tree, exp.AggFunc | exp.Filter | exp.WithinGroup)
