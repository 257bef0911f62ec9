"""Metrics and SQL checks are one scalar aggregate, and nothing can break out of its place."""

from __future__ import annotations

import pytest

from remint.checks.aggregate import check_aggregate, check_condition
from remint.errors import ProjectError

COLUMNS = ("amount", "status")


@pytest.mark.parametrize(
    "sql",
    [
        "count(*)",
        "count(*) FILTER (WHERE status = 'open')",
        "sum(amount) / count(DISTINCT status)",
        "coalesce(max(Amount), 0)",
        "quantile_cont(amount, 0.5)",
    ],
)
def test_an_aggregate_is_kept_as_written(sql: str) -> None:
    assert check_aggregate(sql, COLUMNS) == sql


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "empty"),
        ("amount", "is no aggregate"),
        ("sum(amount) + amount", "stands outside of an aggregate"),
        ("sum(amont)", "nearest: amount"),
        ("count(*), sum(amount)", "is not one expression"),
        ("count(*)) FROM t --", "is not"),
        ("count(*); DROP TABLE t", "is not"),
        ("(SELECT count(*) FROM t)", "is not one expression"),
        ("max((SELECT 1))", "cannot stand in"),
        ("sum(amount) OVER ()", "cannot stand in"),
        ("count(*) FILTER (WHERE random() < 1)", "random() is random"),
        ("max(getenv('HOME'))", "getenv() reads what is not an input"),
    ],
)
def test_what_is_no_aggregate_is_refused(sql: str, message: str) -> None:
    with pytest.raises(ProjectError) as raised:
        check_aggregate(sql, COLUMNS)

    assert message in raised.value.message


def test_a_comment_cannot_swallow_what_follows() -> None:
    assert check_aggregate("count(*) -- all", COLUMNS) == "COUNT(*)"


@pytest.mark.parametrize(
    ("sql", "message"),
    [("sum(amount) > 1", "is an aggregate"), ("amount > 1) OR (1 = 1", "is not one expression"), ("x > 1", "'x'")],
)
def test_a_rule_is_a_condition_on_one_row(sql: str, message: str) -> None:
    assert check_condition("amount > 1 AND status IS NOT NULL", COLUMNS)
    with pytest.raises(ProjectError) as raised:
        check_condition(sql, COLUMNS)

    assert message in raised.value.message
