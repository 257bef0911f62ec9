"""How a dataset is cut: grains, partition keys and sets of keys with ``| & -``.

A key is text in one canonical spelling: ``2026-10-14`` (day), ``2026-10`` (month) or any value (identity).
Sets of time keys are ranges of ordinals, so their size is the number of gaps, not of keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from remint.errors import InvalidKey, InvalidRange

PartitionKey = str
"""Canonical text of one partition value."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"\d{4}-\d{2}")
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive-style paths write for NULL; a real value spelled so could not be told from NULL."""


class Grain(StrEnum):
    """What one partition spans."""

    DAY = "day"
    MONTH = "month"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """Column and grain by which a table is cut."""

    column: str
    """Output column; DATE for day and month (its first day), VARCHAR for identity."""
    grain: Grain

    @property
    def type(self) -> str:
        """SQL type of the partition column."""
        return "VARCHAR" if self.grain is Grain.IDENTITY else "DATE"


def parse_key(grain: Grain, text: str) -> PartitionKey:
    """Return ``text`` as a canonical key of ``grain``.

    Raises:
        InvalidKey: not a spelling that the grain has; the message shows the expected form.
    """
    match grain:
        case Grain.DAY:
            _as_date(text, _DAY, "YYYY-MM-DD", text)
        case Grain.MONTH:
            _as_date(text, _MONTH, "YYYY-MM", f"{text}-01")
        case Grain.IDENTITY:
            _check_identity(text)
        case _:
            assert_never(grain)
    return text


def _as_date(text: str, form: re.Pattern[str], shown: str, iso: str) -> date:
    if not form.fullmatch(text):
        raise InvalidKey(
            f"{text!r} is not a {shown} date",
            hint=f"write it as {shown}, for example {'2026-10-14'[: len(shown)]}",
        )
    try:
        value = date.fromisoformat(iso)
    except ValueError as error:
        raise InvalidKey(f"{text!r} is not in the calendar: {error}") from None
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise InvalidKey(
            f"{text!r} is outside the supported years {_FIRST_YEAR}..{_LAST_YEAR}",
            hint="a date that far away is nearly always a placeholder; correct it at the source",
        )
    return value


def _check_identity(text: str) -> None:
    if text == "":
        raise InvalidKey(
            "the empty string cannot be a partition value: Delta Lake reads it back as NULL",
            hint="map it to a word such as 'unknown' in the transform",
        )
    if text == NULL_PARTITION:
        raise InvalidKey(f"{text!r} cannot be a partition value: it is how paths spell NULL")


def ordinal(grain: Grain, key: PartitionKey) -> int:
    """Return the position of a time key on its grain's line: days since 0001-01-01, or months since year 0."""
    if grain is Grain.DAY:
        return date.fromisoformat(key).toordinal()
    if grain is Grain.MONTH:
        return int(key[:4]) * 12 + int(key[5:7]) - 1
    raise InvalidRange(f"{grain} partitions have no order")


def key_at(grain: Grain, position: int) -> PartitionKey:
    """Return the key at ``position``: the inverse of ``ordinal``."""
    if grain is Grain.DAY:
        return date.fromordinal(position).isoformat()
    if grain is Grain.MONTH:
        return f"{position // 12:04d}-{position % 12 + 1:02d}"
    raise InvalidRange(f"{grain} partitions have no order")


def first_day(grain: Grain, key: PartitionKey) -> date:
    """Return the first day that a time key spans."""
    return date.fromisoformat(key if grain is Grain.DAY else f"{key}-01")


def end_day(grain: Grain, key: PartitionKey) -> date:
    """Return the day after the last one that a time key spans (half-open)."""
    if grain is Grain.DAY:
        return date.fromisoformat(key) + timedelta(days=1)
    return first_day(Grain.MONTH, key_at(Grain.MONTH, ordinal(Grain.MONTH, key) + 1))


Span = tuple[int, int]
"""Half-open ``[start, end)`` of ordinals."""


@dataclass(frozen=True, slots=True)
class PartitionSet:
    """A set of partition keys of one grain, with ``|``, ``&``, ``-``, ``in``, ``len`` and sorted iteration."""

    grain: Grain
    spans: tuple[Span, ...] = ()
    """Disjoint, sorted, not touching; empty for identity."""
    values: frozenset[str] = frozenset()
    """Keys of an identity set; empty for time grains."""

    @classmethod
    def of(cls, grain: Grain, keys: Iterable[PartitionKey]) -> PartitionSet:
        """Return the set of ``keys``, which must be canonical."""
        if grain is Grain.IDENTITY:
            return cls(grain, (), frozenset(keys))
        points = sorted({ordinal(grain, key) for key in keys})
        return cls(grain, _merge((p, p + 1) for p in points))

    @classmethod
    def range(cls, grain: Grain, first: PartitionKey, last: PartitionKey) -> PartitionSet:
        """Return every key from ``first`` to ``last``, both included.

        Raises:
            InvalidRange: ``last`` is before ``first``, or the grain has no order.
        """
        start, end = ordinal(grain, first), ordinal(grain, last)
        if end < start:
            raise InvalidRange(
                f"the range {first}..{last} runs backwards: it names 0 partitions",
                hint=f"write the earlier end first: {last}..{first}",
            )
        return cls(grain, ((start, end + 1),))

    def __or__(self, other: PartitionSet) -> PartitionSet:
        self._same_grain(other)
        return PartitionSet(self.grain, _merge(sorted((*self.spans, *other.spans))), self.values | other.values)

    def __and__(self, other: PartitionSet) -> PartitionSet:
        self._same_grain(other)
        return PartitionSet(self.grain, _intersect(self.spans, other.spans), self.values & other.values)

    def __sub__(self, other: PartitionSet) -> PartitionSet:
        self._same_grain(other)
        return PartitionSet(self.grain, _subtract(self.spans, other.spans), self.values - other.values)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        if self.grain is Grain.IDENTITY:
            return key in self.values
        point = ordinal(self.grain, key)
        return any(start <= point < end for start, end in self.spans)

    def __iter__(self) -> Iterator[PartitionKey]:
        if self.grain is Grain.IDENTITY:
            yield from sorted(self.values)
        for start, end in self.spans:
            for point in range(start, end):
                yield key_at(self.grain, point)

    def __len__(self) -> int:
        return len(self.values) + sum(end - start for start, end in self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans or self.values)

    def _same_grain(self, other: PartitionSet) -> None:
        if self.grain is not other.grain:
            raise InvalidRange(f"cannot combine {self.grain} partitions with {other.grain} partitions")

    def widened(self, *, before: int = 0, after: int = 0) -> PartitionSet:
        """Return the set with ``before`` earlier and ``after`` later keys beside each key."""
        return PartitionSet(self.grain, _merge(sorted((a - before, b + after) for a, b in self.spans)), self.values)

    def to_grain(self, grain: Grain) -> PartitionSet:
        """Return the keys of another time grain that overlap any key of this set."""
        if grain is self.grain:
            return self
        days = [(_edge(self.grain, a), _edge(self.grain, b)) for a, b in self.spans]
        if grain is Grain.DAY:
            return PartitionSet(grain, _merge(days))
        months = [(_month_of(a), _month_of(b - 1) + 1) for a, b in days]
        return PartitionSet(grain, _merge(sorted(months)))

    def chunks(self) -> list[PartitionSet]:
        """Return the runs of neighbouring keys, one set each, in order."""
        if self.grain is Grain.IDENTITY:
            return [self] if self.values else []
        return [PartitionSet(self.grain, (span,)) for span in self.spans]

    def describe(self) -> str:
        """Return the set in words, both ends included: ``2026-10-14..2026-10-16, 2026-10-20``."""
        if self.grain is Grain.IDENTITY:
            shown = sorted(self.values)
            return ", ".join(shown[:5]) + (f", ... ({len(shown)} values)" if len(shown) > 5 else "")
        parts = []
        for start, end in self.spans:
            first, last = key_at(self.grain, start), key_at(self.grain, end - 1)
            parts.append(first if first == last else f"{first}..{last}")
        if len(parts) > 4:
            return ", ".join([*parts[:3], f"... {parts[-1]}"])
        return ", ".join(parts)

    def as_ranges(self) -> list[str]:
        """Return the set as it is written to files: ``["2026-10-14..2026-10-16"]``, or the identity values."""
        if self.grain is Grain.IDENTITY:
            return sorted(self.values)
        return [f"{key_at(self.grain, a)}..{key_at(self.grain, b - 1)}" for a, b in self.spans]

    @classmethod
    def from_ranges(cls, grain: Grain, ranges: Iterable[str]) -> PartitionSet:
        """Return the set that ``as_ranges`` wrote."""
        if grain is Grain.IDENTITY:
            return cls(grain, (), frozenset(ranges))
        spans = []
        for text in ranges:
            first, _, last = text.partition("..")
            spans.append((ordinal(grain, first), ordinal(grain, last) + 1))
        return cls(grain, _merge(sorted(spans)))


def _edge(grain: Grain, position: int) -> int:
    return position if grain is Grain.DAY else first_day(grain, key_at(grain, position)).toordinal()


def _month_of(day: int) -> int:
    return ordinal(Grain.MONTH, date.fromordinal(day).isoformat()[:7])


def _merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _intersect(left: tuple[Span, ...], right: tuple[Span, ...]) -> tuple[Span, ...]:
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def _subtract(left: tuple[Span, ...], right: tuple[Span, ...]) -> tuple[Span, ...]:
    kept: list[Span] = []
    for start, end in left:
        at = start
        for cut_start, cut_end in right:
            if cut_end <= at or cut_start >= end:
                continue
            if cut_start > at:
                kept.append((at, cut_start))
            at = max(at, cut_end)
        if at < end:
            kept.append((at, end))
    return tuple(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Days that a request names, both ends included as typed, half-open as kept."""

    start: date
    end: date
    """The day after the last one named."""

    @classmethod
    def parse(cls, text: str) -> DateRange:
        """Return the range that ``A..B``, or a single key ``A``, names; a month stands for all its days.

        Raises:
            InvalidRange: does not parse, runs backwards or leaves the supported years.
        """
        first, dots, last = text.partition("..")
        if not dots:
            last = first
        if not first or not last:
            raise InvalidRange(
                f"{text!r} has no bound on one side", hint="name both ends: --range 2026-10-14..2026-10-16"
            )
        try:
            grains = [Grain.MONTH if _MONTH.fullmatch(t) else Grain.DAY for t in (first, last)]
            start = first_day(grains[0], parse_key(grains[0], first))
            end = end_day(grains[1], parse_key(grains[1], last))
        except InvalidKey as error:
            raise InvalidRange(
                f"in the range {text!r}: {error.message}",
                hint=error.hint or "write both ends as YYYY-MM-DD: --range 2026-10-14..2026-10-16",
            ) from None
        if end <= start:
            raise InvalidRange(
                f"the range {text} runs backwards: it names 0 partitions",
                hint=f"write the earlier end first: --range {last}..{first}",
            )
        return cls(start=start, end=end)

    def keys(self, grain: Grain) -> PartitionSet:
        """Return the partitions of ``grain`` that overlap the range."""
        days = PartitionSet(Grain.DAY, ((self.start.toordinal(), self.end.toordinal()),))
        return days.to_grain(grain)

    def describe(self) -> str:
        """Return the half-open interval: ``[2026-10-14, 2026-10-17)``."""
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"
