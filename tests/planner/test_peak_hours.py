"""Peak hours follow the clock on the wall, over both changes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from remint.planner.peak_hours import PeakHours, peak_at, peak_end

MADRID = PeakHours.parse("08:00-20:00 Europe/Madrid")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-28T06:59", False),  # 07:59 +01:00
        ("2026-03-28T07:00", True),  # 08:00 +01:00
        ("2026-03-29T05:59", False),  # the clock went forward: 07:59 +02:00
        ("2026-03-29T06:00", True),
        ("2026-03-29T17:59", True),
        ("2026-03-29T18:00", False),
        ("2026-10-24T06:00", True),  # 08:00 +02:00
        ("2026-10-25T06:00", False),  # the clock went back: 07:00 +01:00
        ("2026-10-25T07:00", True),
        ("2026-10-25T18:59", True),
        ("2026-10-25T19:00", False),
    ],
)
def test_a_window_follows_daylight_saving(moment: str, inside: bool) -> None:
    assert MADRID.contains(utc(moment)) is inside


@pytest.mark.parametrize(
    ("day", "minutes"),
    [("2026-03-28", 60), ("2026-03-29", 0), ("2026-10-24", 60), ("2026-10-25", 120)],
)
def test_an_hour_that_is_skipped_is_never_peak_and_one_that_repeats_is_peak_twice(day: str, minutes: int) -> None:
    window = PeakHours.parse("02:00-03:00 Europe/Madrid")
    start = utc(f"{day}T00:00") - timedelta(hours=2)

    inside = [n for n in range(27 * 60) if window.contains(start + timedelta(minutes=n))]

    assert sum((start + timedelta(minutes=n)).date() == utc(f"{day}T00:00").date() for n in inside) == minutes


@pytest.mark.parametrize(
    ("moment", "ends"),
    [
        ("2026-03-28T12:00", "2026-03-28T19:00"),
        ("2026-03-29T12:00", "2026-03-29T18:00"),
        ("2026-10-24T12:00", "2026-10-24T18:00"),
        ("2026-10-25T12:00", "2026-10-25T19:00"),
    ],
)
def test_the_end_of_the_peak_is_told_in_utc(moment: str, ends: str) -> None:
    assert peak_end(utc(moment), (MADRID,)) == utc(ends)


def test_a_window_whose_end_is_skipped_ends_when_the_clock_jumps() -> None:
    window = PeakHours.parse("01:00-02:30 Europe/Madrid")

    assert peak_end(utc("2026-03-29T00:30"), (window,)) == utc("2026-03-29T01:00")


def test_a_window_whose_end_is_repeated_ends_twice() -> None:
    window = PeakHours.parse("01:00-02:30 Europe/Madrid")

    assert peak_end(utc("2026-10-25T00:15"), (window,)) == utc("2026-10-25T00:30")
    assert window.contains(utc("2026-10-25T01:15"))
    assert peak_end(utc("2026-10-25T01:15"), (window,)) == utc("2026-10-25T01:30")


def test_a_window_may_span_midnight() -> None:
    night = PeakHours.parse("22:00-06:00 America/New_York")

    assert peak_at(utc("2026-07-01T03:00"), (night,)) == night
    assert peak_at(utc("2026-07-01T10:00"), (night,)) is None


def test_windows_that_touch_end_together() -> None:
    both = (PeakHours.parse("08:00-12:00 UTC"), PeakHours.parse("12:00-14:00 UTC"))

    assert peak_end(utc("2026-07-01T09:00"), both) == utc("2026-07-01T14:00")


def test_round_the_clock_there_is_no_end() -> None:
    assert peak_end(utc("2026-07-01T09:00"), (PeakHours.parse("00:00-24:00 UTC"),)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("08:00-20:00 Europe/Madird", "'Europe/Madird' is no time zone"),
        ("08:00-20:00 ../../etc/passwd", "is no time zone"),
        ("08:00-20:00", "is not of the form"),
        ("8-20 UTC", "is not of the form"),
        ("08:00-25:00 UTC", "no clock shows"),
        ("08:60-09:00 UTC", "no clock shows"),
        ("24:00-09:00 UTC", "no clock shows"),
        ("08:00-08:00 UTC", "names no time"),
    ],
)
def test_what_is_no_window_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PeakHours.parse(text)


def test_a_window_is_written_as_it_is_read() -> None:
    assert str(MADRID) == "08:00-20:00 Europe/Madrid"
    assert PeakHours.parse(str(PeakHours.parse("22:30-24:00 UTC"))).end == 1440
