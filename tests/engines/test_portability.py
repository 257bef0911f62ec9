"""The same SQL on both engines: equal digests column by column, or refused on Spark, with a reason, before a file.

Every piece that ``checks.spark_rules`` lets through or spells otherwise stands in a shape here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from remint.checks.spark_sql import Relation, spark_query
from remint.engines.base import Scan, StageWork, Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.errors import NotOnSpark, TransformFailed
from remint.model.dataset import Column, Dataset, Layer, Logic, Transform
from remint.model.digest import ContentDigest
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from tests.engines.both import make_engine

DAY = PartitionSpec(column="day", grain=Grain.DAY)
INPUT = {
    "id": "BIGINT",
    "s": "VARCHAR",
    "i": "INTEGER",
    "n": "BIGINT",
    "m": "DECIMAL(12,3)",
    "x": "DOUBLE",
    "d": "DATE",
    "ts": "TIMESTAMPTZ",
    "b": "BOOLEAN",
    "day": "DATE",
}
ROWS = r"""
    (1, 'plain', 1, 10, 1.500, 2.5, '2026-01-05', '2026-01-05 10:20:30.123456+00', true),
    (2, '', 0, 0, 0.000, 0.0, '2026-01-01', '2026-01-01 00:00:00+00', false),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, ' spaced ', -7, -7, -2.500, -2.5, '2025-12-31', '2025-12-31 23:59:59.999999+00', true),
    (5, 'É ñ 日本 🙂', 2, 9007199254740993, 999999999.999, 1e300, '2027-01-01', '1969-12-31 23:59:59.5+00', false),
    (6, 'a|b~c\d', 2147483647, 9223372036854775807, -0.001, 1e-300, '1999-02-28', '2026-03-29 01:30:00+00', NULL),
    (7, '12', -2147483648, -9007199254740993, 2.675, 2.675, '2024-02-29', '2026-10-25 00:30:00+00', true),
    (8, '-3', 3, 3, 0.125, 0.1234567890125, '2026-12-28', '2026-06-30 22:30:00+00', false),
    (9, 'PLAIN', 4, 4, 10.000, 'inf', '2026-01-04', '2026-01-04 00:00:00.000001+00', true),
    (10, '%_''x', 5, 5, 3.333, '-inf', '2026-01-10', '2026-01-10 12:00:00+00', true),
    (11, E'tab\there\nline', 6, 6, 6.666, 'nan', '2026-07-01', '2026-07-01 00:00:00+00', false),
    (12, '{0}wide{1}', 7, 7, 7.005, -0.0, '2026-02-01', '2026-02-01 05:06:07.8+00', NULL),
    (13, 'plain', 1, 10, 1.500, 0.1, '2026-01-06', '2026-01-06 10:00:00+00', true)
""".replace("{0}", "\u00a0").replace("{1}", "\u2003")
Shape = Mapping[str, tuple[str, str]]
"""By column: an expression, and its type."""

SCALARS: dict[str, Shape] = {
    "numbers": {
        "quotient": ("n / 7", "DOUBLE"),
        "by_column": ("n / i", "DOUBLE"),
        "by_decimal": ("m / 7.0", "DOUBLE"),
        "of_decimals": ("m / nullif(m, 0)", "DOUBLE"),
        "by_double": ("x / x", "DOUBLE"),
        "by_zeros": ("1 / x", "DOUBLE"),
        "nested": ("n / 3 / 2", "DOUBLE"),
        "whole": ("n // 3", "BIGINT"),
        "rest": ("n % 4", "BIGINT"),
        "rest_of_decimal": ("m % 0.7", "DECIMAL(12,3)"),
        "sum": ("CAST(i AS BIGINT) + 1", "BIGINT"),
        "decimals": ("m * 1.25 + 0.5 - m", "DECIMAL(38,5)"),
        "mixed": ("m + i", "DECIMAL(38,3)"),
        "negative": ("-m", "DECIMAL(12,3)"),
        "size": ("abs(m)", "DECIMAL(12,3)"),
        "rounded": ("round(m, 1)", "DECIMAL(38,1)"),
        "ceiling": ("ceil(m)", "DECIMAL(38,0)"),
        "floor": ("floor(m)", "DECIMAL(38,0)"),
        "highest": ("greatest(n, CAST(i AS BIGINT), 5)", "BIGINT"),
        "lowest": ("least(x, 1.0)", "DOUBLE"),
        "highest_nan": ("greatest(x, 1.0)", "DOUBLE"),
        "is_nan": ("isnan(x)", "BOOLEAN"),
    },
    "casts": {
        "to_whole": ("CAST(CASE WHEN abs(x) < 1000 THEN x END AS INTEGER)", "INTEGER"),
        "decimal_to_whole": ("CAST(m AS BIGINT)", "BIGINT"),
        "to_double": ("CAST(n AS DOUBLE)", "DOUBLE"),
        "decimal_to_double": ("CAST(m AS DOUBLE)", "DOUBLE"),
        "to_decimal": ("CAST(i AS DECIMAL(20,2))", "DECIMAL(20,2)"),
        "narrower": ("CAST(m AS DECIMAL(12,1))", "DECIMAL(12,1)"),
        "to_text": ("CAST(n AS VARCHAR)", "VARCHAR"),
        "decimal_text": ("CAST(m AS VARCHAR)", "VARCHAR"),
        "date_text": ("CAST(d AS VARCHAR)", "VARCHAR"),
        "flag_text": ("CAST(b AS VARCHAR)", "VARCHAR"),
        "flag": ("CAST(b AS INTEGER)", "INTEGER"),
        "truth": ("CAST(i AS BOOLEAN)", "BOOLEAN"),
        "tried": ("TRY_CAST(CASE WHEN id <> 11 THEN s END AS BIGINT)", "BIGINT"),
        "tried_day": ("TRY_CAST(CASE WHEN s LIKE '%a%' THEN s ELSE '2026-02-30' END AS DATE)", "DATE"),
        "too_wide": ("TRY_CAST(n AS INTEGER)", "INTEGER"),
        "to_day": ("CAST(ts AS DATE)", "DATE"),
        "to_instant": ("CAST(d AS TIMESTAMPTZ)", "TIMESTAMPTZ"),
        "literal": ("TIMESTAMPTZ '2026-01-01 12:00:00+02'", "TIMESTAMPTZ"),
    },
    "text": {
        "joined": ("s || '-' || n || m || d || b", "VARCHAR"),
        "concat": ("concat(s, n, NULL, d)", "VARCHAR"),
        "with_signs": ("concat_ws('|', s, i, d)", "VARCHAR"),
        "lower": ("lower(s)", "VARCHAR"),
        "upper": ("upper(s)", "VARCHAR"),
        "length": ("length(s)", "BIGINT"),
        "trimmed": ("trim(s)", "VARCHAR"),
        "left_trimmed": ("ltrim(s)", "VARCHAR"),
        "right_trimmed": ("rtrim(s)", "VARCHAR"),
        "part": ("substr(s, 2, 3)", "VARCHAR"),
        "tail": ("substr(s, 3)", "VARCHAR"),
        "ends": ("left(s, 2) || right(s, 2)", "VARCHAR"),
        "swapped": ("replace(s, 'a', '\\')", "VARCHAR"),
        "second": ("split_part(s, 'a', 2)", "VARCHAR"),
        "starts": ("starts_with(s, 'p')", "BOOLEAN"),
        "holds": ("contains(s, 'b~c\\d')", "BOOLEAN"),
        "like": ("s LIKE '%|%' OR s LIKE 'p_ain'", "BOOLEAN"),
        "pattern": ("regexp_matches(s, '^[a-zA-Z]+$')", "BOOLEAN"),
        "any": ("regexp_matches(s, 'tab.here.line')", "BOOLEAN"),
        "chosen": ("s IN ('plain', '')", "BOOLEAN"),
        "between": ("s BETWEEN 'A' AND 'b'", "BOOLEAN"),
        "first_of": ("coalesce(s, 'none')", "VARCHAR"),
    },
    "times": {
        "month": ("CAST(date_trunc('month', d) AS DATE)", "DATE"),
        "week": ("CAST(date_trunc('week', d) AS DATE)", "DATE"),
        "quarter": ("CAST(date_trunc('quarter', ts) AS DATE)", "DATE"),
        "hour": ("date_trunc('hour', ts)", "TIMESTAMPTZ"),
        "day_of": ("date_trunc('day', ts)", "TIMESTAMPTZ"),
        "second_of": ("date_trunc('second', ts)", "TIMESTAMPTZ"),
        "local_day": ("CAST(ts AT TIME ZONE 'Europe/Madrid' AS DATE)", "DATE"),
        "local_hour": ("hour(ts AT TIME ZONE 'America/New_York')", "BIGINT"),
        "years": ("year(d) * 10000 + month(d) * 100 + day(d)", "BIGINT"),
        "dow": ("dayofweek(d)", "BIGINT"),
        "dow_too": ("extract(dow FROM ts)", "BIGINT"),
        "isodow": ("isodow(d)", "BIGINT"),
        "week_number": ("week(d)", "BIGINT"),
        "doy": ("dayofyear(d)", "BIGINT"),
        "minute": ("date_part('minute', ts)", "BIGINT"),
        "micros": ("epoch_us(ts)", "BIGINT"),
        "spelled": ("strftime(ts, '%Y-%m-%d %H:%M:%S')", "VARCHAR"),
        "days_between": ("d - DATE '2026-01-01'", "BIGINT"),
        "days_apart": ("date_diff('day', d, DATE '2026-03-01')", "BIGINT"),
        "crossed": ("date_diff('day', ts, TIMESTAMPTZ '2026-01-01 00:00:00+00')", "BIGINT"),
        "tomorrow": ("d + 1", "DATE"),
        "yesterday": ("d - 1", "DATE"),
        "month_later": ("CAST(d + INTERVAL 1 MONTH AS DATE)", "DATE"),
        "hours_later": ("ts + INTERVAL 36 HOUR", "TIMESTAMPTZ"),
        "day_later": ("ts - INTERVAL 1 DAY", "TIMESTAMPTZ"),
        "before": ("d < '2026-01-05'", "BOOLEAN"),
        "since": ("ts >= '2026-01-05 10:20:30.123456+00'", "BOOLEAN"),
    },
    "logic": {
        "case": ("CASE i WHEN 1 THEN 'one' WHEN 2 THEN NULL ELSE s END", "VARCHAR"),
        "searched": ("CASE WHEN b THEN n END", "BIGINT"),
        "iffed": ("if(b, 1, 2)", "INTEGER"),
        "three_valued": ("b AND i > 1 OR NOT b", "BOOLEAN"),
        "is_null": ("s IS NULL", "BOOLEAN"),
        "same": ("s IS NOT DISTINCT FROM NULL", "BOOLEAN"),
        "other": ("i IS DISTINCT FROM 1", "BOOLEAN"),
        "is_true": ("b IS TRUE", "BOOLEAN"),
        "nan_equals": ("x = CAST('NaN' AS DOUBLE)", "BOOLEAN"),
        "nan_is_more": ("x > 1e308", "BOOLEAN"),
        "outside": ("i NOT IN (1, 2, 3)", "BOOLEAN"),
        "zeros": ("x = 0", "BOOLEAN"),
    },
}

QUERIES: dict[str, tuple[str, dict[str, str]]] = {
    "filtered aggregates": (
        "SELECT b, count(*) FILTER (WHERE i > 0) AS c, sum(n) FILTER (WHERE i < 5 AND i > 0) AS total, "
        "avg(m) FILTER (WHERE b) AS mean, avg(i) AS mean_i, count(DISTINCT s) AS texts, min(s) AS low, "
        "max(ts) AS last, bool_and(i > 0) AS every, bool_or(i > 6) AS some, count_if(i = 1) AS ones, "
        "sum(m) AS money FROM t GROUP BY b",
        {"b": "BOOLEAN", "c": "BIGINT", "total": "BIGINT", "mean": "DOUBLE", "mean_i": "DOUBLE", "texts": "BIGINT",
         "low": "VARCHAR", "last": "TIMESTAMPTZ", "every": "BOOLEAN", "some": "BOOLEAN", "ones": "BIGINT",
         "money": "DECIMAL(38,3)"},
    ),
    "no rows": ("SELECT count(*) AS c, sum(n) AS total, avg(n) AS mean FROM t WHERE id > 99",
                {"c": "BIGINT", "total": "BIGINT", "mean": "DOUBLE"}),
    "latest by QUALIFY": (
        "SELECT id, s FROM t QUALIFY row_number() OVER (PARTITION BY s ORDER BY ts DESC, id) = 1",
        {"id": "BIGINT", "s": "VARCHAR"},
    ),
    "a range of days": (
        "SELECT id, sum(i) OVER (ORDER BY d RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND CURRENT ROW) AS v, "
        "avg(m) OVER (ORDER BY d RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW) AS mean FROM t WHERE i < 100 "
        "AND i > -100",
        {"id": "BIGINT", "v": "BIGINT", "mean": "DOUBLE"},
    ),
    "a range of hours": (
        "SELECT id, count(*) OVER (ORDER BY ts RANGE BETWEEN INTERVAL 36 HOUR PRECEDING AND INTERVAL 1 HOUR FOLLOWING) "
        "AS v FROM t",
        {"id": "BIGINT", "v": "BIGINT"},
    ),
    "frames and neighbours": (
        "SELECT id, lag(n) OVER (ORDER BY id) AS a, lead(s, 2, 'none') OVER (ORDER BY id) AS z, "
        "first_value(s) OVER (ORDER BY id) AS f, last_value(id) OVER (ORDER BY id) AS l, "
        "sum(m) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS w, "
        "rank() OVER (ORDER BY s) AS r, dense_rank() OVER (ORDER BY s DESC) AS dr, ntile(4) OVER (ORDER BY id) AS q "
        "FROM t",
        {"id": "BIGINT", "a": "BIGINT", "z": "VARCHAR", "f": "VARCHAR", "l": "BIGINT", "w": "DECIMAL(38,3)",
         "r": "BIGINT", "dr": "BIGINT", "q": "BIGINT"},
    ),
    "nulls in an order": (
        "SELECT id, row_number() OVER (ORDER BY i, id) AS up, row_number() OVER (ORDER BY i DESC, id) AS down, "
        "row_number() OVER (ORDER BY x NULLS FIRST, id) AS nan FROM t",
        {"id": "BIGINT", "up": "BIGINT", "down": "BIGINT", "nan": "BIGINT"},
    ),
    "sums of sums": (
        "SELECT b, sum(n) AS n, CAST(sum(sum(i)) OVER (ORDER BY b) AS BIGINT) AS run FROM t WHERE id NOT IN (5, 6, 7) "
        "GROUP BY b",
        {"b": "BOOLEAN", "n": "BIGINT", "run": "BIGINT"},
    ),
    "joins and sets": (
        "WITH a AS (SELECT s, count(*) AS c FROM t GROUP BY 1 HAVING count(*) > 0), u AS (SELECT DISTINCT s FROM t "
        "WHERE b UNION SELECT s FROM t WHERE i = 3 EXCEPT SELECT '-3') SELECT t.id, a.c, u.s AS held FROM t LEFT JOIN "
        "a USING (s) LEFT JOIN u ON u.s = t.s WHERE EXISTS (SELECT 1 FROM a WHERE a.c >= 1) "
        "UNION ALL SELECT 99, 1, 'x'",
        {"id": "BIGINT", "c": "BIGINT", "held": "VARCHAR"},
    ),
    "stars and aliases": (
        "SELECT * EXCLUDE (x, ts, d, day, m, b, i) REPLACE (n % 3 AS n), n % 3 AS third, third + 1 AS more FROM t "
        "WHERE third >= 0",
        {"id": "BIGINT", "s": "VARCHAR", "n": "BIGINT", "third": "BIGINT", "more": "BIGINT"},
    ),
    "an order with a limit": ("SELECT id FROM (SELECT id FROM t ORDER BY ts DESC NULLS LAST, id LIMIT 4)",
                              {"id": "BIGINT"}),
    "groups of doubles": ("SELECT x, count(*) AS c FROM t GROUP BY x", {"x": "DOUBLE", "c": "BIGINT"}),
    "means of doubles": ("SELECT b, avg(x) AS v, sum(x) AS total FROM t WHERE abs(x) < 1e6 GROUP BY b",
                         {"b": "BOOLEAN", "v": "DOUBLE", "total": "DOUBLE"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    root = tmp_path_factory.mktemp("portable") / "input"
    names = [name for name in INPUT if name != "day"]
    casts = ", ".join(f"CAST({n} AS {INPUT[n]}) AS {n}" for n in names)
    with open_connection("256MB", 1, root.parent / "spill") as con:
        sql = f"SELECT {casts}, DATE '2026-01-01' AS day FROM (VALUES {ROWS}) v({', '.join(names)})"
        files = copy_partitioned(con, sql, Target(root=str(root), spec=DAY, token="in"))
    columns = tuple(Column(name=name, type=kind) for name, kind in INPUT.items())
    return Scan(root=str(root), paths=tuple(f.path for f in files), columns=columns, partition=DAY)


def work(scan: Scan, sql: str, types: Mapping[str, str]) -> StageWork:
    made = {**types, "day": "DATE"}
    sql = f"SELECT *, DATE '2026-01-01' AS day FROM ({sql})"
    dataset = Dataset(
        name="gold.t",
        layer=Layer.GOLD,
        location="gold/t",
        partition=DAY,
        columns=tuple(Column(name=name, type=kind) for name, kind in made.items()),
        key=(),
        transform=Transform(sql=sql, logic=Logic(digest="l", canonical=sql, canonicaliser="test"), single_thread=True),
        read_as=tuple((name,) for name in types),
    )
    keys = PartitionSet.of(Grain.DAY, ["2026-01-01"])
    none = PartitionSet(Grain.DAY)
    return StageWork(dataset=dataset, keys=keys, inputs={"t": scan}, context=none, root="", token="r-1")


def columns_of(name: str, folder: Path, todo: StageWork) -> dict[str, ContentDigest]:
    """Return the digest over each column, of the files that an engine wrote."""
    from dataclasses import replace

    root = folder / name
    staged = make_engine(name, folder.parent, scheme=PORTABLE_SCHEME).stage(replace(todo, root=str(root)))
    return {columns[0]: found["2026-01-01"] for columns, found in staged.projections.items()}


def differing(folder: Path, todo: StageWork) -> list[str]:
    duckdb, spark = (columns_of(name, folder, todo) for name in ("duckdb", "spark"))
    assert {d.scheme for d in duckdb.values()} == {PORTABLE_SCHEME}
    return [name for name in duckdb if duckdb[name] != spark[name]]


@pytest.mark.parametrize("theme", SCALARS)
def test_expressions_give_the_same_on_both_engines(tmp_path: Path, scan: Scan, theme: str) -> None:
    shape = SCALARS[theme]
    sql = f"SELECT id, {', '.join(f'{expression} AS {name}' for name, (expression, _) in shape.items())} FROM t"

    todo = work(scan, sql, {"id": "BIGINT", **{name: kind for name, (_, kind) in shape.items()}})

    assert differing(tmp_path, todo) == []


@pytest.mark.parametrize("name", QUERIES)
def test_queries_give_the_same_on_both_engines(tmp_path: Path, scan: Scan, name: str) -> None:
    sql, types = QUERIES[name]

    assert differing(tmp_path, work(scan, sql, types)) == []


REFUSED = {
    "SELECT list(s) AS v FROM t": "ARRAY_AGG",
    "SELECT median(x) AS v FROM t": "MEDIAN",
    "SELECT any_value(s) AS v FROM t": "ANY_VALUE",
    "SELECT json_extract_string(s, '$.a') AS v FROM t": "known to mean the same",
    "SELECT s->>'$.a' AS v FROM t": "known to mean the same",
    "SELECT s ~ 'plain' AS v FROM t": "all of a text in DuckDB",
    r"SELECT s LIKE 'a\_b' AS v FROM t": "backslash",
    "SELECT s LIKE i::VARCHAR AS v FROM t": "the pattern must be seen",
    "SELECT regexp_matches(s, '(?i)a') AS v FROM t": "RE2 and in Java",
    "SELECT regexp_replace(s, 'a', 'b') AS v FROM t": "REGEXP_REPLACE",
    "SELECT round(x, 2) AS v FROM t": "another digit",
    "SELECT CAST(x AS DECIMAL(10,2)) AS v FROM t": "another digit",
    "SELECT CAST(x AS VARCHAR) AS v FROM t": "in different ways",
    "SELECT 'at ' || ts AS v FROM t": "in different ways",
    "SELECT floor(x) AS v FROM t": "a large DOUBLE is not",
    "SELECT x // 2 AS v FROM t": "a fraction in DuckDB",
    "SELECT CAST(s AS DOUBLE) AS v FROM t": "json_payload",
    "SELECT CAST('1e3' AS INTEGER) AS v FROM t": "spelled plainly",
    "SELECT s = n AS v FROM t": "compares a text",
    "SELECT substr(s, -2) AS v FROM t": "counted from 1",
    "SELECT left(s, -1) AS v FROM t": "written out",
    "SELECT trim(s, 'x') AS v FROM t": "only spaces",
    "SELECT extract(second FROM ts) AS v FROM t": "second is not among",
    "SELECT strftime(ts, '%B') AS v FROM t": "the format may hold",
    "SELECT date_diff('month', d, d) AS v FROM t": "only days",
    "SELECT ts - ts AS v FROM t": "its sides are",
    "SELECT CAST(ts AS TIMESTAMP) AT TIME ZONE 'Europe/Madrid' AS v FROM t": "two answers",
    "SELECT date_trunc('decade', ts) AS v FROM t": "truncated",
    "SELECT row_number() OVER () AS v FROM t": "left to chance",
    "SELECT s AS v FROM t LIMIT 3": "left to chance",
    "SELECT DISTINCT ON (s) s AS v FROM t": "known to mean the same",
    "SELECT sum(n) FILTER (WHERE b) OVER (ORDER BY id) AS v FROM t": "FILTER in a window",
    "SELECT count(*) AS v FROM t GROUP BY ROLLUP (s)": "ROLLUP",
    "SELECT s AS v FROM t UNION ALL BY NAME SELECT s AS v FROM t": "by place",
    "SELECT a.s AS v FROM t a ASOF JOIN t c ON a.ts >= c.ts": "ASOF",
    "SELECT unnest([1, 2]) AS v FROM t": "known to mean the same",
    "SELECT sqrt(x) AS v FROM t": "SQRT",
    "SELECT stddev(x) AS v FROM t": "STDDEV",
    "SELECT md5(s) AS v FROM t": "MD5",
    "SELECT v FROM (VALUES (1)) w(v)": "VALUES",
    "SELECT string_agg(s, ',' ORDER BY id) AS v FROM t": "known to mean the same",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_spark_would_compute_otherwise_is_refused_by_name(sql: str) -> None:
    with pytest.raises(NotOnSpark) as raised:
        spark_query(sql, {"t": Relation(view="v", columns=INPUT)})

    assert REFUSED[sql] in raised.value.message
    assert 'engine="duckdb"' in (raised.value.hint or "")


def test_a_refusal_names_the_dataset_and_leaves_nothing_behind(tmp_path: Path, scan: Scan) -> None:
    todo = replace(work(scan, "SELECT median(n) AS v FROM t", {"v": "DOUBLE"}), root=str(tmp_path / "out"))

    with pytest.raises(NotOnSpark, match=r"gold\.t: Spark is not given"):
        make_engine("spark", tmp_path.parent).stage(todo)

    assert not (tmp_path / "out").exists()


STOPPED = {
    "an overflow": ("SELECT n * 2 AS v FROM t", "BIGINT"),
    "a sum that overflows": ("SELECT CAST(sum(n) AS BIGINT) AS v FROM t WHERE n > 0", "BIGINT"),
    "a rest by zero": ("SELECT n % 0 AS v FROM t", "BIGINT"),
    "a text that is no number": ("SELECT CAST(s AS BIGINT) AS v FROM t", "BIGINT"),
}


@pytest.mark.parametrize("name", ["duckdb", "spark"])
def test_what_stops_one_engine_stops_the_other(tmp_path: Path, scan: Scan, name: str) -> None:
    for sql, kind in STOPPED.values():
        todo = replace(work(scan, sql, {"v": kind}), root=str(tmp_path / "out"))
        with pytest.raises(TransformFailed):
            make_engine(name, tmp_path.parent).stage(todo)
        assert list((tmp_path / "out").rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT TRY_CAST('1_0' || s AS BIGINT) AS v FROM t", "BIGINT"),
        ("SELECT lower('STRASSE' || s) AS v FROM (SELECT 'ẞ' AS s)", "VARCHAR"),
    ],
)
def test_a_value_that_the_engines_would_read_differently_stops_the_job(
    tmp_path: Path, scan: Scan, sql: str, kind: str
) -> None:
    todo = replace(work(scan, sql, {"v": kind}), root=str(tmp_path / "out"))

    with pytest.raises(TransformFailed, match="remint: "):
        make_engine("spark", tmp_path.parent).stage(todo)

    assert list((tmp_path / "out").rglob("*")) == []
