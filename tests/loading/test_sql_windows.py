"""How far in time a transform reads: expected by example, and confirmed by DuckDB on data that shows it."""

from __future__ import annotations

import random
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from remint.loading.sql_reach import TimeColumn
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_windows import Declared, Reach, ReachKind, describe, narrower, reaches
from remint.model.dataset import Column

TABLES: dict[str, tuple[TimeColumn, dict[str, str]]] = {
    "a": (TimeColumn(name="day", grain="day"), {"k": "INTEGER", "day": "DATE", "x": "INTEGER", "plan": "VARCHAR"}),
    "b": (TimeColumn(name="day", grain="day"), {"k": "INTEGER", "day": "DATE", "z": "INTEGER", "shipped": "DATE"}),
    "h": (TimeColumn(name="hour", grain="hour"), {"k": "INTEGER", "hour": "TIMESTAMPTZ", "v": "INTEGER"}),
    "e": (TimeColumn(name="ts", grain="day", is_raw=True),
          {"k": "INTEGER", "ts": "TIMESTAMPTZ", "v": "INTEGER", "came": "DATE"}),
    "w": (TimeColumn(name="week", grain="week"), {"k": "INTEGER", "week": "DATE", "n": "INTEGER"}),
    "m": (TimeColumn(name="month", grain="month"), {"k": "INTEGER", "month": "DATE", "q": "INTEGER"}),
}  # fmt: skip
RELATIONS = {
    alias: tuple(Column(name=name, type=type_) for name, type_ in columns.items())
    for alias, (_, columns) in TABLES.items()
}
ROLLING = "sum(x) OVER (PARTITION BY k ORDER BY day RANGE BETWEEN INTERVAL 27 DAYS PRECEDING AND CURRENT ROW)"

Expected = tuple[str, int | None, int | None, str]
"""Alias, before, after, kind."""
CASES: list[tuple[str, TimeGrain, list[Expected]]] = [
    # Frames of windows.
    (f"SELECT day, k, {ROLLING} AS r FROM a", "day", [("a", 27, 0, "distance")]),
    (f"SELECT DAY, K, {ROLLING} AS R FROM A", "day", [("a", 27, 0, "distance")]),
    ("SELECT day, max(x) OVER (ORDER BY day RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS r FROM a", "day",
     [("a", 6, 0, "distance")]),
    ("SELECT day, max(x) OVER (ORDER BY day RANGE BETWEEN INTERVAL 2 WEEKS PRECEDING AND INTERVAL 1 DAY FOLLOWING) AS r"
     " FROM a", "day", [("a", 14, 1, "distance")]),
    ("SELECT day, max(x) OVER (ORDER BY day DESC RANGE BETWEEN INTERVAL 2 DAYS PRECEDING AND CURRENT ROW) AS r FROM a",
     "day", [("a", 0, 2, "distance")]),
    ("SELECT day, max(x) OVER (ORDER BY day RANGE BETWEEN '3 days'::INTERVAL PRECEDING AND to_days(2) FOLLOWING) AS r "
     "FROM a", "day", [("a", 3, 2, "distance")]),
    ("SELECT day, sum(x) OVER (ORDER BY day RANGE BETWEEN INTERVAL 9 DAY PRECEDING AND INTERVAL 3 DAY PRECEDING) AS r "
     "FROM a", "day", [("a", 9, 0, "distance")]),
    ("SELECT day, sum(x) OVER (ORDER BY day RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND CURRENT ROW) AS r FROM a",
     "day", [("a", 31, 0, "distance")]),
    ("SELECT day, sum(x) OVER (ORDER BY day RANGE BETWEEN INTERVAL '36 hours' PRECEDING AND CURRENT ROW) AS r FROM a",
     "day", [("a", 1, 0, "distance")]),
    ("SELECT day, sum(x) OVER w AS r FROM a WINDOW w AS (ORDER BY day RANGE BETWEEN INTERVAL 4 DAY PRECEDING AND "
     "CURRENT ROW)", "day", [("a", 4, 0, "distance")]),
    ("SELECT day, sum(x) FILTER (WHERE x > 3) OVER (ORDER BY day RANGE BETWEEN INTERVAL 4 DAY PRECEDING AND CURRENT ROW"
     ") AS r FROM a", "day", [("a", 4, 0, "distance")]),
    ("SELECT day, sum(x) OVER (PARTITION BY k ORDER BY day) AS r FROM a", "day", [("a", None, 0, "unbounded")]),
    ("SELECT day, sum(x) OVER (PARTITION BY k ORDER BY day DESC) AS r FROM a", "day", [("a", 0, None, "unbounded")]),
    ("SELECT day, sum(x) OVER (PARTITION BY k ORDER BY day ROWS UNBOUNDED PRECEDING) AS r FROM a", "day",
     [("a", None, 0, "unbounded")]),
    ("SELECT day, x / sum(x) OVER () AS r FROM a", "day", [("a", None, None, "unbounded")]),
    ("SELECT day, k, row_number() OVER (PARTITION BY k ORDER BY day, x) AS r FROM a", "day",
     [("a", None, 0, "unbounded")]),
    ("SELECT day, k FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY day DESC, x) = 1", "day",
     [("a", 0, None, "unbounded")]),
    ("SELECT day, percent_rank() OVER (PARTITION BY k ORDER BY day) AS r FROM a", "day",
     [("a", None, None, "unbounded")]),
    # Rows are not days.
    ("SELECT day, k, lag(x) OVER (PARTITION BY k ORDER BY day) AS r FROM a", "day", [("a", 1, 0, "rows")]),
    ("SELECT day, k, lag(x, 7) OVER (PARTITION BY k ORDER BY day) AS r FROM a", "day", [("a", 7, 0, "rows")]),
    ("SELECT day, k, lead(x, 2) OVER (PARTITION BY k ORDER BY day) AS r FROM a", "day", [("a", 0, 2, "rows")]),
    ("SELECT day, k, lag(x, 7) OVER (PARTITION BY k ORDER BY day, x) AS r FROM a", "day", [("a", 1, 0, "rows")]),
    ("SELECT day, k, sum(x) OVER (PARTITION BY k ORDER BY day ROWS 6 PRECEDING) AS r FROM a", "day",
     [("a", 6, 0, "rows")]),
    ("SELECT day, k, sum(x) OVER (PARTITION BY k ORDER BY day ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING) AS r FROM a",
     "day", [("a", 3, 2, "rows")]),
    ("SELECT day, sum(x) OVER (ORDER BY day GROUPS BETWEEN 2 PRECEDING AND CURRENT ROW) AS r FROM a", "day",
     [("a", 2, 0, "rows")]),
    ("SELECT CAST(ts AS DATE) AS day, lag(v, 3) OVER (PARTITION BY k ORDER BY ts) AS r FROM e", "day",
     [("e", 1, 0, "rows")]),
    # Windows over common table expressions, over grouped rows, over one another.
    (f"WITH r AS (SELECT day, k, {ROLLING} AS r FROM a) SELECT day, sum(r) AS r FROM r GROUP BY day", "day",
     [("a", 27, 0, "distance")]),
    ("SELECT day, sum(sum(x)) OVER (ORDER BY day RANGE BETWEEN INTERVAL 5 DAY PRECEDING AND CURRENT ROW) AS r FROM a "
     "GROUP BY day", "day", [("a", 5, 0, "distance")]),
    ("WITH d AS (SELECT day AS d, sum(x) AS s FROM a GROUP BY 1) SELECT d AS day, lag(s, 2) OVER (ORDER BY d) AS r "
     "FROM d", "day", [("a", 2, 0, "rows")]),
    ("WITH p AS (SELECT day, sum(x) OVER (ORDER BY day RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM a) "
     "SELECT day, max(s) OVER (ORDER BY day RANGE BETWEEN 3 PRECEDING AND CURRENT ROW) AS r FROM p", "day",
     [("a", 5, 0, "distance"), ("a", 3, 0, "distance"), ("a", 2, 0, "distance")]),
    (f"WITH r AS (SELECT *, {ROLLING} AS r FROM a) SELECT r.day, b.z, r.r FROM b JOIN r ON r.day = b.day AND r.k = b.k",
     "day", [("a", 27, 0, "distance")]),
    (f"WITH r AS (SELECT *, {ROLLING} AS r FROM a) SELECT day, b.z, r.r FROM b JOIN r USING (day, k)",
     "day", [("a", 27, 0, "distance")]),
    (f"SELECT day, r FROM (SELECT day, {ROLLING} AS r FROM a) WHERE day >= DATE '2026-01-01' AND r > 5", "day",
     [("a", 27, 0, "distance")]),
    (f"SELECT day, k, r FROM (SELECT day, k, {ROLLING} AS r FROM a UNION ALL SELECT day, k, z FROM b)", "day",
     [("a", 27, 0, "distance")]),
    (f"SELECT a.day, b.z, {ROLLING.replace('k ORDER BY day', 'a.k ORDER BY a.day')} AS r FROM a LEFT JOIN b ON "
     "a.day = b.day AND a.k = b.k", "day", [("a", 27, 0, "distance")]),
    # Joins and conditions.
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN b ON a.k = b.k AND b.day BETWEEN a.day - INTERVAL 27 DAY AND a.day "
     "GROUP BY a.day", "day", [("b", 27, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day >= a.day - 27 AND b.day < a.day GROUP BY a.day", "day",
     [("b", 27, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a, b WHERE b.day > a.day - 7 AND b.day <= a.day GROUP BY a.day", "day",
     [("b", 6, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a, b WHERE a.day - b.day <= 6 AND a.day - b.day >= 0 GROUP BY a.day", "day",
     [("b", 6, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a, b WHERE a.day - b.day BETWEEN 0 AND 6 GROUP BY a.day", "day",
     [("b", 6, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a, b WHERE date_diff('day', b.day, a.day) BETWEEN 0 AND 6 GROUP BY a.day", "day",
     [("b", 6, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a, b WHERE 6 >= datediff('day', b.day, a.day) AND b.day <= a.day GROUP BY a.day",
     "day", [("b", 6, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a LEFT JOIN b ON b.day + INTERVAL 3 DAY >= a.day AND b.day <= a.day + 2 "
     "GROUP BY a.day", "day", [("b", 3, 2, "distance")]),
    ("SELECT a.day, a.x, b.z FROM a JOIN b ON a.k = b.k AND b.day = a.day - 7", "day", [("b", 7, 0, "distance")]),
    ("SELECT a.day, a.x, b.z FROM a JOIN b ON a.k = b.k AND a.day = b.day + INTERVAL 7 DAY", "day",
     [("b", 7, 0, "distance")]),
    ("SELECT b.day, sum(a.x) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day GROUP BY b.day", "day",
     [("a", 0, 27, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN b ON a.k = b.k AND b.day <= a.day GROUP BY a.day", "day",
     [("b", None, 0, "unbounded")]),
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN b ON a.k = b.k AND b.day >= a.day GROUP BY a.day", "day",
     [("b", 0, None, "unbounded")]),
    ("SELECT a.day, a.x, b.z FROM a ASOF JOIN (SELECT k, day, max(z) AS z FROM b GROUP BY ALL) AS b ON a.k = b.k AND "
     "a.day >= b.day", "day", [("b", None, 0, "unbounded")]),
    ("SELECT l.day, sum(r.x) AS s FROM a AS l JOIN a AS r ON l.k = r.k AND r.day BETWEEN l.day - 13 AND l.day GROUP BY "
     "l.day", "day", [("a", 13, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN (SELECT * FROM b WHERE z > 0) AS b ON b.day BETWEEN a.day - 27 AND a.day "
     "GROUP BY a.day", "day", [("b", 27, 0, "distance")]),
    ("SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN date_trunc('month', a.day) AND a.day GROUP BY a.day",
     "day", [("b", 30, 0, "distance")]),
    ("SELECT a.day, sum(q) AS r FROM a JOIN m ON m.month <= a.day AND m.month > a.day - INTERVAL 3 MONTH "
     "GROUP BY a.day", "day", [("m", 2, 0, "distance")]),
    ("SELECT c.d AS day, sum(b.z) AS r FROM (SELECT unnest(generate_series(DATE '2026-01-01', DATE '2026-12-31', "
     "INTERVAL 1 DAY))::DATE AS d) AS c JOIN b ON b.day BETWEEN c.d - 6 AND c.d GROUP BY 1", "day",
     [("b", 6, 0, "distance")]),
    # Correlated queries.
    ("SELECT day, (SELECT sum(z) FROM b WHERE b.k = a.k AND b.day BETWEEN a.day - 27 AND a.day) AS r FROM a", "day",
     [("b", 27, 0, "distance")]),
    ("SELECT day, x FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.day < a.day AND b.day >= a.day - 3 AND "
     "b.z > 8)", "day", [("b", 3, 0, "distance")]),
    ("SELECT day, x FROM a WHERE NOT EXISTS (SELECT 1 FROM a AS p WHERE p.k = a.k AND p.day < a.day AND p.x > a.x)",
     "day", [("a", None, 0, "unbounded")]),
    ("SELECT day, x FROM a WHERE x IN (SELECT z FROM b WHERE b.day BETWEEN a.day - 2 AND a.day)", "day",
     [("b", 2, 0, "distance")]),
    ("SELECT a.day, l.r FROM a, LATERAL (SELECT sum(z) AS r FROM b WHERE b.k = a.k AND b.day BETWEEN a.day - 4 AND "
     "a.day + 1) AS l", "day", [("b", 4, 1, "distance")]),
    # Truncation of time, shifted time.
    ("SELECT date_trunc('month', day)::DATE AS month, sum(x) AS r FROM a GROUP BY 1", "month",
     [("a", 0, 0, "roll-up")]),
    ("SELECT date_trunc('week', day) AS week, sum(x) AS r FROM a GROUP BY 1", "week", [("a", 0, 0, "roll-up")]),
    ("SELECT time_bucket(INTERVAL '1 day', hour) AS day, sum(v) AS r FROM h GROUP BY 1", "day",
     [("h", 0, 0, "roll-up")]),
    ("SELECT CAST(hour AS DATE) AS day, sum(v) AS r FROM h GROUP BY 1", "day", [("h", 0, 0, "roll-up")]),
    ("SELECT date_trunc('month', day)::DATE AS day, sum(x) AS r FROM a GROUP BY 1", "day", [("a", 0, 30, "roll-up")]),
    ("SELECT date_trunc('week', day)::DATE AS day, sum(x) AS r FROM a GROUP BY 1", "day", [("a", 0, 6, "roll-up")]),
    ("SELECT (day + INTERVAL 1 DAY)::DATE AS day, x FROM a", "day", [("a", 1, 0, "distance")]),
    (f"SELECT date_trunc('month', day)::DATE AS month, max(r) AS r FROM (SELECT day, {ROLLING} AS r FROM a) GROUP BY 1",
     "month", [("a", 27, 0, "distance"), ("a", 0, 0, "roll-up")]),
    ("WITH s AS (SELECT date_trunc('month', day)::DATE AS month, sum(x) AS s FROM a GROUP BY 1) SELECT month, lag(s) "
     "OVER (ORDER BY month) AS r FROM s", "month", [("a", 31, 0, "distance"), ("a", 0, 0, "roll-up")]),
    ("WITH s AS (SELECT date_trunc('week', day)::DATE AS week, sum(x) AS s FROM a GROUP BY 1) SELECT week, sum(s) OVER "
     "(ORDER BY week RANGE BETWEEN INTERVAL 4 WEEKS PRECEDING AND CURRENT ROW) AS r FROM s", "week",
     [("a", 28, 0, "distance"), ("a", 0, 0, "roll-up")]),
    ("SELECT week, sum(n) OVER (ORDER BY week RANGE BETWEEN INTERVAL 20 DAYS PRECEDING AND CURRENT ROW) AS r FROM w",
     "week", [("w", 2, 0, "distance")]),
    ("SELECT month, sum(q) OVER (ORDER BY month RANGE BETWEEN INTERVAL 2 MONTHS PRECEDING AND CURRENT ROW) AS r FROM m",
     "month", [("m", 2, 0, "distance")]),
    ("SELECT hour, k, sum(v) OVER (PARTITION BY k ORDER BY hour RANGE BETWEEN INTERVAL 90 MINUTES PRECEDING AND CURRENT"
     " ROW) AS r FROM h", "hour", [("h", 1, 0, "distance")]),
    ("SELECT CAST(ts AS DATE) AS day, sum(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 2 HOURS PRECEDING "
     "AND CURRENT ROW) AS r FROM e", "day", [("e", 1, 0, "distance")]),
    ("SELECT ts::DATE AS day, sum(v) OVER (PARTITION BY k ORDER BY ts::DATE RANGE BETWEEN INTERVAL 27 DAYS PRECEDING "
     "AND CURRENT ROW) AS r FROM e", "day", [("e", 27, 0, "distance")]),
    ("SELECT a.day, count(*) AS n FROM a JOIN e ON e.ts::DATE BETWEEN a.day - 2 AND a.day GROUP BY 1", "day",
     [("e", 2, 0, "distance")]),
]  # fmt: skip

UNPROVEN = [
    # The unit's own partition alone.
    "SELECT day, x FROM a",
    "SELECT day, sum(x) AS r FROM a GROUP BY day",
    "SELECT a.day, a.x, b.z FROM a JOIN b ON a.day = b.day AND a.k = b.k",
    "SELECT a.day, a.x, b.z FROM a JOIN b USING (day, k)",
    "SELECT a.day, a.x, b.z FROM a NATURAL JOIN b",
    "SELECT CAST(ts AS DATE) AS day, v FROM e",
    # A key may never span days; the SQL does not say.
    "SELECT a.day, a.x, b.z FROM a JOIN b ON a.k = b.k",
    "SELECT day, x / sum(x) OVER (PARTITION BY k) AS r FROM a",
    "SELECT day, row_number() OVER (PARTITION BY k ORDER BY x) AS r FROM a",
    "SELECT day, (SELECT max(z) FROM b WHERE b.k = a.k) AS r FROM a",
    # Windows within the partition.
    "SELECT day, sum(x) OVER (PARTITION BY day ORDER BY x) AS r FROM a",
    "SELECT day, sum(x) OVER (PARTITION BY k, day ORDER BY day) AS r FROM a",
    "SELECT day, sum(x) OVER (PARTITION BY date_trunc('month', day) ORDER BY day) AS r FROM a",
    "SELECT day, sum(x) OVER (PARTITION BY month(day) ORDER BY day) AS r FROM a",
    "WITH c AS (SELECT *, date_trunc('week', day) AS wk FROM a) SELECT day, lag(x) OVER (PARTITION BY wk ORDER BY day) "
    "AS r FROM c",
    "WITH c AS (SELECT *, sum(x) OVER (PARTITION BY day ORDER BY x) AS session FROM a) SELECT day, "
    "lag(x) OVER (PARTITION BY session ORDER BY day) AS r FROM c",
    "SELECT day, lag(z) OVER (PARTITION BY shipped ORDER BY day) AS r FROM b",
    # Other conditions keep the distant rows out.
    "SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day AND b.day = a.day GROUP BY 1",
    "SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day WHERE b.day >= a.plan "
    "GROUP BY 1",
    "SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day OR b.z = 1 GROUP BY 1",
    "SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day WHERE month(b.day) = month(a.day) "
    "GROUP BY 1",
    "SELECT a.day, sum(b.z) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day AND b.shipped = a.day GROUP BY 1",
    "SELECT a.day, sum(b.z) FILTER (WHERE b.day = a.day) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day "
    "GROUP BY 1",
    "SELECT a.day, sum(CASE WHEN b.day = a.day THEN b.z END) AS r FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day "
    "GROUP BY 1",
    "WITH j AS (SELECT a.day, b.day AS other, b.z FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day) SELECT day, "
    "sum(z) AS r FROM j WHERE other = day GROUP BY 1",
    "WITH j AS (SELECT a.day, a.day - b.day AS age, b.z FROM a JOIN b ON b.day BETWEEN a.day - 27 AND a.day) SELECT "
    "day, sum(z) AS r FROM j WHERE age = 0 GROUP BY 1",
    "SELECT a.day, sum(b.z) AS r FROM a JOIN (SELECT * FROM b WHERE day = DATE '2026-03-01') AS b ON b.day BETWEEN "
    "a.day - 27 AND a.day GROUP BY 1",
    f"SELECT day, {ROLLING} AS r FROM a WHERE day = (SELECT max(day) FROM a)",
    f"SELECT day, {ROLLING} AS r FROM a WHERE day BETWEEN DATE '2026-03-01' AND DATE '2026-03-02'",
    f"SELECT day, {ROLLING} AS r FROM a WHERE day >= DATE '2026-03-01' AND day > DATE '2026-03-02'",
    f"SELECT day, {ROLLING} AS r FROM (SELECT * FROM a ORDER BY day DESC LIMIT 1)",
    "SELECT day, max(CASE WHEN day = DATE '2026-03-01' THEN x END) OVER (ORDER BY day) AS r FROM a",
    "SELECT day, sum(x) FILTER (WHERE day > DATE '2026-03-01') OVER (ORDER BY day) AS r FROM a",
    # The result does not use it.
    f"WITH c AS (SELECT day, x, {ROLLING} AS r FROM a) SELECT day, x FROM c",
    f"WITH unused AS (SELECT day, {ROLLING} AS r FROM a) SELECT day, x FROM a",
    f"WITH c AS (SELECT *, {ROLLING} AS r FROM a) SELECT day, (SELECT max(r) FROM (SELECT 1 AS r)) AS r FROM c",
    # Which day a row belongs to cannot be told.
    "SELECT max(day) AS day, sum(x) AS r FROM a",
    "SELECT coalesce(a.day, b.day) AS day, a.x FROM a FULL JOIN b ON b.day BETWEEN a.day - 27 AND a.day",
    "SELECT a.day, b.z FROM a FULL JOIN b ON b.day BETWEEN a.day - 27 AND a.day",
    "SELECT unnest(generate_series(day, day + INTERVAL 6 DAY, INTERVAL 1 DAY))::DATE AS day, x FROM a",
    "SELECT g.d::DATE AS day, x FROM a, generate_series(a.day, a.day + INTERVAL 6 DAY, INTERVAL 1 DAY) AS g(d)",
    "SELECT CAST(ts AT TIME ZONE 'Asia/Tokyo' AS DATE) AS day, v FROM e",
    "SELECT shipped AS day, z, lag(z) OVER (ORDER BY day) AS r FROM b",
    "SELECT a.day, b.z FROM a JOIN b ON b.shipped BETWEEN a.day - 27 AND a.day",
    "SELECT day, v, lag(v) OVER (PARTITION BY k ORDER BY came) AS r FROM (SELECT *, ts::DATE AS day FROM e)",
    "SELECT day, sum(x) OVER (ORDER BY x RANGE BETWEEN 27 PRECEDING AND CURRENT ROW) AS r FROM a",
    "SELECT day, sum(x) OVER (ORDER BY epoch(day) RANGE BETWEEN 27 PRECEDING AND CURRENT ROW) AS r FROM a",
    "WITH RECURSIVE r AS (SELECT day, x FROM a UNION ALL SELECT day, x + 1 FROM r WHERE x < 3) SELECT day, "
    "lag(x) OVER (ORDER BY day) AS r FROM r",
    "SELECT a.day, b.z FROM a JOIN b ON a.day BETWEEN b.day - 5 AND b.shipped + 3",
    "SELECT a.day, b.z FROM a JOIN b ON a.day >= b.day AND a.day < coalesce(b.shipped, DATE '2199-01-01')",
    # Not distances that are known.
    "SELECT a.day, b.z FROM a JOIN b ON b.day BETWEEN a.day - a.x AND a.day",
    "SELECT a.day, b.z FROM a JOIN b ON b.day BETWEEN a.day - INTERVAL '1 month 2 days' AND a.day AND "
    "a.day - b.day < 9",
    "SELECT a.day, b.z FROM a JOIN b ON date_trunc('month', b.day) = date_trunc('month', a.day)",
    "SELECT (",
    "PIVOT a ON k USING sum(x)",
]  # fmt: skip


def found(sql: str, grain: TimeGrain = "day") -> dict[str, tuple[Reach, ...]]:
    output = TimeColumn(name=grain, grain=grain)
    return dict(reaches(sql, RELATIONS, output, {alias: column for alias, (column, _) in TABLES.items()}))


@pytest.mark.parametrize(("sql", "grain", "expected"), CASES, ids=[sql[:70] for sql, _, _ in CASES])
def test_a_reach_is_what_the_sql_proves(sql: str, grain: TimeGrain, expected: list[Expected]) -> None:
    listed = [(alias, r.before, r.after, r.kind.value) for alias, all_ in found(sql, grain).items() for r in all_]

    assert listed == expected


@pytest.mark.parametrize("sql", UNPROVEN, ids=lambda sql: sql[:70])
def test_nothing_is_said_where_nothing_is_proven(sql: str) -> None:
    assert found(sql) == {}


@pytest.mark.parametrize(("sql", "grain", "expected"), CASES, ids=[sql[:70] for sql, _, _ in CASES])
def test_reading_one_partition_less_changes_the_result(sql: str, grain: TimeGrain, expected: list[Expected]) -> None:
    for alias, all_ in found(sql, grain).items():
        reach = all_[0]
        for is_before, side in ((True, reach.before), (False, reach.after)):
            if side != 0:
                assert _shows(sql, grain, alias, reach, is_before=is_before), f"{describe(reach)} of {alias}"


def test_a_reach_names_the_sql_that_proves_it_and_its_line() -> None:
    sql = "SELECT a.day, 1 AS n\nFROM a\nJOIN b\n  ON b.k = a.k\n  AND b.day BETWEEN a.day - 6 AND a.day\nGROUP BY 1"

    (reach,) = found(sql)["b"]

    assert (reach.line, reach.sql) == (5, "b.day BETWEEN a.day - 6 AND a.day")


def test_a_named_window_is_shown_with_its_frame() -> None:
    sql = "SELECT day, sum(x) OVER w AS r FROM a\nWINDOW w AS (ORDER BY day RANGE BETWEEN 6 PRECEDING AND CURRENT ROW)"

    (reach,) = found(sql)["a"]

    assert "RANGE BETWEEN 6 PRECEDING" in reach.sql
    assert "SUM(x) OVER w" in reach.sql


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        ((27, 0, "day", "distance", None), "the 27 days before its own"),
        ((1, 0, "day", "distance", None), "the day before its own"),
        ((3, 1, "hour", "distance", None), "the 3 hours before its own and the hour after its own"),
        ((7, 0, "day", "rows", None), "at least the 7 days before its own"),
        ((None, 0, "day", "unbounded", None), "every earlier day"),
        ((None, None, "week", "unbounded", None), "every earlier week and every later week"),
        ((0, 0, "day", "roll-up", "month"), "every day of its month"),
        ((28, 0, "day", "distance", "week"), "every day of its week and the 28 days before its own"),
    ],
)
def test_a_reach_is_described_in_words(reach: tuple[Any, ...], words: str) -> None:
    assert describe(_reach(*reach)) == words


@pytest.mark.parametrize(
    ("declared", "reach", "is_narrower"),
    [
        ((0, 0, "day"), (27, 0, "day"), True),
        ((26, 0, "day"), (27, 0, "day"), True),
        ((27, 0, "day"), (27, 0, "day"), False),
        ((90, 0, "day"), (27, 0, "day"), False),
        ((None, 0, "day"), (27, 0, "day"), False),
        ((None, 0, "day"), (None, 0, "day"), False),
        ((900, 0, "day"), (None, 0, "day"), True),
        ((None, 0, "day"), (0, 1, "day"), True),
        ((None, None, "day"), (None, None, "day"), False),
        ((0, 1, "day"), (0, 1, "day"), False),
        ((4, 0, "week"), (27, 0, "day"), False),
        ((3, 0, "week"), (27, 0, "day"), True),
        ((1, 0, "month"), (31, 0, "day"), False),
        ((1, 0, "month"), (32, 0, "day"), True),
        ((0, 0, "month"), (1, 0, "day"), True),
        ((23, 0, "hour"), (1, 0, "day"), True),
        ((24, 0, "hour"), (1, 0, "day"), False),
        ((28, 0, "day"), (1, 0, "month"), False),
        ((27, 0, "day"), (1, 0, "month"), True),
    ],
)
def test_a_declared_mapping_is_narrower_only_when_it_leaves_something_out(
    declared: Declared, reach: tuple[int | None, int | None, TimeGrain], is_narrower: bool
) -> None:
    assert narrower(declared, _reach(*reach, "distance", None)) is is_narrower


def _reach(before: int | None, after: int | None, grain: TimeGrain, kind: str, rolls_up_to: TimeGrain | None) -> Reach:
    return Reach(before=before, after=after, grain=grain, kind=ReachKind(kind), rolls_up_to=rolls_up_to, sql="", line=1)


def _shows(sql: str, grain: TimeGrain, alias: str, reach: Reach, *, is_before: bool) -> bool:
    """True when some unit comes out different if the input ends one partition short of the reach."""
    side = reach.before if is_before else reach.after
    step = 30 if side is None else side - 1
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for seed in range(12):
            _load(con, sql, random.Random(seed), is_sparse=seed % 2 == 1)
            for own in _units(grain):
                unit = f"SELECT u::VARCHAR FROM ({sql}) AS u WHERE {grain} = {own}"
                whole = sorted(map(repr, con.execute(unit).fetchall()))
                column = TABLES[alias][0]
                interval = f"INTERVAL ({step}) {column.grain}"
                part = f"date_trunc('{column.grain}', {column.name})"
                start = f"date_trunc('{column.grain}', {own})"
                span = reach.rolls_up_to if reach.rolls_up_to == grain else None
                last = f"{own} + INTERVAL 1 {span} - INTERVAL 1 {column.grain}" if span else start
                kept = f"{part} >= {start} - {interval}" if is_before else f"{part} <= {last} + {interval}"
                con.execute(f"CREATE OR REPLACE TEMP VIEW {alias} AS SELECT * FROM all_{alias} WHERE {kept}")
                short = sorted(map(repr, con.execute(unit).fetchall()))
                con.execute(f"CREATE OR REPLACE TEMP VIEW {alias} AS SELECT * FROM all_{alias}")
                if short != whole:
                    return True
    return False


def _units(grain: TimeGrain) -> list[str]:
    if grain == "hour":
        return [f"TIMESTAMPTZ '2026-03-1{d} 05:00:00+00'" for d in range(3)]
    if grain == "month":
        return [f"DATE '2026-0{m}-01'" for m in range(2, 7)]
    if grain == "week":
        return [f"DATE '{date(2026, 3, 2) + timedelta(weeks=n)}'" for n in range(6)]
    return [f"DATE '{date(2026, 3, 1) + timedelta(days=n)}'" for n in range(36)]


def _load(con: duckdb.DuckDBPyConnection, sql: str, rng: random.Random, *, is_sparse: bool) -> None:
    """Fill the inputs of ``sql`` with two keys over half a year; where it is sparse, months part rows of the second."""
    starts = {
        "a": [date(2026, 1, 1) + timedelta(days=n) for n in range(200)],
        "h": [datetime(2026, 3, 9, tzinfo=UTC) + timedelta(hours=n) for n in range(200)],
        "e": [datetime(2026, 1, 1, 0, 20, tzinfo=UTC) + timedelta(minutes=100 * n) for n in range(1500)],
        "w": [date(2026, 1, 5) + timedelta(weeks=n) for n in range(28)],
        "m": [date(2026, n, 1) for n in range(1, 10)],
    }
    starts["b"] = starts["a"]
    for alias, (column, columns) in TABLES.items():
        if not re.search(rf"\b{alias}\b", sql, re.IGNORECASE):
            continue
        rows = []
        for at in starts[alias]:
            for k in (1, 2) if alias != "e" else (rng.randint(1, 2),):
                if is_sparse and k == 2 and rng.random() < 0.97:
                    continue
                values = {"INTEGER": rng.randint(1, 99), "VARCHAR": "p", "DATE": at}
                row = [k if n == "k" else at if n == column.name else values[t] for n, t in columns.items()]
                rows.append("(" + ", ".join(_literal(v, t) for v, t in zip(row, columns.values(), strict=True)) + ")")
        names = ", ".join(columns)
        con.execute(f"CREATE OR REPLACE TABLE all_{alias} AS SELECT * FROM (VALUES {', '.join(rows)}) AS v({names})")
        con.execute(f"CREATE OR REPLACE TEMP VIEW {alias} AS SELECT * FROM all_{alias}")


def _literal(value: object, type_: str) -> str:
    return f"{value}" if isinstance(value, int) else f"CAST('{value}' AS {type_})"
