"""Differences between two versions of a transform, in words."""

from __future__ import annotations

import pytest

from remint.loading.sql_changes import sql_change
from remint.loading.sql_logic import with_settings
from remint.model.observation import LogicChange

CTE = "WITH limits AS (SELECT a, b, c FROM t WHERE a > 60), n AS (SELECT * FROM limits) SELECT a, b + 1 AS q, c FROM n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("SELECT a FROM t", "select  a -- c\nfrom T", ""),
        ("SELECT a, greatest(n - 60, 0) AS over FROM t", "SELECT a, greatest(n - 100, 0) AS over FROM t",
         "changes over"),
        ("SELECT a FROM t", "SELECT a, b FROM t", "adds column b"),
        ("SELECT a, b FROM t", "SELECT a FROM t", "removes column b"),
        ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE b > 2", "changes which rows (WHERE of the result)"),
        (CTE, CTE.replace("60", "100"), "changes which rows (WHERE of limits)"),
        (CTE, CTE.replace("a, b, c", "a, b * 2 AS b, c"), "changes q"),
        (CTE, CTE.replace("a, b, c", "a, b, c * 2 AS c"), "changes c"),
        ("SELECT a FROM t UNION ALL SELECT b AS a FROM u", "SELECT a FROM t UNION ALL SELECT b + 1 AS a FROM u",
         "changes a"),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", "SELECT a FROM t UNION SELECT a FROM u",
         "changes which rows (UNION of the result)"),
    ],
)  # fmt: skip
def test_a_change_is_named_by_what_it_reaches(old: str, new: str, words: str) -> None:
    assert sql_change(old, new).words == words


def test_changes_of_parsing_types_and_order_are_named() -> None:
    old = {
        "columns": {"a": "INTEGER"},
        "parse": {"of": ["t", "p"], "fields": {"a": "INTEGER"}, "rules": {"r": "a > 1"}},
    }
    new = {
        "columns": {"a": "BIGINT"},
        "keep": ["a"],
        "parse": {"of": ["t", "p"], "fields": {"a": "BIGINT"}, "rules": {}},
    }

    words = sql_change(with_settings("select a from t", old), with_settings("select a from t", new)).words

    assert words == (
        "changes the type of a from INTEGER to BIGINT; changes which row of a key wins; "
        "changes the payload field a; changes the payload rule r"
    )


def test_sql_that_no_longer_parses_still_gets_words() -> None:
    assert sql_change("SELECT FROM WHERE", "SELECT 1 AS a") == LogicChange(words="changes the SQL", is_any=True)


@pytest.mark.parametrize(
    ("new", "columns", "is_any"),
    [
        ("SELECT a, b + 1 AS b FROM t", {"b"}, False),
        ("SELECT a, b, a AS c FROM t", {"c"}, False),
        ("SELECT a FROM t", {"b"}, False),
        ("SELECT a, b FROM t WHERE a > 1", set(), True),
    ],
)
def test_a_change_says_which_output_columns_can_differ(new: str, columns: set[str], is_any: bool) -> None:
    change = sql_change("SELECT a, b FROM t", new)

    assert (change.columns, change.is_any) == (columns, is_any)


def test_another_type_concerns_one_column_and_another_reading_all_of_them() -> None:
    old = with_settings("select a from t", {"columns": {"a": "INTEGER"}, "reads": {"t": "silver.x, same partition"}})
    typed = with_settings("select a from t", {"columns": {"a": "BIGINT"}, "reads": {"t": "silver.x, same partition"}})
    wider = with_settings("select a from t", {"columns": {"a": "INTEGER"}, "reads": {"t": "silver.x, roll-up"}})

    assert sql_change(old, typed).columns == {"a"}
    assert sql_change(old, wider).is_any
