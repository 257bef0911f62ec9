"""Which numbers of rows are unusual."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.planner.volume import LEAST, NEWEST, anomalies, usual

WEEK = {f"2026-10-0{n}": rows for n, rows in enumerate((100, 104, 98, 101, 97, 103, 99, 102), start=1)}


@pytest.mark.parametrize(("rows", "is_unusual"), [(100, False), (108, False), (120, True), (0, True), (80, True)])
def test_rows_far_from_the_median_are_unusual(rows: int, is_unusual: bool) -> None:
    found = anomalies("gold.x", {"2026-10-09": rows}, WEEK)

    assert [a.key for a in found] == (["2026-10-09"] if is_unusual else [])


def test_an_anomaly_says_what_was_found_and_what_is_usual() -> None:
    assert str(anomalies("gold.x", {"2026-10-09": 5000}, WEEK)[0]) == (
        "gold.x 2026-10-09 has 5,000 rows; 90 to 110 are usual"
    )


def test_too_little_history_tells_nothing() -> None:
    assert usual([10] * (LEAST - 1)) is None
    assert anomalies("gold.x", {"2026-10-09": 0}, dict(list(WEEK.items())[: LEAST - 1])) == ()


def test_where_all_days_are_alike_a_few_rows_more_are_no_anomaly() -> None:
    assert usual([1000] * 10) == (900, 1100)
    assert usual([3] * 10) == (0, 8)


def test_one_outlier_in_the_history_does_not_widen_what_is_usual() -> None:
    assert usual([*WEEK.values(), 1_000_000]) is not None
    assert anomalies("gold.x", {"2026-10-09": 500}, {**WEEK, "2026-09-30": 1_000_000})


def test_only_the_newest_partitions_count() -> None:
    old = {f"2020-{m:02d}-01": 5000 for m in range(1, 13)}
    new = {f"2026-{m:02d}-{d:02d}": 100 for m in (9, 10) for d in range(1, 1 + NEWEST // 2)}

    assert anomalies("gold.x", {"2026-11-01": 5000}, {**old, **new})


def test_a_partition_is_not_judged_by_itself() -> None:
    six = dict(list(WEEK.items())[:6])

    assert anomalies("gold.x", {"2026-10-01": 900}, six) == ()


@given(st.lists(st.integers(0, 10**9), min_size=LEAST, max_size=NEWEST))
def test_the_median_itself_is_always_usual(rows: list[int]) -> None:
    bounds = usual(rows)

    assert bounds
    assert bounds[0] <= median(rows) <= bounds[1]
