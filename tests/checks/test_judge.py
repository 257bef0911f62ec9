"""Violations become verdicts."""

from __future__ import annotations

from remint.checks.judge import STRAY, UNIQUE_KEY, blocking, judge
from remint.model.dataset import Check, Column, Dataset, Layer, Severity
from remint.model.partition import Grain, PartitionSpec

DATASET = Dataset(
    name="gold.daily",
    layer=Layer.GOLD,
    location="gold/daily",
    partition=PartitionSpec(column="day", grain=Grain.DAY),
    columns=(Column(name="day", type="DATE"),),
    key=(),
    checks=(
        Check(name="a is not null", sql="count(*)"),
        Check(name="b is small", sql="count(*)", severity=Severity.WARN),
        Check(name="there are rows", sql="count(*)", fails_empty=True),
    ),
)
D1, D2 = "2026-10-01", "2026-10-02"


def test_nothing_broken_gives_no_verdict() -> None:
    assert judge(DATASET, {"a is not null": {D1: 0}}, {}, {D1: 5, D2: 1}) == ()


def test_a_verdict_says_what_where_how_many_and_whether_it_blocks() -> None:
    verdicts = judge(DATASET, {"b is small": {D1: 3}, "a is not null": {D2: 1}}, {}, {D1: 5, D2: 5})

    assert [str(v) for v in verdicts] == [
        "gold.daily 2026-10-02: a is not null: 1 row breaks it",
        "gold.daily 2026-10-01: b is small: 3 rows break it",
    ]
    assert [v.check for v in blocking(verdicts)] == ["a is not null"]


def test_rows_outside_of_their_partition_always_block() -> None:
    (verdict,) = judge(DATASET, {}, {"2026-09-30": 2}, {D1: 5})

    assert (verdict.check, verdict.partition, verdict.rows) == (STRAY, "2026-09-30", 2)
    assert blocking([verdict]) == (verdict,)


def test_a_check_of_the_engine_itself_blocks() -> None:
    assert blocking(judge(DATASET, {UNIQUE_KEY: {D1: 2}}, {}, {D1: 5}))


def test_an_empty_partition_breaks_a_smallest_row_count() -> None:
    (verdict,) = judge(DATASET, {}, {}, {D1: 0, D2: 4})

    assert (verdict.check, verdict.partition) == ("there are rows", D1)
