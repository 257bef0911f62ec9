"""Grains and their keys: hours, days, ISO weeks and months as positions on a line, in UTC or in a named zone.

Rules: an hour is always an hour of UTC, so it is never skipped nor ambiguous; days, weeks and months may be those of a
zone, and then span 23 or 25 hours where its clocks change, or none where the zone left a day out.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from remint.errors import InvalidKey, InvalidRange

PartitionKey = str
"""Canonical text of one partition: ``2026-10-14T05``, ``2026-10-14``, ``2026-W42``, ``2026-10``, or any value."""

UTC_ZONE = "UTC"
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive-style paths write for NULL; a real value spelled so could not be told from NULL."""
FIRST_YEAR, _LAST_YEAR = 1900, 2199
_HOURS = 24


class Grain(StrEnum):
    """What one partition spans."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """ISO week, from Monday."""
    MONTH = "month"
    IDENTITY = "identity"
    """One value of a column; no order, no time."""


_FORMS = {
    Grain.HOUR: (re.compile(r"(\d{4}-\d{2}-\d{2})T([01]\d|2[0-3])", re.ASCII), "YYYY-MM-DDTHH", "2026-10-14T05"),
    Grain.DAY: (re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII), "YYYY-MM-DD", "2026-10-14"),
    Grain.WEEK: (re.compile(r"\d{4}-W\d{2}", re.ASCII), "YYYY-Www", "2026-W42"),
    Grain.MONTH: (re.compile(r"\d{4}-\d{2}", re.ASCII), "YYYY-MM", "2026-10"),
}
_COLUMN_HOUR = re.compile(r"\d{4}-\d{2}-\d{2} ([01]\d|2[0-3]):00:00\+00", re.ASCII)
FINER = {
    Grain.HOUR: (),
    Grain.DAY: (Grain.HOUR,),
    Grain.WEEK: (Grain.HOUR, Grain.DAY),
    Grain.MONTH: (Grain.HOUR, Grain.DAY, Grain.WEEK),
    Grain.IDENTITY: (),
}
"""Grains that a grain rolls up; a month takes every week that it overlaps."""


def grain_of(text: str) -> Grain | None:
    """Return the time grain whose form ``text`` has; None when it has none."""
    return next((grain for grain, (form, _, _) in _FORMS.items() if form.fullmatch(text)), None)


def parse_key(grain: Grain, text: str) -> PartitionKey:
    """Return ``text`` as a canonical key of ``grain``, without the value of a further column.

    Raises:
        InvalidKey: not a spelling that the grain has; the message shows the expected form.
    """
    if grain is Grain.IDENTITY:
        _check_value(text)
        return text
    form, shown, example = _FORMS[grain]
    if not form.fullmatch(text):
        raise InvalidKey(f"{text!r} is not a {shown} date", hint=f"write it as {shown}, for example {example}")
    try:
        value = _first_date(grain, text)
    except ValueError as error:
        raise InvalidKey(f"{text!r} is not in the calendar: {error}") from None
    if not FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise InvalidKey(
            f"{text!r} is outside the supported years {FIRST_YEAR}..{_LAST_YEAR}",
            hint="a date that far away is nearly always a placeholder; correct it at the source",
        )
    return text


def _check_value(text: str) -> None:
    if text == "":
        raise InvalidKey(
            "the empty string cannot be a partition value: Delta Lake reads it back as NULL",
            hint="map it to a word such as 'unknown' in the transform",
        )
    if text == NULL_PARTITION:
        raise InvalidKey(f"{text!r} cannot be a partition value: it is how paths spell NULL")


def _first_date(grain: Grain, key: PartitionKey) -> date:
    match grain:
        case Grain.HOUR:
            return date.fromisoformat(key[:10])
        case Grain.DAY:
            return date.fromisoformat(key)
        case Grain.WEEK:
            return date.fromisocalendar(int(key[:4]), int(key[6:]), 1)
        case Grain.MONTH:
            return date.fromisoformat(f"{key}-01")
        case Grain.IDENTITY:
            raise InvalidRange(f"{grain} partitions have no order")
        case _:
            assert_never(grain)


def ordinal(grain: Grain, key: PartitionKey) -> int:
    """Return the position of a time key on its grain's line: hours, days or weeks since 0001-01-01, months since 0."""
    if grain is Grain.MONTH:
        return int(key[:4]) * 12 + int(key[5:7]) - 1
    day = _first_date(grain, key).toordinal()
    if grain is Grain.HOUR:
        return day * _HOURS + int(key[11:])
    return (day - 1) // 7 if grain is Grain.WEEK else day


def key_at(grain: Grain, position: int) -> PartitionKey:
    """Return the key at ``position``: the inverse of ``ordinal``."""
    match grain:
        case Grain.HOUR:
            return f"{date.fromordinal(position // _HOURS).isoformat()}T{position % _HOURS:02d}"
        case Grain.DAY:
            return date.fromordinal(position).isoformat()
        case Grain.WEEK:
            year, week, _ = date.fromordinal(position * 7 + 1).isocalendar()
            return f"{year:04d}-W{week:02d}"
        case Grain.MONTH:
            return f"{position // 12:04d}-{position % 12 + 1:02d}"
        case Grain.IDENTITY:
            raise InvalidRange(f"{grain} partitions have no order")
        case _:
            assert_never(grain)


def date_at(grain: Grain, position: int) -> date:
    """Return the first date of the partition at ``position``, in the partition's own zone."""
    match grain:
        case Grain.HOUR:
            return date.fromordinal(position // _HOURS)
        case Grain.DAY:
            return date.fromordinal(position)
        case Grain.WEEK:
            return date.fromordinal(position * 7 + 1)
        case Grain.MONTH:
            return date(position // 12, position % 12 + 1, 1)
        case Grain.IDENTITY:
            raise InvalidRange(f"{grain} partitions have no order")
        case _:
            assert_never(grain)


def position_of(grain: Grain, day: date) -> int:
    """Return the position of the day, week or month that ``day`` falls in, or of its first hour."""
    number = day.toordinal()
    match grain:
        case Grain.HOUR:
            return number * _HOURS
        case Grain.DAY:
            return number
        case Grain.WEEK:
            return (number - 1) // 7
        case Grain.MONTH:
            return day.year * 12 + day.month - 1
        case Grain.IDENTITY:
            raise InvalidRange(f"{grain} partitions have no order")
        case _:
            assert_never(grain)


def position_when(grain: Grain, moment: datetime, zone: str) -> int:
    """Return the position of the partition in which ``moment`` falls."""
    if grain is Grain.HOUR:
        utc = moment.astimezone(UTC)
        return utc.toordinal() * _HOURS + utc.hour
    return position_of(grain, moment.astimezone(_zone(zone)).date())


def column_value(grain: Grain, key: PartitionKey) -> str:
    """Return what the partition column holds in the rows of a time key: its first day, or the start of its hour."""
    if grain is Grain.HOUR:
        return f"{key[:10]} {key[11:]}:00:00+00"
    return _first_date(grain, key).isoformat()


def key_from_column(grain: Grain, text: str) -> PartitionKey:
    """Return the key whose rows hold ``text`` in the partition column.

    Raises:
        InvalidKey: no partition of the grain begins there.
    """
    form = _COLUMN_HOUR if grain is Grain.HOUR else _FORMS[Grain.DAY][0]
    if not form.fullmatch(text):
        raise InvalidKey(f"{text!r} is not the beginning of one {grain}")
    parse_key(Grain.DAY, text[:10])
    if grain is Grain.HOUR:
        return f"{text[:10]}T{text[11:13]}"
    key = key_at(grain, position_of(grain, date.fromisoformat(text)))
    if column_value(grain, key) != text:
        raise InvalidKey(f"{text!r} is not the beginning of one {grain}", hint=f"date_trunc('{grain}', ...)")
    return key


def first_day(grain: Grain, key: PartitionKey) -> date:
    """Return the first day that a time key spans."""
    return _first_date(grain, key)


def end_day(grain: Grain, key: PartitionKey) -> date:
    """Return the day after the last one that a time key spans (half-open)."""
    if grain is Grain.HOUR:
        return _first_date(grain, key) + timedelta(days=1)
    return date_at(grain, ordinal(grain, key) + 1)


def check_zone(zone: str) -> None:
    """Refuse a zone that the time zone database has not.

    Raises:
        InvalidKey: names it.
    """
    _zone(zone)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidKey(
            f"{name!r} is no time zone of the IANA database", hint="write it as in Europe/Madrid or UTC"
        ) from None


@lru_cache(maxsize=65536)
def start_hour(grain: Grain, position: int, zone: str) -> int:
    """Return the UTC hour in which the partition at ``position`` begins."""
    if grain is Grain.HOUR:
        return position
    day = date_at(grain, position)
    if zone == UTC_ZONE:
        return day.toordinal() * _HOURS
    begins = datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC)
    return begins.date().toordinal() * _HOURS + begins.hour


def end_hour(grain: Grain, position: int, zone: str) -> int:
    """Return the UTC hour after the last one that overlaps the partition at ``position``."""
    if grain is Grain.HOUR or zone == UTC_ZONE:
        return start_hour(grain, position + 1, zone)
    day = date_at(grain, position + 1)
    ends = datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC)
    is_whole = (ends.minute, ends.second) == (0, 0)
    return ends.date().toordinal() * _HOURS + ends.hour + (0 if is_whole else 1)


def position_at(grain: Grain, hour: int, zone: str, *, is_last: bool = False) -> int:
    """Return the position of the partition in which a UTC hour begins, or with ``is_last`` in which it ends."""
    if grain is Grain.HOUR:
        return hour
    day = date.fromordinal(hour // _HOURS)
    if zone != UTC_ZONE:
        moment = datetime(day.year, day.month, day.day, hour % _HOURS, tzinfo=UTC)
        moment += timedelta(minutes=59, seconds=59) if is_last else timedelta()
        day = moment.astimezone(_zone(zone)).date()
    return position_of(grain, day)
