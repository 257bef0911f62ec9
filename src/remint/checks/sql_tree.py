"""SQL as a syntax tree with line numbers."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from remint.errors import ProjectError

_SHOWN = 60
_DUCKDB_NAMES = {"rand": "random", "group_concat": "string_agg", "approx_distinct": "approx_count_distinct"}
# sqlglot's names of functions that DuckDB's users know by another.


def parse_statements(sql: str) -> list[exp.Expr]:
    """Return the statements of ``sql``, in DuckDB's dialect; comments alone are none.

    Raises:
        ProjectError: it does not parse; the line counts from the first line of ``sql``.
    """
    try:
        parsed = sqlglot.parse(sql, dialect="duckdb")
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        line = details[0].get("line")
        near = details[0].get("highlight")
        said = details[0].get("description") or str(error).partition("\n")[0]
        raise ProjectError(
            f"SQL does not parse: {said}" + (f" near {near!r}" if near else ""), line=line or 1
        ) from None
    except RecursionError:
        raise ProjectError("SQL is nested too deeply", line=1) from None
    return [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]


def line_of(node: exp.Expr) -> int:
    """Return the line on which ``node`` stands: its own, else that of its first part, else of what it is part of."""
    for part in node.walk(bfs=False):
        if "line" in part.meta:
            return int(part.meta["line"])
    return line_of(node.parent) if node.parent is not None else 1


def as_sql(node: exp.Expr) -> str:
    """Return ``node`` as SQL on one line, without comments."""
    return node.sql(dialect="duckdb", comments=False, unsupported_level=ErrorLevel.IGNORE)


def shown(node: exp.Expr) -> str:
    """Return ``node`` as SQL on one line, shortened for messages."""
    text = as_sql(node)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def function_name(node: exp.Expr) -> str:
    """Return the lower-case name under which ``node`` is called; empty when it is no function."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    name = node.sql_name().lower() if isinstance(node, exp.Func) else ""
    return _DUCKDB_NAMES.get(name, name)


def identifier(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def string(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return exp.Literal.string(text).sql(dialect="duckdb")
