"""The frozen time of a plan, and exceptions from determinism."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot.errors import TokenError

from remint.checks.determinism import nondeterminism, pointless_exceptions
from remint.checks.run_now import bind_run_now, is_run_now

NOW = "TIMESTAMPTZ '2026-10-14 08:00:00+00'"


@pytest.mark.parametrize(
    ("sql", "bound"),
    [
        ("SELECT run.now AS at", f"SELECT ({NOW}) AS at"),
        ("SELECT RUN.Now AS at", f"SELECT ({NOW}) AS at"),
        ("SELECT run . now AS at", f"SELECT ({NOW}) AS at"),
        ("SELECT run.\n  now AS at", f"SELECT ({NOW}) AS at"),
        ("SELECT run./* why */now AS at", f"SELECT ({NOW}) AS at"),
        ("SELECT ts<run.now-ts FROM o", f"SELECT ts<({NOW})-ts FROM o"),
        ("SELECT run.now::DATE AS at", f"SELECT ({NOW})::DATE AS at"),
        ("SELECT run.now, run.now", f"SELECT ({NOW}), ({NOW})"),
        ("SELECT 'é', run.now", f"SELECT 'é', ({NOW})"),
        ("run.now", f"({NOW})"),
        ("SELECT 1 -- trunk.nowhere run.now\n", None),
        ("SELECT 1 /* run.now */", None),
        ("SELECT 'run.now'", None),
        ("SELECT 'it''s run.now'", None),
        ("SELECT $$run.now$$", None),
        ("SELECT $x$ run.now $x$", None),
        ("SELECT E'\\'run.now'", None),
        ('SELECT "run.now"', None),
        ('SELECT "run".now', None),
        ('SELECT run."now"', None),
        ("SELECT a.run.now", None),
        ("SELECT run.now.x", None),
        ("SELECT run.now()", None),
        ("SELECT run.nowhere, trun.now, run, now", None),
    ],
)
def test_only_the_bare_token_is_bound(sql: str, bound: str | None) -> None:
    assert bind_run_now(sql, NOW) == (sql if bound is None else bound)


def test_binding_makes_sql_that_runs() -> None:
    sql = "SELECT run.now + INTERVAL 1 DAY = TIMESTAMPTZ '2026-10-15 08:00:00+00', run.now::VARCHAR <> 'run.now'"

    assert duckdb.sql(bind_run_now(sql, NOW)).fetchall() == [(True, True)]


@given(
    st.lists(st.sampled_from(["run", "now", ".", "(", "'", "'x'", '"', "--", "/*", "*/", "\n", " ", "$$", "a", ","]))
)
def test_binding_twice_is_binding_once(pieces: list[str]) -> None:
    sql = "".join(pieces)
    try:
        once = bind_run_now(sql, NOW)
    except TokenError:
        return

    assert bind_run_now(once, NOW) == once


@pytest.mark.parametrize(
    ("sql", "is_it"),
    [("run.now", True), ("RUN.NOW", True), ('"run".now', False), ("a.run.now", False), ("run.now.x", False)],
)
def test_the_syntax_tree_knows_the_same_token_as_the_text(sql: str, is_it: bool) -> None:
    tree = sqlglot.parse_one(f"SELECT {sql}", dialect="duckdb")

    assert any(is_run_now(node) for node in tree.walk()) is is_it
    assert (bind_run_now(sql, NOW) != sql) is is_it


@pytest.mark.parametrize(
    ("sql", "allow"),
    [
        ("SELECT random()", ["random"]),
        ("SELECT RANDOM()", ["rand"]),
        ("SELECT today()", ["today"]),
        ("SELECT current_date", ["today"]),
        ("SELECT today()", ["current_date"]),
        ("SELECT now()", ["now"]),
        ("SELECT uuid()", ["gen_random_uuid"]),
        ("SELECT any_value(x) FROM t", ["any_value"]),
        ("SELECT approx_count_distinct(x) FROM t", ["approx_count_distinct"]),
        ("SELECT row_number() OVER () FROM t", ["ROW_NUMBER"]),
        ("SELECT random(), now()", ["random", "now"]),
    ],
)
def test_a_declared_exception_lets_its_function_through(sql: str, allow: list[str]) -> None:
    tree = sqlglot.parse_one(sql, dialect="duckdb")

    assert [*nondeterminism(tree)]
    assert [*nondeterminism(tree, allow)] == []
    assert [*pointless_exceptions(allow)] == []


@pytest.mark.parametrize(
    ("sql", "allow"),
    [
        ("SELECT now()", ["random"]),
        ("SELECT random(), uuid()", ["random"]),
        ("SELECT x FROM t LIMIT 1", ["limit"]),
        ("SELECT x FROM t TABLESAMPLE 10%", ["random"]),
        ("SELECT rowid FROM t", ["rowid"]),
    ],
)
def test_an_exception_lets_nothing_else_through(sql: str, allow: list[str]) -> None:
    assert [*nondeterminism(sqlglot.parse_one(sql, dialect="duckdb"), allow)]


def test_an_exception_for_what_is_not_refused_is_a_mistake() -> None:
    assert [*pointless_exceptions(["any_valeu", "sum"])] == [
        "allow names 'any_valeu', which is no function that is refused; nearest: any_value",
        "allow names 'sum', which is no function that is refused",
    ]
