"""DuckDB compares two states of a table, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from remint.engines.base import Comparison, Scan, quoted
from remint.engines.duckdb_rows import fetched, scan_sql


def compare(con: duckdb.DuckDBPyConnection, before: Scan, after: Scan, key: Sequence[str], sample: int) -> Comparison:
    """Return what differs between two states of a table, matched by ``key`` (by whole rows without one)."""
    columns = before.columns
    matched = tuple(key) or tuple(c.name for c in columns)
    on = " AND ".join(f"b.{quoted(k)} IS NOT DISTINCT FROM a.{quoted(k)}" for k in matched)
    rest = [c.name for c in columns if c.name not in matched]
    differs = {c: f"b.{quoted(c)} IS DISTINCT FROM a.{quoted(c)}" for c in rest}
    any_differs = " OR ".join(differs.values()) or "false"
    change = f"CASE WHEN b.h IS NULL THEN 'added' WHEN a.h IS NULL THEN 'removed' WHEN {any_differs} THEN 'changed' END"
    shown = [f"coalesce(a.{quoted(k)}, b.{quoted(k)}) AS {quoted(k)}" for k in matched]
    shown += [f"b.{quoted(c)} AS {quoted('before_' + c)}" for c in rest]
    shown += [f"a.{quoted(c)} AS {quoted('after_' + c)}" for c in rest]
    flags = [f"{d} AS {quoted('differs_' + c)}" for c, d in differs.items()]
    both = (
        f"SELECT {', '.join([*shown, *flags, f'{change} AS change'])} "
        f"FROM (SELECT *, 1 AS h FROM ({scan_sql(before)})) b "
        f"FULL JOIN (SELECT *, 1 AS h FROM ({scan_sql(after)})) a ON {on}"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE __compared AS SELECT * FROM ({both}) WHERE change IS NOT NULL")
    counts = [f"count(*) FILTER (WHERE change = '{kind}')" for kind in ("added", "removed", "changed")]
    counts += [f"count(*) FILTER (WHERE change = 'changed' AND {quoted('differs_' + c)})" for c in rest]
    totals = con.execute(f"SELECT {', '.join(counts)} FROM __compared").fetchall()[0]
    order = ", ".join(quoted(k) for k in matched)
    names, sampled = fetched(con, f"SELECT * FROM __compared ORDER BY change, {order} LIMIT {sample}")
    rows = [dict(zip(names, row, strict=True)) for row in sampled]
    con.execute("DROP TABLE __compared")
    return Comparison(
        added=totals[0],
        removed=totals[1],
        changed=totals[2],
        changed_columns={c: n for c, n in zip(rest, totals[3:], strict=True) if n},
        sample=[_sample_row(row, matched, rest) for row in rows],
    )


def _sample_row(row: Mapping[str, Any], matched: Sequence[str], rest: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"change": row["change"], **{k: row[k] for k in matched}}
    for column in rest:
        before, after = row[f"before_{column}"], row[f"after_{column}"]
        if row["change"] != "changed":
            shown[column] = after if row["change"] == "added" else before
        elif row[f"differs_{column}"]:
            shown[column] = [before, after]
    return shown
