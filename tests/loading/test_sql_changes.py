"""Differences between two versions of a transform, in words."""

from __future__ import annotations

import pytest

from remint.loading.sql_changes import changed_columns
from remint.loading.sql_logic import with_settings

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
    assert changed_columns(old, new) == words


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

    words = changed_columns(with_settings("select a from t", old), with_settings("select a from t", new))

    assert words == (
        "changes the type of a from INTEGER to BIGINT; changes which row of a key wins; "
        "changes the payload field a; changes the payload rule r"
    )


def test_sql_that_no_longer_parses_still_gets_words() -> None:
    assert changed_columns("SELECT FROM WHERE", "SELECT 1 AS a") == "changes the SQL"
