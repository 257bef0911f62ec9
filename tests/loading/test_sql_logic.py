"""What a transform may be, what it means and when it adds floating point numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.errors import ProjectInvalid
from remint.loading.sql_logic import analyse, canonical_sql
from remint.loading.sql_source import SqlSource, TransformSpec
from remint.model.dataset import Column, Parse, Rule, Transform


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_) for name, type_ in types.items())


ORDERS = columns(
    id="VARCHAR",
    n="INTEGER",
    big="BIGINT",
    amount="DECIMAL(18,2)",
    f="DOUBLE",
    day="DATE",
    ts="TIMESTAMPTZ",
    ok="BOOLEAN",
)


def analysed(sql: str, **more: object) -> Transform:
    made = re.findall(r"\bAS (x\d*)\b", sql) or re.findall(r"\bx\b", sql)
    spec = TransformSpec(
        source=SqlSource(sql=sql, file="sql/q.sql"),
        inputs={"orders": ("silver.orders", ORDERS)},
        columns=columns(**dict.fromkeys(dict.fromkeys(made or ["x"]), "BIGINT")),
    )
    return analyse(TransformSpec(**{f: getattr(spec, f) for f in TransformSpec.__slots__} | more)).transform  # type: ignore[arg-type]


def refused(sql: str) -> list[str]:
    with pytest.raises(ProjectInvalid) as raised:
        analysed(sql)
    return [f"{m.where}: {m.message}" for m in raised.value.mistakes]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", "1: holds no SQL"),
        ("-- nothing", "1: holds no SQL"),
        ("SELECT (\n", "SQL does not parse"),
        ("SELECT 'x", "SQL does not parse"),
        ("SELECT n AS x FROM orders;\nSELECT 1", "2: 2 statements; a transform is one SELECT"),
        *((f"{sql}", f"1: {sql.split()[0]} is not a SELECT") for sql in (
            "CREATE TABLE t AS SELECT 1", "COPY orders TO 'x'", "ATTACH 'x.db'", "PRAGMA threads=1", "SET threads=1",
            "INSERT INTO orders SELECT 1", "DROP TABLE orders", "INSTALL httpfs", "EXPLAIN SELECT 1", "SHOW TABLES",
            "CALL f()", "VALUES (1)", "EXPORT DATABASE 'x'", "USE x", "DELETE FROM orders",
        )),
        ("SELECT n AS x\nFROM ordres", "2: 'ordres' is not a declared input; nearest: orders"),
        ("SELECT n AS x FROM main.orders", "1: 'main.orders' is not a declared input"),
        ("SELECT 1 AS x", "1: the input orders (silver.orders) is declared but never read"),
        ("WITH orders AS (SELECT 1 AS n) SELECT n AS x FROM orders", "1: the input orders (silver.orders) is declared"),
        ("SELECT n AS x FROM orders, read_csv('a')", "1: read_csv() reads what is not an input"),
        ("SELECT n AS x FROM orders, glob('*')", "1: glob() reads what is not an input"),
        ("SELECT n AS x FROM orders, read_parquet(['a'])", "1: read_parquet() reads what is not an input"),
        ("SELECT n AS x FROM orders, duckdb_settings()", "1: duckdb_settings() reads what is not an input"),
        ("SELECT n AS x FROM orders, 'a.parquet'", "1: 'a.parquet' is a file, not an input"),
        ("SELECT getenv('HOME') AS x FROM orders", "1: getenv() reads what is not an input"),
        ("SELECT\n  now() AS x FROM orders", "2: now() reads the clock"),
        ("SELECT today() AS x FROM orders", "1: current_date() reads the clock"),
        ("SELECT current_timestamp AS x FROM orders", "1: current_timestamp() reads the clock"),
        ("SELECT current_date AS x FROM orders", "1: current_date() reads the clock"),
        ("SELECT n AS x FROM orders WHERE random() < 0.1", "1: random() is random"),
        ("SELECT uuid() AS x FROM orders", "1: uuid() is random"),
        ("SELECT gen_random_uuid() AS x FROM orders", "1: uuid() is random"),
        ("SELECT setseed(0.5) AS x FROM orders", "1: setseed() is random"),
        ("SELECT nextval('s') AS x FROM orders", "1: nextval() reads what is not an input"),
        ("SELECT n AS x FROM orders TABLESAMPLE 10%", "1: a sample is random"),
        ("SELECT n AS x FROM orders USING SAMPLE 10 ROWS", "1: a sample is random"),
        ("SELECT n AS x FROM orders LIMIT 3", "1: LIMIT or OFFSET without ORDER BY"),
        ("SELECT n AS x FROM (SELECT n FROM orders ORDER BY n) LIMIT 3", "1: LIMIT or OFFSET without ORDER BY"),
        ("SELECT DISTINCT ON (id) n AS x FROM orders", "1: DISTINCT ON without ORDER BY"),
        *((f"SELECT {call} AS x FROM orders", f"1: {name}() without ORDER BY") for call, name in (
            ("first(n)", "first"), ("last(n)", "last"), ("any_value(n)", "any_value"), ("arbitrary(n)", "arbitrary"),
            ("list(n)", "array_agg"), ("array_agg(n)", "array_agg"), ("string_agg(id, ',')", "string_agg"),
            ("group_concat(id)", "string_agg"), ("mode(n)", "mode"), ("first(n) FILTER (WHERE ok)", "first"),
            ("array_agg(DISTINCT n)", "array_agg"),
        )),
        ("SELECT row_number() OVER (PARTITION BY id) AS x FROM orders", "1: row_number() OVER (...) without ORDER BY"),
        ("SELECT n AS x FROM orders QUALIFY rank() OVER w = 1 WINDOW w AS (PARTITION BY id)", "1: rank() OVER (...)"),
        ("SELECT lag(n) OVER (PARTITION BY id) AS x FROM orders", "1: lag() OVER (...) without ORDER BY"),
        ("SELECT sum(n) OVER (ROWS 2 PRECEDING) AS x FROM orders", "1: a ROWS frame without ORDER BY"),
        ("SELECT approx_count_distinct(id) AS x FROM orders", "1: approx_count_distinct() is approximate"),
        ("SELECT approx_quantile(n, 0.5) AS x FROM orders", "1: approx_quantile() is approximate"),
        ("SELECT $1 AS x FROM orders", "1: a parameter has no value here"),
        ("SELECT sum(amuont) AS x\nFROM orders", "1: no input has a column 'amuont'; nearest: amount"),
        ("SELECT n AS x, day FROM orders", "1: the SELECT makes a column 'day' that the contract does not promise"),
        ("SELECT n FROM orders", "1: the SELECT does not make the column 'x' that the contract promises"),
    ],
)  # fmt: skip
def test_what_a_transform_may_not_be_is_refused_with_its_line(sql: str, expected: str) -> None:
    assert any(expected in mistake for mistake in refused(sql)), refused(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n AS x FROM orders",
        "FROM orders SELECT n AS x",
        "WITH orders AS (SELECT * FROM orders WHERE ok) SELECT n AS x FROM orders",
        "SELECT n AS x FROM orders UNION ALL SELECT big AS x FROM Orders",
        "SELECT first(n ORDER BY ts) AS x, last(n ORDER BY ts) FILTER (WHERE ok) AS x2 FROM orders GROUP BY id",
        "SELECT string_agg(id, ',' ORDER BY id) AS x, mode(n ORDER BY n) AS x2 FROM orders",
        "SELECT list_sort(list(n)) AS x, mode() WITHIN GROUP (ORDER BY n) AS x2 FROM orders",
        "SELECT row_number() OVER (PARTITION BY id ORDER BY ts) AS x FROM orders",
        "SELECT lag(n) OVER w AS x FROM orders WINDOW w AS (ORDER BY ts)",
        "SELECT n AS x FROM orders QUALIFY row_number() OVER (PARTITION BY id ORDER BY ts DESC) = 1",
        "SELECT first_value(n IGNORE NULLS) OVER (PARTITION BY id ORDER BY ts) AS x FROM orders",
        "SELECT n AS x FROM orders ORDER BY ts, id LIMIT 3",
        "SELECT DISTINCT ON (id) n AS x FROM orders ORDER BY id, ts",
        "SELECT u.i AS x FROM orders, unnest([1, 2]) AS u(i)",
        "SELECT range AS x FROM orders, range(3)",
        "SELECT list_transform([n], y -> y + 1) AS x FROM orders",
        "SELECT date_trunc('minute', ts) AS x, count(*) AS x2 FROM orders GROUP BY ALL ORDER BY ALL",
        "SELECT extract(hour FROM ts) AS x, ts + INTERVAL 1 DAY AS x2 FROM orders",
        "SELECT (SELECT max(n) FROM orders o WHERE o.id = orders.id) AS x FROM orders",
    ],
)
def test_what_the_inputs_determine_is_accepted(sql: str) -> None:
    assert not analysed(sql).warnings


EXACT = [
    "SELECT sum(n) AS x, sum(big) AS x2, sum(amount) AS x3, avg(n) AS x4, sum(ok) AS x5 FROM orders",
    "SELECT sum(CASE WHEN ok THEN 1 ELSE 0 END) AS x, sum(n) FILTER (WHERE ok) AS x2 FROM orders GROUP BY ALL",
    "WITH a AS (SELECT count(*) AS c, sum(amount) AS s FROM orders GROUP BY id) SELECT sum(c + s) AS x FROM a",
    "SELECT sum(count(*)) OVER (ORDER BY day) AS x FROM orders GROUP BY day",
    "SELECT sum(amount * 0.5) AS x, sum(round(amount, 1)) AS x2, sum(amount * n) AS x3 FROM orders",
    "SELECT sum(greatest(n - 60, 0)) AS x, sum(coalesce(big, 0)) AS x2, sum(n // 2) AS x3 FROM orders",
    "SELECT sum(date_diff('day', day, day)) AS x, sum(length(id)) AS x2, sum(epoch_ms(ts)) AS x3 FROM orders",
    "SELECT max(f) AS x, min(f) AS x2, count(f) AS x3, median(n) AS x4 FROM orders",
    "SELECT x FROM (SELECT sum(n) OVER (PARTITION BY id ORDER BY ts) AS x FROM orders)",
]
INEXACT = [
    "SELECT sum(f) AS x FROM orders",
    "SELECT avg(f) AS x FROM orders",
    "SELECT sum(n / 2) AS x FROM orders",
    "SELECT sum(amount / n) AS x FROM orders",
    "SELECT sum(n * 1e3) AS x FROM orders",
    "SELECT sum(CAST(amount AS DOUBLE)) AS x FROM orders",
    "SELECT sum(DISTINCT f) AS x FROM orders",
    "SELECT sum(f) OVER (ORDER BY ts) AS x FROM orders",
    "WITH a AS (SELECT amount / n AS ratio FROM orders) SELECT sum(ratio) AS x FROM a",
    "SELECT stddev(n) AS x FROM orders",
    "SELECT corr(n, big) AS x FROM orders",
    "SELECT fsum(n) AS x FROM orders",
    "SELECT sum(mystery(n)) AS x FROM orders",
    "SELECT sum(sqrt(n)) AS x FROM orders",
]


@pytest.mark.parametrize("sql", EXACT)
def test_exact_sums_run_on_all_threads(sql: str) -> None:
    assert not analysed(sql).single_thread


@pytest.mark.parametrize("sql", INEXACT)
def test_sums_of_floats_run_on_one_thread_and_say_so(sql: str) -> None:
    transform = analysed(sql)

    assert transform.single_thread
    assert transform.warnings[0].startswith("sql/q.sql:1: ")


def test_the_warning_names_the_expression_and_its_line() -> None:
    (warning,) = analysed("SELECT n AS x,\n  sum(f) AS x2\nFROM orders GROUP BY n").warnings or ("",)

    assert warning == (
        "sql/q.sql:2: SUM(f) adds floating point numbers, so it runs on one thread; DECIMAL adds exactly on all of them"
    )


QUERY = """SELECT id AS x, 'It''s  A -- b' AS x2, "n" + 60 AS x3 FROM orders WHERE amount >= 1.5 AND id <> 'X'"""


def test_a_constant_a_literal_and_a_quoted_name_are_meaning() -> None:
    digests = {
        analysed(sql).logic.digest
        for sql in (QUERY, QUERY.replace("60", "61"), QUERY.replace("'X'", "'x'"), QUERY.replace("s  A", "s A"))
    }

    assert len(digests) == 4


@given(
    st.lists(st.sampled_from([" ", "\n", "\t", "  \n ", " /* c; ' */ ", " -- c\n"]), min_size=30, max_size=30),
    st.data(),
)
def test_comments_layout_and_case_are_no_meaning(gaps: list[str], data: st.DataObject) -> None:
    parts = re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"|[\w.]+|<>|>=|[^\s\w]", QUERY)
    cased = [
        data.draw(st.sampled_from([part, part.upper(), part.lower()])) if part[0].isalpha() else part for part in parts
    ]
    written = "".join(part + gaps[i % len(gaps)] for i, part in enumerate(cased))

    assert canonical_sql(written) == canonical_sql(QUERY)


def test_the_case_of_a_name_that_becomes_data_is_meaning() -> None:
    assert canonical_sql("SELECT to_json(T) FROM t") != canonical_sql("SELECT to_json(t) FROM t")


def test_keep_types_and_parsing_are_meaning_too() -> None:
    parse = Parse(alias="orders", column="id", fields=columns(x="BIGINT"))
    sql = "SELECT x FROM orders"
    variants = [
        {"parse": parse},
        {"parse": parse, "keep": ("ts",)},
        {"parse": parse, "columns": columns(x="INTEGER")},
        {"parse": Parse(alias="orders", column="id", fields=columns(x="INTEGER"))},
        {"parse": Parse(alias="orders", column="id", fields=parse.fields, rules=(Rule(name="r", condition="x > 1"),))},
    ]

    assert len({analysed(sql, **v).logic.digest for v in variants}) == len(variants)


def test_a_parsed_input_shows_fields_and_not_the_payload_and_rejected_rows_beside() -> None:
    parse = Parse(alias="orders", column="id", fields=columns(y="BIGINT"))

    analysed("SELECT y AS x FROM orders UNION ALL SELECT length(reason) AS x FROM orders_rejected", parse=parse)
    with pytest.raises(ProjectInvalid, match="'orders_rejects' is not a declared input; nearest: orders_rejected"):
        analysed("SELECT y AS x FROM orders, orders_rejects", parse=parse)


def test_run_now_is_a_constant_that_every_transform_has() -> None:
    made = analysed("SELECT sum(date_diff('day', ts, run.now)) AS x FROM orders WHERE ts < run.now")

    assert not made.warnings, "a difference of times is a whole number"
    assert "run . now" in made.logic.canonical, "the time of one plan is no part of the logic"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT n AS x\nFROM orders AS run WHERE run.now > ts", "2: run.now is the time of the plan, so nothing else"),
        (
            "WITH run AS (SELECT 1 AS now) SELECT n AS x FROM orders, run WHERE ts < run.now",
            "1: run.now is the time of",
        ),
        ("SELECT n AS x,\n  run.now FROM orders", "2: run.now is a value without a name"),
        ("SELECT n AS x FROM orders WHERE ts < run.now()", "1: now() reads the clock"),
        ("SELECT n AS x FROM run.now, orders", "1: 'run.now' is not a declared input"),
    ],
)
def test_run_now_means_one_thing(sql: str, expected: str) -> None:
    assert any(expected in mistake for mistake in refused(sql))


def test_a_relation_called_run_is_fine_where_the_time_of_the_plan_is_not_used() -> None:
    assert analysed("SELECT run.n AS x FROM orders AS run")


def test_clock_functions_point_to_run_now() -> None:
    with pytest.raises(ProjectInvalid) as raised:
        analysed("SELECT n AS x FROM orders WHERE ts < now()")

    assert "run.now" in (raised.value.mistakes[0].hint or "")


def test_declared_exceptions_are_let_through_and_no_others() -> None:
    assert analysed("SELECT random() AS x FROM orders", allow=("random",))
    with pytest.raises(ProjectInvalid, match=r"uuid\(\) is random"):
        analysed("SELECT random() AS x FROM orders WHERE uuid() IS NULL", allow=("random",))
    with pytest.raises(ProjectInvalid, match="allow names 'randon'"):
        analysed("SELECT n AS x FROM orders", allow=("randon",))
