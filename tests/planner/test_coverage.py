"""Absent is not empty: which days a source has answered for, and what a range of days that it has not is told."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.errors import SourceAbsent
from remint.loading.declare_sources import files, http_pages
from remint.model.dataset import Arrivals, Dataset, Layer, Source
from remint.model.graph import DatasetGraph
from remint.model.observation import Observed
from remint.model.partition import DateRange, Grain, PartitionSet, PartitionSpec
from remint.planner.coverage import absent_days, absent_sources, covered_days, refuse_absent

POSTS = "bronze.posts"


def bronze(source: Source | None, *, arrivals: Arrivals | None = None) -> Dataset:
    return Dataset(
        name=POSTS,
        layer=Layer.BRONZE,
        location="bronze/posts",
        partition=PartitionSpec(column="day", grain=Grain.DAY),
        columns=(),
        key=(),
        source=source,
        arrivals=arrivals,
    )


def days(*keys: str) -> PartitionSet:
    return PartitionSet.of(Grain.DAY, keys)


EVENT = Arrivals(column="created_at", grain=Grain.DAY)
PAGES = http_pages("https://x.example/posts", since_param="since", until_param="until")
WINDOW = [("2026-12-01", "2026-12-03")]


class TestCovered:
    def test_files_speak_for_the_days_in_their_names_alone(self) -> None:
        dataset = bronze(files("landing/{date}/*.jsonl", format="jsonl"), arrivals=EVENT)

        assert covered_days(dataset, WINDOW, ["2026-11-05"]) == days("2026-12-01", "2026-12-02")

    def test_pages_speak_for_the_windows_asked_and_for_the_days_that_came(self) -> None:
        found = covered_days(bronze(PAGES, arrivals=EVENT), WINDOW, ["2026-11-30"])

        assert found == days("2026-11-30", "2026-12-01", "2026-12-02")

    @pytest.mark.parametrize(
        "dataset",
        [
            bronze(None, arrivals=EVENT),
            bronze(files("landing/*.jsonl", format="jsonl"), arrivals=EVENT),
            bronze(http_pages("https://x.example/posts")),
        ],
    )
    def test_where_days_mean_nothing_nothing_is_said(self, dataset: Dataset) -> None:
        assert covered_days(dataset, WINDOW, ["2026-12-01"]) is None


class TestAbsent:
    def test_gaps_lie_between_the_first_and_the_last_covered_day(self) -> None:
        covered = days("2026-12-01", "2026-12-02", "2026-12-05", "2026-12-07")

        assert absent_days(covered).describe() == "2026-12-03..2026-12-04, 2026-12-06"

    def test_a_range_counts_the_days_after_the_last_covered_one_and_not_those_before_the_first(self) -> None:
        covered = days("2026-12-03", "2026-12-04")

        assert absent_days(covered, DateRange.parse("2026-12")).describe() == "2026-12-05..2026-12-31"
        assert not absent_days(covered, DateRange.parse("2026-11"))

    def test_a_source_without_history_has_no_gaps(self) -> None:
        assert not absent_days(PartitionSet(Grain.DAY))
        assert not absent_days(PartitionSet(Grain.DAY), DateRange.parse("2026-12"))

    @given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(1, 20))
    def test_it_agrees_with_a_loop_over_the_days(self, numbers: set[int], start: int, length: int) -> None:
        first = date(2026, 12, 1)
        covered = PartitionSet.of(Grain.DAY, [(first + timedelta(days=n)).isoformat() for n in numbers])
        span = DateRange(start=first + timedelta(days=start), end=first + timedelta(days=start + length))

        expected = [n for n in range(start, start + length) if numbers and n > min(numbers) and n not in numbers]

        found = [(date.fromisoformat(key) - first).days for key in absent_days(covered, span)]
        assert found == expected


class TestRefusal:
    graph = DatasetGraph.build([bronze(PAGES, arrivals=EVENT)])
    observed = Observed(standings={}, last_seq=0, covered={POSTS: days("2026-12-01", "2026-12-04")})

    def test_the_sources_of_what_is_selected_are_looked_at(self) -> None:
        found = absent_sources(self.graph, self.observed, [POSTS])

        assert found == {POSTS: days("2026-12-02", "2026-12-03")}

    def test_a_range_over_an_absent_day_names_the_source_and_the_days(self) -> None:
        span = DateRange.parse("2026-12-01..2026-12-03")

        with pytest.raises(SourceAbsent, match=r"bronze\.posts 2026-12-02\.\.2026-12-03") as caught:
            refuse_absent(absent_sources(self.graph, self.observed, [POSTS], span), span)

        assert "--allow-absent" in str(caught.value.hint)

    def test_a_range_of_covered_days_passes(self) -> None:
        span = DateRange.parse("2026-12-01")

        refuse_absent(absent_sources(self.graph, self.observed, [POSTS], span), span)
