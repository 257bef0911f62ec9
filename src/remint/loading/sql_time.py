"""Distances in time as SQL writes them, and how many partitions they reach.

Rules: all counts are the least that is certain: a distance reaches at least so many partitions from some partition.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache

from sqlglot import exp

from remint.loading.sql_source import TimeGrain

HOUR, DAY, WEEK = 3600, 86400, 7 * 86400
SECONDS: dict[TimeGrain, int] = {"hour": HOUR, "day": DAY, "week": WEEK}
_ORDER: tuple[TimeGrain, ...] = ("hour", "day", "week", "month")
_UNITS = {"second": 1, "minute": 60, "hour": HOUR, "day": DAY, "week": WEEK}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_IN_WORDS = re.compile(r"\s*(-?\d+)\s*([a-zA-Z]+)\s*")
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A distance in time, signed; its parts add up."""

    months: int = 0
    seconds: int = 0
    rows: int = 0
    """Rows in order of time; each lies in a partition of its own at the most."""
    is_open: bool = False
    """The end of it is not reached: ``>`` rather than ``>=``."""

    def __add__(self, other: Span) -> Span:
        return Span(
            months=self.months + other.months,
            seconds=self.seconds + other.seconds,
            rows=self.rows + other.rows,
            is_open=self.is_open or other.is_open,
        )

    def __neg__(self) -> Span:
        return replace(self, months=-self.months, seconds=-self.seconds, rows=-self.rows)

    @property
    def is_zero(self) -> bool:
        """True for no distance at all."""
        return not (self.months or self.seconds or self.rows or self.is_open)

    @property
    def points_back(self) -> bool:
        """True when no part of it points forward, and one points back."""
        parts = (self.months, self.seconds, self.rows)
        return max(parts) <= 0 and min(parts) < 0

    @property
    def is_whole_days(self) -> bool:
        """True when it leaves the time of day as it is."""
        return self.seconds % DAY == 0 and not self.rows

    @property
    def about_s(self) -> float:
        """Seconds, with months of average length: good enough to tell which of two distances is longer."""
        return self.months * 30.44 * DAY + self.seconds


ZERO = Span()


def coarser(first: TimeGrain | None, second: TimeGrain | None) -> bool:
    """True when ``first`` spans more than ``second``; None spans nothing."""
    return (_ORDER.index(first) if first else -1) > (_ORDER.index(second) if second else -1)


def nested(first: TimeGrain | None, second: TimeGrain | None) -> bool:
    """True when partitions of one grain lie wholly inside of those of the other: not weeks and months."""
    return {first, second} != {"week", "month"}


def partitions(span: Span, grain: TimeGrain, *, is_raw: bool) -> int:
    """Return how many partitions of ``grain`` a distance backwards or forwards reaches at least.

    Args:
        span: without parts of the other sign.
        grain: of the partitions that are counted.
        is_raw: the values lie anywhere inside of a partition; else they are its first instant.
    """
    back = span if not span.points_back else -span
    if min(back.months, back.seconds, back.rows) < 0:
        return 0
    rows = min(back.rows, 1) if is_raw else back.rows
    if grain == "month":
        days = -(-back.seconds // DAY)
        whole = math.ceil(days / 31) if is_raw else days // 31
        is_short = back.is_open and not is_raw and not whole
        return rows + max(0, back.months + whole - is_short)
    seconds = _most_days(back.months) * DAY + back.seconds
    if is_raw:
        return rows + math.ceil(seconds / SECONDS[grain])
    return rows + _below(seconds, SECONDS[grain], is_open=back.is_open)


def floored(span: Span, grain: TimeGrain) -> Span:
    """Return the distance between the truncated ends of ``span``, at least: a whole number of ``grain``."""
    if span.is_zero:
        return span
    sign = -1 if span.points_back else 1
    count = sign * partitions(span, grain, is_raw=False)
    return Span(months=count) if grain == "month" else Span(seconds=count * SECONDS[grain])


def least_inside(outer: TimeGrain, inner: TimeGrain) -> int:
    """Return how many more partitions of ``inner`` the longest one of ``outer`` holds beside its first."""
    if outer == "month":
        return 31 - 1 if inner == "day" else 31 * 24 - 1 if inner == "hour" else 0
    return max(0, SECONDS[outer] // SECONDS[inner] - 1) if inner != "month" else 0


def interval(node: exp.Expr) -> Span | None:
    """Return the distance that ``node`` is: ``INTERVAL 27 DAY``, ``to_days(27)``, ``27`` (days); None for others."""
    if isinstance(node, exp.Paren):
        return interval(node.this)
    if isinstance(node, exp.Neg):
        inner = interval(node.this)
        return None if inner is None else -inner
    if isinstance(node, exp.Literal) and node.is_int and not node.is_string:
        return Span(seconds=int(node.this) * DAY)
    if isinstance(node, exp.ToDays):
        return interval(node.this)
    if isinstance(node, exp.Cast) and node.to.is_type(exp.DType.INTERVAL):
        return _in_words(node.this.this) if isinstance(node.this, exp.Literal) else interval(node.this)
    if not isinstance(node, exp.Interval):
        return None
    number = node.this.this if isinstance(node.this, exp.Paren) else node.this
    if not isinstance(number, exp.Literal):
        return None
    return _in_words(f"{number.this} {node.args['unit'].name}" if node.args.get("unit") else str(number.this))


def unit_span(unit: str, count: int) -> Span | None:
    """Return ``count`` units of time, by the unit's name in singular or plural; None for a unit that is unknown."""
    name = unit.lower().removesuffix("s")
    if name in _MONTHS:
        return Span(months=count * _MONTHS[name])
    return Span(seconds=count * _UNITS[name]) if name in _UNITS else None


def truncation(node: exp.Expr) -> tuple[exp.Expr, TimeGrain] | None:
    """Return what ``node`` truncates, and to which grain; None when it is no truncation."""
    if isinstance(node, exp.Cast) and node.to.is_type(exp.DType.DATE):
        return node.this, "day"
    if isinstance(node, exp.Date) and not node.expressions and node.args.get("zone") is None:
        return node.this, "day"
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc) and node.args.get("zone") is None:
        unit = str(node.args["unit"].name).lower()
        return next(((node.this, grain) for grain in _ORDER if grain == unit), None)
    if isinstance(node, exp.DateBin) and node.args.get("zone") is None and node.args.get("origin") is None:
        width = interval(node.this)
        widths: dict[Span, TimeGrain] = {Span(seconds=s): grain for grain, s in SECONDS.items()}
        grain = {**widths, Span(months=1): "month"}.get(width) if width else None
        return (node.expression, grain) if grain else None
    return None


def _in_words(text: str) -> Span | None:
    found = _IN_WORDS.fullmatch(text)
    return unit_span(found[2], int(found[1])) if found else None


def _below(length: int, unit: int, *, is_open: bool) -> int:
    return max(0, -(-length // unit) - 1 if is_open else length // unit)


@cache
def _most_days(months: int) -> int:
    """Return the length of the longest ``months`` months in a row, in a year that is no leap year."""
    lengths = _MONTH_LENGTHS * (months // 12 + 2)
    return max(sum(lengths[first : first + months]) for first in range(12))
