"""Partition keys, ranges and sets."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.errors import InvalidKey, InvalidRange
from remint.model.partition import DateRange, Grain, Lookback, PartitionSet, PartitionSpec, key_at, parse_key
from remint.model.spans import shift_edges

DAYS = st.dates(date(2020, 1, 1), date(2020, 3, 31)).map(date.isoformat)
MONTHS = st.dates(date(2019, 1, 1), date(2021, 12, 31)).map(lambda d: d.isoformat()[:7])
HOURS = st.builds(lambda d, h: f"2020-01-{d:02d}T{h:02d}", st.integers(1, 9), st.integers(0, 23))
WEEKS = st.dates(date(2019, 12, 1), date(2021, 2, 1)).map(lambda d: d.strftime("%G-W%V"))
VALUES = st.text(min_size=1, max_size=5).filter(lambda t: t != "")


def keys_of(grain: Grain) -> st.SearchStrategy[frozenset[str]]:
    found = {Grain.HOUR: HOURS, Grain.DAY: DAYS, Grain.WEEK: WEEKS, Grain.MONTH: MONTHS, Grain.IDENTITY: VALUES}[grain]
    if grain is not Grain.IDENTITY:
        found = st.one_of(found, st.tuples(found, VALUES).map("/".join))
    return st.frozensets(found, max_size=12)


PAIRS = st.sampled_from(Grain).flatmap(lambda g: st.tuples(st.just(g), keys_of(g), keys_of(g)))


@given(PAIRS)
def test_set_algebra_is_that_of_plain_sets(pair: tuple[Grain, frozenset[str], frozenset[str]]) -> None:
    grain, left, right = pair
    a, b = PartitionSet.of(grain, left), PartitionSet.of(grain, right)

    assert set(a | b) == left | right
    assert set(a & b) == left & right
    assert set(a - b) == left - right
    assert len(a) == len(left)
    assert bool(a) == bool(left)
    assert all(key in a for key in left)
    assert list(a) == sorted(left)


@given(PAIRS)
def test_ranges_written_to_files_read_back_as_the_same_set(
    pair: tuple[Grain, frozenset[str], frozenset[str]],
) -> None:
    grain, keys, _ = pair
    made = PartitionSet.of(grain, keys)

    assert PartitionSet.from_ranges(grain, made.as_ranges()) == made


@given(st.frozensets(DAYS, min_size=1, max_size=8))
def test_months_of_days_hold_exactly_the_months_that_a_day_falls_in(days: frozenset[str]) -> None:
    months = PartitionSet.of(Grain.DAY, days).to_grain(Grain.MONTH)

    assert set(months) == {d[:7] for d in days}
    assert PartitionSet.of(Grain.DAY, days) - months.to_grain(Grain.DAY) == PartitionSet(Grain.DAY)


@given(st.frozensets(DAYS, max_size=8), st.integers(0, 9), st.integers(0, 9))
def test_widening_adds_the_neighbours_of_every_key(days: frozenset[str], before: int, after: int) -> None:
    widened = PartitionSet.of(Grain.DAY, days).each(lambda spans: shift_edges(spans, -before, after))

    expected = {
        (date.fromisoformat(d) + timedelta(days=n)).isoformat() for d in days for n in range(-before, after + 1)
    }
    assert set(widened) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2023-02-29", "calendar"),
        ("2024-13-01", "calendar"),
        ("01/02/2024", "YYYY-MM-DD"),
        ("2024-2-3", "YYYY-MM-DD"),
        ("0000-01-01", "calendar"),
        ("10000-01-01", "YYYY-MM-DD"),
        ("infinity", "YYYY-MM-DD"),
        ("1850-01-01", "supported years"),
        ("２０２４-01-01", "YYYY-MM-DD"),
    ],
)
def test_a_range_refuses_what_is_no_date_and_shows_the_form(text: str, says: str) -> None:
    with pytest.raises(InvalidRange) as caught:
        DateRange.parse(text)
    assert says in caught.value.message or says in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_a_backward_range_is_refused_with_the_right_way_round() -> None:
    with pytest.raises(InvalidRange, match="runs backwards: it names 0 partitions") as caught:
        DateRange.parse("2026-10-16..2026-10-14")
    assert caught.value.hint == "write the earlier end first: --range 2026-10-14..2026-10-16"


def test_an_open_range_is_refused() -> None:
    with pytest.raises(InvalidRange, match="no bound on one side"):
        DateRange.parse("2026-10-16..")


def test_both_ends_are_included_and_the_echo_is_half_open() -> None:
    span = DateRange.parse("2026-10-14..2026-10-16")

    assert span.describe() == "[2026-10-14, 2026-10-17)"
    assert list(span.keys(Grain.DAY)) == ["2026-10-14", "2026-10-15", "2026-10-16"]
    assert list(span.keys(Grain.MONTH)) == ["2026-10"]


def test_a_month_stands_for_all_its_days() -> None:
    assert DateRange.parse("2024-02").describe() == "[2024-02-01, 2024-03-01)"


NOON = datetime(2026, 10, 16, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "hours", "grain", "zone", "expected"),
    [
        (NOON, 48, Grain.DAY, "UTC", "2026-10-14..2026-10-16"),
        (NOON, 2, Grain.HOUR, "UTC", "2026-10-16T10..2026-10-16T12"),
        (NOON, 1, Grain.MONTH, "UTC", "2026-10"),
        (NOON, 72, Grain.WEEK, "UTC", "2026-W42"),
        # An end is no part of the time: what begins then is not meant.
        (NOON.replace(hour=0, minute=0), 24, Grain.DAY, "UTC", "2026-10-15"),
        (NOON.replace(minute=0), 1, Grain.HOUR, "UTC", "2026-10-16T11"),
        # 18:45Z is 00:15 of the next day in Calcutta.
        (NOON.replace(hour=20, minute=15), 2, Grain.DAY, "Asia/Kolkata", "2026-10-16..2026-10-17"),
        (NOON.replace(hour=20, minute=45), 2, Grain.DAY, "Asia/Kolkata", "2026-10-17"),
        (NOON.astimezone(timezone(timedelta(hours=5))), 2, Grain.HOUR, "UTC", "2026-10-16T10..2026-10-16T12"),
    ],
)
def test_a_lookback_is_rounded_outwards_to_whole_partitions(
    now: datetime, hours: int, grain: Grain, zone: str, expected: str
) -> None:
    span = Lookback.before(now, timedelta(hours=hours))

    found = span.keys(grain, zone)
    assert found.describe() == expected
    assert span.within(found, zone) == found
    days = DateRange(start=span.start, end=span.end)
    assert set(span.keys(Grain.DAY)) == set(days.keys(Grain.DAY))


def test_a_lookback_says_from_when_to_when() -> None:
    assert Lookback.before(NOON, timedelta(hours=48)).describe() == "2026-10-14T12:30Z..2026-10-16T12:30Z"


@pytest.mark.parametrize("length", [timedelta(), timedelta(days=-1), timedelta(days=60_000), timedelta.max])
def test_a_lookback_without_length_or_out_of_the_calendar_is_refused(length: timedelta) -> None:
    with pytest.raises(InvalidRange, match="must have a length"):
        Lookback.before(NOON, length)


@pytest.mark.parametrize(
    "value",
    ["../../escape", "/abs", "a/b", "a\\b", "..", ".", "\n", "%2e%2e%2f", "100%", "a=b", "'", ";", "$HOME", "\u202e"],
)
def test_any_other_value_is_a_fine_identity_key(value: str) -> None:
    assert parse_key(Grain.IDENTITY, value) == value


@pytest.mark.parametrize("value", ["", "__HIVE_DEFAULT_PARTITION__"])
def test_a_value_that_storage_would_take_for_null_is_refused(value: str) -> None:
    with pytest.raises(InvalidKey, match="cannot be a partition value"):
        parse_key(Grain.IDENTITY, value)


def test_sets_of_different_grains_do_not_mix() -> None:
    with pytest.raises(InvalidRange, match="cannot combine day partitions with month"):
        PartitionSet(Grain.DAY) | PartitionSet(Grain.MONTH)


def test_identity_keys_have_no_order() -> None:
    with pytest.raises(InvalidRange, match="have no order"):
        key_at(Grain.IDENTITY, 1)


def test_long_sets_are_described_by_their_ends() -> None:
    days = PartitionSet.of(Grain.DAY, [f"2026-10-{d:02d}" for d in (1, 3, 5, 7, 9, 10)])
    assert days.describe() == "2026-10-01, 2026-10-03, 2026-10-05, ... 2026-10-09..2026-10-10"
    assert len(days.chunks()) == 5


@pytest.mark.parametrize(
    ("grain", "label", "typed", "key"),
    [
        (Grain.DAY, None, "at=2026-10-14", "2026-10-14"),
        (Grain.MONTH, None, "at=2026-10-01", "2026-10"),
        (Grain.WEEK, None, "at=2026-10-12", "2026-W42"),
        (Grain.HOUR, None, "at=2026-10-14T07", "2026-10-14T07"),
        (Grain.DAY, "tenant", "at=2026-10-14/tenant=a=b/c", "2026-10-14/a=b/c"),
        (Grain.DAY, "tenant", "2026-10-14/tenant=a", "2026-10-14/tenant=a"),
        (Grain.IDENTITY, None, "at=acme", "acme"),
        (Grain.IDENTITY, None, "at=at=acme", "at=acme"),
        (Grain.IDENTITY, None, "other=acme", "other=acme"),
    ],
)
def test_a_key_is_typed_as_it_is_or_as_its_folder_is_named(
    grain: Grain, label: str | None, typed: str, key: str
) -> None:
    assert PartitionSpec(column="at", grain=grain, label=label).typed(typed) == key
