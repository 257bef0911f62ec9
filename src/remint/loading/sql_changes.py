"""What differs between two versions of a transform, in words that a reviewer of a plan understands.

It names output columns and the clauses that choose rows. It follows a change through common table expressions by
name, without types, so it may name a column too many; whether anything changed at all is the digest's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from remint.checks.sql_tree import as_sql, parse_statements
from remint.errors import ProjectError
from remint.loading.sql_logic import canonical_sql, split_settings
from remint.model.observation import LogicChange

_OUTPUT = "the result"
_CLAUSES = {
    "from_": "FROM",
    "joins": "JOIN",
    "where": "WHERE",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "distinct": "DISTINCT",
    "limit": "LIMIT",
    "offset": "OFFSET",
    "windows": "WINDOW",
}


@dataclass(slots=True)
class _Part:
    """One SELECT of a transform: the result, or a common table expression."""

    columns: dict[str, str] = field(default_factory=dict)
    clauses: dict[str, str] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)
    uses: dict[str, set[str]] = field(default_factory=dict)
    """Column names in each output column, and in each clause."""


@dataclass(slots=True)
class _Difference:
    columns: set[str] = field(default_factory=set)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    """Clauses, with the part they stand in."""


def sql_change(old_sql: str, new_sql: str) -> LogicChange:
    """Return what ``new_sql`` changes against ``old_sql``.

    Args:
        old_sql: SQL, or the canonical text of a ``Logic``.
        new_sql: likewise.

    Returns:
        In words, for example ``changes over_limit_count; adds column plan; changes which rows (WHERE of limits)``,
        empty when the two differ in nothing but form; and which output columns can differ.
    """
    old_text, old_settings = split_settings(old_sql)
    new_text, new_settings = split_settings(new_sql)
    found = [*changed_settings(old_settings, new_settings)] if old_settings and new_settings else []
    words = [words for words, _ in found]
    columns = {column for _, column in found if column}
    is_any = any(not column for _, column in found)
    try:
        old_text, new_text = canonical_sql(old_text), canonical_sql(new_text)
        if old_text == new_text:
            return LogicChange(words="; ".join(words), columns=frozenset(columns), is_any=is_any)
        old, new = _parts(old_text), _parts(new_text)
    except (ProjectError, SqlglotError):
        return LogicChange(words="; ".join(["changes the SQL", *words]), is_any=True)
    difference = _compare(old, new)
    columns |= {*difference.columns, *difference.added, *difference.removed}
    return LogicChange(
        words="; ".join([*_in_words(difference), *words]),
        columns=frozenset(columns),
        is_any=is_any or bool(difference.rows) or not columns,
    )


def _parts(sql: str) -> dict[str, _Part]:
    """Return every SELECT by the name of its CTE, in order; the arms of a UNION count as one."""
    statements = parse_statements(sql)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ProjectError("not one query")
    query = statements[0]
    found = {cte.alias.lower(): _part(cte.this) for cte in query.ctes}
    found[_OUTPUT] = _part(query)
    return found


def _part(query: exp.Expr) -> _Part:
    part = _Part()
    for arm, select in enumerate(_selects(query)):
        for position, projection in enumerate(select.expressions):
            name = projection.alias_or_name.lower() or f"column {position + 1}"
            inner = projection.this if isinstance(projection, exp.Alias) else projection
            part.columns[name] = f"{part.columns.get(name, '')}|{as_sql(inner)}"
            part.uses.setdefault(name, set()).update(c.name.lower() for c in projection.find_all(exp.Column, exp.Star))
        for key, words in _CLAUSES.items():
            nodes = select.args.get(key)
            listed = [n for n in (nodes if isinstance(nodes, list) else [nodes]) if isinstance(n, exp.Expr)]
            if not listed:
                continue
            part.clauses[words] = f"{part.clauses.get(words, '')}|{arm}:{' '.join(map(as_sql, listed))}"
            names = {c.name.lower() for n in listed for c in n.find_all(exp.Column)}
            part.uses.setdefault(words, set()).update(names)
        part.reads |= {t.name.lower() for t in select.find_all(exp.Table)}
    if isinstance(query, exp.SetOperation):
        part.clauses[query.key.upper()] = str(query.args.get("distinct"))
    return part


def _selects(query: exp.Expr) -> Iterator[exp.Select]:
    if isinstance(query, exp.SetOperation):
        yield from _selects(query.left)
        yield from _selects(query.right)
    elif isinstance(query, exp.Subquery):
        yield from _selects(query.this)
    elif isinstance(query, exp.Select):
        yield query


def _compare(old: Mapping[str, _Part], new: Mapping[str, _Part]) -> _Difference:
    """Return what differs in the result, following changed columns and rows from part to part."""
    changed: dict[str, set[str]] = {}
    whole = _Difference()
    for name, part in new.items():
        before = old.get(name, _Part())
        upstream = set().union(*(changed.get(read, set()) for read in part.reads))
        columns = {c for c, sql in part.columns.items() if before.columns.get(c) != sql}
        columns |= {c for c in part.columns if part.uses.get(c, set()) & upstream}
        if "*" in part.columns:
            columns |= upstream
        changed[name] = columns
        if name in old:
            clauses = sorted({*part.clauses, *before.clauses})
            whole.rows += [f"{c} of {name}" for c in clauses if part.clauses.get(c) != before.clauses.get(c)]
        whole.rows += [
            f"{c} of {name}"
            for c in part.clauses
            if part.uses.get(c, set()) & upstream and f"{c} of {name}" not in whole.rows
        ]
    now, then = new[_OUTPUT].columns, old[_OUTPUT].columns
    whole.added = [c for c in now if c not in then and c != "*"]
    whole.removed = [c for c in then if c not in now and c != "*"]
    whole.columns = changed[_OUTPUT] - set(whole.added) - {"*"}
    return whole


def _in_words(difference: _Difference) -> list[str]:
    words = []
    if difference.columns:
        words.append("changes " + ", ".join(sorted(difference.columns)))
    words += [f"adds column {name}" for name in difference.added]
    words += [f"removes column {name}" for name in difference.removed]
    if difference.rows:
        words.append(f"changes which rows ({', '.join(difference.rows)})")
    return words


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each change in words, with the output column that it concerns; empty: it can concern all of them."""
    before, after = old.get("columns", {}), new.get("columns", {})
    for name in (n for n in after if n in before and before[n] != after[n]):
        yield f"changes the type of {name} from {before[name]} to {after[name]}", name.lower()
    before, after = old.get("reads", {}), new.get("reads", {})
    for alias in sorted(a for a in {*before, *after} if before.get(a) != after.get(a)):
        yield f"changes what is read as {alias} ({before.get(alias, 'nothing')} -> {after.get(alias, 'nothing')})", ""
    if old.get("keep") != new.get("keep"):
        yield "changes which row of a key wins", ""
    if old.get("parse") != new.get("parse"):
        yield from ((words, "") for words in _changed_parsing(old.get("parse") or {}, new.get("parse") or {}))


def _changed_parsing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for part, noun in (("fields", "field"), ("rules", "rule")):
        before, after = old.get(part, {}), new.get(part, {})
        names = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
        if names:
            yield f"changes the payload {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"
    if old.get("of") != new.get("of"):
        yield "changes which payload is parsed"
