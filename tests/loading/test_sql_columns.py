"""Which columns a transform reads: expected by example, and confirmed by DuckDB on random tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from remint.loading.sql_columns import columns_read
from remint.model.dataset import Column

TABLES: dict[str, dict[str, str]] = {
    "a": {"k": "INTEGER", "day": "DATE", "x": "INTEGER", "y": "INTEGER", "Name": "VARCHAR", "date": "DATE"},
    "b": {"k": "INTEGER", "day": "DATE", "z": "INTEGER", "w": "INTEGER"},
    "s": {"k": "INTEGER", "p": "STRUCT(f INTEGER, g INTEGER)", "l": "INTEGER[]", "q": "INTEGER"},
}
RELATIONS = {
    alias: tuple(Column(name=name, type=type_) for name, type_ in columns.items()) for alias, columns in TABLES.items()
}

Expected = dict[str, set[str] | None]
CORPUS: list[tuple[str, Expected]] = [
    ("SELECT x FROM a", {"a": {"x"}}),
    ("SELECT count(*) AS n FROM a", {"a": set()}),
    ("SELECT count(*) AS n FROM a, b", {"a": set(), "b": set()}),
    ("SELECT count(x) AS n FROM a", {"a": {"x"}}),
    ("SELECT 1 AS one FROM a", {"a": set()}),
    ("SELECT * FROM a", {"a": None}),
    ("FROM a", {"a": None}),
    ("FROM a SELECT x", {"a": {"x"}}),
    ("SELECT a.* FROM a JOIN b USING (k)", {"a": None, "b": {"k"}}),
    ("SELECT * EXCLUDE (x) FROM a", {"a": None}),
    ("SELECT * REPLACE (x + 1 AS x) FROM a", {"a": None}),
    ("SELECT COLUMNS('^x|y$') FROM a", {"a": None}),
    ("SELECT * LIKE 'x%' FROM a", {"a": None}),
    ("SELECT hash(a) AS h FROM a", {"a": None}),
    ("SELECT o FROM a AS o", {"a": None}),
    ("SELECT count(o) AS n FROM a AS o", {"a": None}),
    ("SELECT X AS v, NAME FROM A", {"a": {"x", "Name"}}),
    ('SELECT "X" FROM "A" WHERE "date" IS NOT NULL', {"a": {"x", "date"}}),
    ("SELECT date FROM a", {"a": {"date"}}),
    ("SELECT CAST(day AS DATE) AS d, DATE '2026-01-01' AS e, day + INTERVAL 1 DAY AS f FROM a", {"a": {"day"}}),
    ("SELECT extract(day FROM date) AS d FROM a", {"a": {"date"}}),
    ("SELECT Name.upper() AS n FROM a", {"a": {"Name"}}),
    ("SELECT a.Name.upper() AS n FROM a", {"a": {"Name"}}),
    ("SELECT x AS y, y AS z FROM a", {"a": {"x", "y"}}),
    ("SELECT x + 1 AS total, total * 2 AS twice FROM a", {"a": {"x"}}),
    ("SELECT x AS total FROM a WHERE total > 1", {"a": {"x"}}),
    ("SELECT n: x FROM a", {"a": {"x"}}),
    ("SELECT k, sum(x) AS n FROM a GROUP BY k HAVING max(y) > 1", {"a": {"k", "x", "y"}}),
    ("SELECT k, sum(x) AS n FROM a GROUP BY ALL", {"a": {"k", "x"}}),
    ("SELECT *, count(*) AS n FROM a GROUP BY ALL", {"a": None}),
    ("SELECT n FROM (SELECT *, count(*) AS n FROM a GROUP BY ALL)", {"a": None}),
    ("SELECT sum(x) FILTER (WHERE y > 1) AS n FROM a", {"a": {"x", "y"}}),
    ("SELECT x FROM a WHERE y > 1", {"a": {"x", "y"}}),
    ("SELECT DISTINCT x FROM a", {"a": {"x"}}),
    ("SELECT count(*) AS n FROM (SELECT DISTINCT * FROM a)", {"a": None}),
    ("SELECT count(*) AS n FROM (SELECT DISTINCT x, y FROM a)", {"a": {"x", "y"}}),
    ("WITH d AS (SELECT DISTINCT ON (k) * FROM a ORDER BY k, x, y) SELECT x FROM d", {"a": {"k", "x", "y"}}),
    ("SELECT x FROM (SELECT * FROM a ORDER BY 2, 1, 3, 4, 5, 6 LIMIT 2)", {"a": None}),
    ("SELECT x FROM (SELECT * FROM a ORDER BY ALL LIMIT 2)", {"a": None}),
    ("SELECT x FROM (SELECT * FROM a ORDER BY x, y LIMIT 2)", {"a": {"x", "y"}}),
    ("SELECT a.x FROM a JOIN b ON a.k = b.k AND b.z > 0", {"a": {"k", "x"}, "b": {"k", "z"}}),
    ("SELECT x, z FROM a, b WHERE a.k = b.k", {"a": {"k", "x"}, "b": {"k", "z"}}),
    ("SELECT x FROM a JOIN b USING (k, day)", {"a": {"k", "day", "x"}, "b": {"k", "day"}}),
    ("SELECT x FROM a NATURAL JOIN b", {"a": {"k", "day", "x"}, "b": {"k", "day"}}),
    ("SELECT x FROM a NATURAL JOIN (SELECT * FROM b)", {"a": {"k", "day", "x"}, "b": {"k", "day"}}),
    ("SELECT k FROM a JOIN b USING (k)", {"a": {"k"}, "b": {"k"}}),
    ("SELECT * FROM a SEMI JOIN b USING (k)", {"a": None, "b": {"k"}}),
    ("SELECT x FROM a ANTI JOIN b ON a.k = b.w", {"a": {"k", "x"}, "b": {"w"}}),
    ("SELECT x FROM (a JOIN b ON a.k = b.k)", {"a": {"k", "x"}, "b": {"k"}}),
    ("SELECT x, z FROM a ASOF JOIN (SELECT * FROM b QUALIFY row_number() OVER (PARTITION BY k, day ORDER BY z, w) = 1)"
     " AS b ON a.k = b.k AND a.day >= b.day", {"a": {"k", "day", "x"}, "b": {"k", "day", "z", "w"}}),
    ("SELECT x FROM a WHERE k IN (SELECT k FROM b)", {"a": {"k", "x"}, "b": {"k"}}),
    ("SELECT x FROM a WHERE EXISTS (SELECT * FROM b WHERE b.k = a.k)", {"a": {"k", "x"}, "b": {"k"}}),
    ("SELECT x FROM a WHERE EXISTS (SELECT DISTINCT * FROM b OFFSET 1)", {"a": {"x"}, "b": None}),
    ("SELECT x, (SELECT max(z) FROM b WHERE b.k = a.k) AS m FROM a", {"a": {"k", "x"}, "b": {"k", "z"}}),
    ("SELECT (SELECT max(z) FROM b WHERE w = y) AS m FROM a", {"a": {"y"}, "b": {"z", "w"}}),
    ("SELECT (SELECT count(*) FROM b AS o JOIN b AS i ON o.k = y) AS m FROM a", {"a": {"y"}, "b": {"k"}}),
    # y is a column of the innermost c, but out of sight in the first ON, so it is the outer one.
    ("SELECT (SELECT count(*) FROM b AS p JOIN b AS q ON p.k = y JOIN (SELECT k AS y FROM s) AS c ON true) AS m FROM a",
     {"a": {"y"}, "b": {"k"}, "s": {"k"}}),
    ("SELECT a.x, l.m FROM a, LATERAL (SELECT max(z) AS m FROM b WHERE b.k = a.k) AS l",
     {"a": {"k", "x"}, "b": {"k", "z"}}),
    ("SELECT x, sum(y) OVER (PARTITION BY k ORDER BY day, x) AS r FROM a", {"a": {"k", "day", "x", "y"}}),
    ("SELECT x, max(y) OVER w AS r FROM a WINDOW w AS (PARTITION BY k)", {"a": {"k", "x", "y"}}),
    ("SELECT x FROM a QUALIFY rank() OVER (PARTITION BY k ORDER BY y) = 1", {"a": {"k", "x", "y"}}),
    ("WITH c AS (SELECT *, x + 1 AS x2 FROM a) SELECT day, sum(x2) AS n FROM c GROUP BY day", {"a": {"day", "x"}}),
    ("WITH c AS (SELECT * FROM a), d AS (SELECT * FROM c) SELECT x FROM d", {"a": {"x"}}),
    ("WITH c AS (SELECT * FROM a), d AS (SELECT * FROM c) SELECT count(*) AS n FROM d", {"a": set()}),
    ("WITH c AS (SELECT x FROM a WHERE y > 1) SELECT count(*) AS n FROM c", {"a": {"x", "y"}}),
    ("WITH c AS (SELECT * FROM a) SELECT p.x, q.y FROM c AS p JOIN c AS q USING (k)", {"a": {"k", "x", "y"}}),
    ("WITH unused AS (SELECT y FROM a) SELECT x FROM a", {"a": {"x"}}),
    ("WITH c AS (SELECT * FROM a JOIN b ON a.k = b.k) SELECT z FROM c", {"a": {"k"}, "b": {"k", "z"}}),
    ("WITH c AS (SELECT * FROM a JOIN b ON a.k = b.k) SELECT k_1 FROM c", {"a": None, "b": None}),
    ("WITH c AS (SELECT * FROM a JOIN b USING (k)) SELECT z FROM c", {"a": {"k"}, "b": {"k", "z"}}),
    ("WITH c(u, v) AS (SELECT * FROM a) SELECT v FROM c", {"a": None}),
    ("WITH c(u, v) AS (SELECT k, day FROM a) SELECT v FROM c", {"a": {"k", "day"}}),
    ("WITH a AS (SELECT * FROM b) SELECT z FROM a", {"b": {"z"}}),
    ("SELECT r.v FROM a AS r(u, v)", {"a": None}),
    ("SELECT x FROM (SELECT * EXCLUDE (y) FROM a)", {"a": {"x"}}),
    ("SELECT v FROM (SELECT * RENAME (x AS v) FROM a)", {"a": None}),
    ("SELECT x FROM (SELECT * REPLACE (y + 1 AS x) FROM a)", {"a": {"y"}}),
    ("SELECT x FROM (SELECT a.* FROM a JOIN b USING (k))", {"a": {"k", "x"}, "b": {"k"}}),
    ("SELECT x FROM a UNION ALL SELECT z FROM b", {"a": {"x"}, "b": {"z"}}),
    ("SELECT k FROM (SELECT k, day, z, w FROM b UNION ALL SELECT * FROM b)", {"b": None}),
    ("SELECT count(*) AS n FROM (SELECT * FROM b UNION SELECT * FROM b)", {"b": None}),
    ("SELECT k FROM (SELECT * FROM a UNION ALL BY NAME SELECT * FROM b)", {"a": {"k"}, "b": {"k"}}),
    ("SELECT x FROM a EXCEPT SELECT z FROM b", {"a": {"x"}, "b": {"z"}}),
    ("SELECT k FROM (SELECT * FROM b INTERSECT SELECT * FROM b)", {"b": None}),
    ("(SELECT x FROM a) UNION ALL (SELECT w FROM b) ORDER BY 1", {"a": {"x"}, "b": {"w"}}),
    ("SELECT p.f FROM s", {"s": {"p"}}),
    ("SELECT s.p.f, s.k FROM s", {"s": {"p", "k"}}),
    ("SELECT (p).g FROM s", {"s": {"p"}}),
    ("SELECT p.* FROM s", {"s": {"p"}}),
    ("SELECT unnest(p) FROM s", {"s": {"p"}}),
    ("SELECT unnest(l) AS v FROM s", {"s": {"l"}}),
    ("SELECT u.v, s.k FROM s, unnest(s.l) AS u(v)", {"s": {"l", "k"}}),
    ("SELECT v FROM s, unnest(l) AS u(v)", {"s": {"l"}}),
    ("SELECT list_transform(l, lambda v: v + q) AS v FROM s", {"s": {"l", "q"}}),
    ("SELECT list_filter(l, lambda q: q > 1) AS v FROM s", {"s": {"l"}}),
    ("SELECT [v + q FOR v IN l IF v > k] AS v FROM s", {"s": {"l", "q", "k"}}),
    ("SELECT {'x': q, 'k': 1} AS r FROM s", {"s": {"q"}}),
    ("SELECT i FROM generate_series(1, (SELECT max(x) % 5 FROM a)) AS g(i)", {"a": {"x"}}),
    ("SELECT r.i, a.x FROM range(3) AS r(i) JOIN a ON a.k = r.i", {"a": {"k", "x"}}),
    ("SELECT v.i, x FROM (VALUES (1, 2), (2, 3)) AS v(i, j) JOIN a ON a.k = i", {"a": {"k", "x"}}),
    ("WITH RECURSIVE r(i, n) AS (SELECT k, 0 FROM a UNION ALL SELECT i + 1, n + 1 FROM r WHERE n < 2) SELECT i FROM r",
     {"a": {"k"}}),
    ("WITH RECURSIVE r AS (SELECT *, 0 AS n FROM b UNION ALL SELECT k, day, z, w, n + 1 FROM r WHERE n < 2) "
     "SELECT k FROM r", {"b": None}),
    ("PIVOT b ON k IN (1, 2) USING sum(z)", {"a": None, "b": None, "s": None}),
    ("SELECT #1 FROM a", {"a": None, "b": None, "s": None}),
    ("SELECT run.now AS at, x FROM a", {"a": {"x"}}),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CORPUS, ids=[sql[:60] for sql, _ in CORPUS])
def test_the_columns_of_each_input_are_those_that_the_query_names(sql: str, expected: Expected) -> None:
    found = columns_read(sql, RELATIONS)

    assert found == {alias: expected.get(alias, set()) for alias in TABLES}


@pytest.mark.parametrize("sql", [sql for sql, _ in CORPUS if "run.now" not in sql], ids=lambda sql: sql[:60])
def test_other_values_in_columns_that_are_not_read_never_change_the_result(sql: str) -> None:
    """Also not another column more, which is what makes a new upstream column free."""
    read = columns_read(sql, RELATIONS)
    rng = random.Random(sql)
    seen = 0
    with duckdb.connect() as con:
        for _ in range(12):
            rows = {alias: list(_rows(rng, alias)) for alias in TABLES}
            before = _result(con, sql, rows, added=frozenset())
            changed = {
                alias: [
                    {name: value if read[alias] is None or name in read[alias] else fresh[name]  # type: ignore[operator]
                     for name, value in row.items()}
                    for row, fresh in zip(rows[alias], _rows(rng, alias, len(rows[alias])), strict=True)
                ]
                for alias in TABLES
            }  # fmt: skip
            added = frozenset(alias for alias in TABLES if read[alias] is not None)

            assert _result(con, sql, changed, added=added) == before
            seen += bool(before)
    assert seen, "the query made no row on any table, so nothing was shown"


@pytest.mark.parametrize(
    ("sql", "column"),
    [(sql, (alias, name)) for sql, wanted in CORPUS for alias in sorted(wanted) for name in sorted(wanted[alias] or ())
     if not any(word in sql for word in ("ORDER BY", "run.now", "AS c ON true", "n FROM c", "c(u, v)"))],
)  # fmt: skip
def test_a_column_that_counts_as_read_can_change_the_result(sql: str, column: tuple[str, str]) -> None:
    """Left out: columns that only break ties, which take long to come up, and those that are named but not used."""
    alias, name = column
    rng = random.Random(sql)
    with duckdb.connect() as con:
        for _ in range(200):
            rows = {table: list(_rows(rng, table)) for table in TABLES}
            before = _result(con, sql, rows, added=frozenset())
            for row, fresh in zip(rows[alias], _rows(rng, alias, len(rows[alias])), strict=True):
                row[name] = fresh[name]
            if _result(con, sql, rows, added=frozenset()) != before:
                return
    pytest.fail(f"{name} of {alias} never changed the result")


def test_sql_that_does_not_parse_reads_everything() -> None:
    assert columns_read("SELECT (", RELATIONS) == {"a": None, "b": None, "s": None}


@pytest.mark.parametrize(
    "sql", ["SELECT x FROM query_table('a')", "SELECT x FROM unknown", "SELECT x FROM a, glob('*')"]
)
def test_what_cannot_be_followed_reads_everything(sql: str) -> None:
    assert columns_read(sql, RELATIONS)["a"] is None


def _rows(rng: random.Random, alias: str, count: int | None = None) -> Iterator[dict[str, Any]]:
    for _ in range(rng.randint(2, 6) if count is None else count):
        yield {name: _value(rng, type_) for name, type_ in TABLES[alias].items()}


def _value(rng: random.Random, type_: str) -> str:
    number = str(rng.randint(0, 4))
    if rng.random() < 0.1:
        return f"CAST(NULL AS {type_})"
    if type_ == "DATE":
        return f"DATE '2026-03-0{rng.randint(1, 4)}'"
    if type_ == "VARCHAR":
        return f"'n{number}'"
    if type_.startswith("STRUCT"):
        return f"{{'f': {number}::INTEGER, 'g': {rng.randint(0, 4)}::INTEGER}}"
    return f"[{number}, {rng.randint(0, 4)}]::INTEGER[]" if type_.endswith("[]") else f"{number}::INTEGER"


def _result(
    con: duckdb.DuckDBPyConnection, sql: str, rows: dict[str, list[dict[str, str]]], added: frozenset[str]
) -> list[str]:
    for alias, listed in rows.items():
        selects = " UNION ALL ".join(
            "SELECT " + ", ".join(f'{value} AS "{name}"' for name, value in row.items())
            + (f", {at} AS zz_{alias}" if alias in added else "")
            for at, row in enumerate(listed)
        )  # fmt: skip
        con.execute(f"CREATE OR REPLACE TEMP VIEW {alias} AS {selects}")
    return sorted(repr(row) for row in con.execute(sql).fetchall())
