"""How a dataset is cut, and sets of partition keys with ``| & -``.

A key is text in one canonical spelling: a time key (``2026-10-14``), a value, or both: ``2026-10-14/acme``. Sets are
ranges of positions by value, so their size is the number of gaps, not of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from remint.errors import InvalidKey, InvalidRange
from remint.model import spans as line
from remint.model.calendar import (
    FIRST_YEAR,
    NULL_PARTITION,
    UTC_ZONE,
    Grain,
    PartitionKey,
    column_value,
    date_at,
    end_day,
    end_hour,
    first_day,
    grain_of,
    key_at,
    key_from_column,
    ordinal,
    parse_key,
    position_at,
    position_of,
    position_when,
    start_hour,
)
from remint.model.spans import Spans

__all__ = [
    "NULL_PARTITION",
    "DateRange",
    "Grain",
    "Lookback",
    "PartitionKey",
    "PartitionSet",
    "PartitionSpec",
    "end_day",
    "first_day",
    "key_at",
    "ordinal",
    "parse_key",
]

_K = TypeVar("_K")
_EXAMPLE = "--range 2026-10-14..2026-10-16"
_VALUE: Spans = ((0, 1),)
"""The one point on the line of an identity value, which has no time."""
_INSTANT = timedelta(microseconds=1)
_TYPES = {Grain.HOUR: "TIMESTAMPTZ", Grain.IDENTITY: "VARCHAR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """Columns and grain by which a table is cut."""

    column: str
    """Output column: TIMESTAMPTZ for hour (its start) and wherever the cut is hidden, DATE for day, week and month (the
    first day), VARCHAR for identity."""
    grain: Grain
    label: str | None = None
    """A further VARCHAR column that cuts every time partition by its value: a tenant, or the logic version."""
    zone: str = UTC_ZONE
    """Zone whose days, weeks or months these are; hours are always those of UTC."""
    is_hidden: bool = False
    """The column holds any instant, and the partition is the hour, day or month of UTC that it falls in."""
    buckets: tuple[str, int] | None = None
    """A column, and into how many files at least its hash splits every partition: layout alone, no part of a key."""

    @property
    def type(self) -> str:
        """SQL type of the partition column."""
        return "TIMESTAMPTZ" if self.is_hidden else _TYPES.get(self.grain, "DATE")

    @property
    def columns(self) -> tuple[str, ...]:
        """The partition columns, in table order."""
        return (self.column, self.label) if self.label else (self.column,)

    @property
    def folders(self) -> tuple[str, ...]:
        """What the folders of files are named for, in table order: where not for the columns, the files hold those."""
        if not self.is_hidden and self.buckets is None:
            return self.columns
        grains = (self.grain, Grain.IDENTITY)
        return tuple(f"{name}_{grain}" for name, grain in zip(self.columns, grains, strict=False))

    @property
    def bucket_folder(self) -> str:
        """What the folders of buckets are named for; empty where there are none."""
        return f"{self.buckets[0]}_bucket" if self.buckets else ""

    def parse(self, text: str) -> PartitionKey:
        """Return ``text`` as a canonical key of this cut.

        Raises:
            InvalidKey: a part of it is missing, too many or not spelled as the grain is.
        """
        if self.grain is Grain.IDENTITY or self.label is None:
            return parse_key(self.grain, text)
        time, slash, label = text.partition("/")
        if not slash:
            raise InvalidKey(f"{text!r} names no {self.label}", hint=f"write it as {text}/<{self.label}>")
        return f"{parse_key(self.grain, time)}/{parse_key(Grain.IDENTITY, label)}"

    def typed(self, text: str) -> PartitionKey:
        """Return the key that a person means by ``text``: a key, or ``column=value`` as the table's folders are named.

        Raises:
            InvalidKey: it is neither.
        """
        named = [part.partition("=") for part in text.split("/", len(self.columns) - 1)]
        if tuple(column for column, _, _ in named) != self.columns:
            return self.parse(text)
        values = [value for _, _, value in named]
        if self.grain is not Grain.IDENTITY:
            with suppress(InvalidKey):  # a folder is named for the first day of its month or week
                values[0] = key_from_column(self.grain, values[0])
        return self.parse("/".join(values))

    def key_of(self, values: Sequence[str | None]) -> PartitionKey:
        """Return the key of partition column values as engines and tables spell them: the inverse of ``values_of``.

        Raises:
            InvalidKey: NULL, or a value that no partition of this cut has, such as a month that begins on the 2nd.
        """
        if any(value is None for value in values):
            raise InvalidKey("NULL cannot be a partition value")
        first, *labels = (str(value) for value in values)
        time = first if self.grain is Grain.IDENTITY else key_from_column(self.grain, first)
        return self.parse(f"{time}/{labels[0]}" if labels else time)

    def values_of(self, key: PartitionKey) -> tuple[str, ...]:
        """Return what the partition columns hold in the rows of ``key``, as text."""
        time, label = split_key(self.grain, key)
        if self.grain is Grain.IDENTITY:
            return (label,)
        held = column_value(self.grain, time)
        return (held, label) if self.label else (held,)


def split_key(grain: Grain, key: PartitionKey) -> tuple[PartitionKey, str]:
    """Return the time part and the value of a key; either is empty where the key has none."""
    if grain is Grain.IDENTITY:
        return "", key
    time, _, label = key.partition("/")
    return time, label


def join_key(grain: Grain, time: PartitionKey, label: str) -> PartitionKey:
    """Return the key of a time part and a value: the inverse of ``split_key``."""
    if grain is Grain.IDENTITY:
        return label
    return f"{time}/{label}" if label else time


Lane = tuple[str, Spans]
"""A value and the positions that it has; the value is empty where a dataset is cut by time alone."""


@dataclass(frozen=True, slots=True)
class PartitionSet:
    """A set of partition keys of one grain, with ``|``, ``&``, ``-``, ``in``, ``len`` and sorted iteration."""

    grain: Grain
    lanes: tuple[Lane, ...] = ()
    """Sorted by value; none is empty."""

    @classmethod
    def of(cls, grain: Grain, keys: Iterable[PartitionKey]) -> PartitionSet:
        """Return the set of ``keys``, which must be canonical."""
        if grain is Grain.IDENTITY:
            return cls(grain, tuple((value, _VALUE) for value in sorted(set(keys))))
        points: dict[str, set[int]] = {}
        for key in keys:
            time, label = split_key(grain, key)
            points.setdefault(label, set()).add(ordinal(grain, time))
        return cls.from_lanes(grain, {k: line.merge((p, p + 1) for p in sorted(v)) for k, v in points.items()})

    @classmethod
    def from_lanes(cls, grain: Grain, lanes: Mapping[str, Spans]) -> PartitionSet:
        """Return the set of ``lanes``; those without positions are left out."""
        return cls(grain, tuple((label, spans) for label, spans in sorted(lanes.items()) if spans))

    @classmethod
    def union(cls, grain: Grain, sets: Iterable[PartitionSet]) -> PartitionSet:
        """Return every key of any of ``sets``, which are all cut by ``grain``."""
        found = cls(grain)
        for keys in sets:
            found = found | keys
        return found

    @classmethod
    def range(cls, grain: Grain, first: PartitionKey, last: PartitionKey) -> PartitionSet:
        """Return every time key from ``first`` to ``last``, both included.

        Raises:
            InvalidRange: ``last`` is before ``first``, or the grain has no order.
        """
        start, end = ordinal(grain, first), ordinal(grain, last)
        if end < start:
            raise InvalidRange(
                f"the range {first}..{last} runs backwards: it names 0 partitions",
                hint=f"write the earlier end first: {last}..{first}",
            )
        return cls(grain, (("", ((start, end + 1),)),))

    def _combined(self, other: PartitionSet, combine: Callable[[Spans, Spans], Spans]) -> PartitionSet:
        if self.grain is not other.grain:
            raise InvalidRange(f"cannot combine {self.grain} partitions with {other.grain} partitions")
        mine, theirs = dict(self.lanes), dict(other.lanes)
        labels = {*mine, *theirs}
        return PartitionSet.from_lanes(self.grain, {k: combine(mine.get(k, ()), theirs.get(k, ())) for k in labels})

    def __or__(self, other: PartitionSet) -> PartitionSet:
        return self._combined(other, line.union)

    def __and__(self, other: PartitionSet) -> PartitionSet:
        return self._combined(other, line.intersect)

    def __sub__(self, other: PartitionSet) -> PartitionSet:
        return self._combined(other, line.subtract)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        time, label = split_key(self.grain, key)
        spans = self.spans(label)
        return bool(spans) and (not time or line.contains(spans, ordinal(self.grain, time)))

    def __iter__(self) -> Iterator[PartitionKey]:
        if len(self.lanes) > 1 and self.grain is not Grain.IDENTITY:
            points = ((p, label) for label, spans in self.lanes for a, b in spans for p in range(a, b))
            yield from (join_key(self.grain, key_at(self.grain, p), label) for p, label in sorted(points))
            return
        for label, spans in self.lanes:
            for start, end in spans:
                for point in range(start, end):
                    time = "" if self.grain is Grain.IDENTITY else key_at(self.grain, point)
                    yield join_key(self.grain, time, label)

    def __len__(self) -> int:
        return sum(line.count(spans) for _, spans in self.lanes)

    def __bool__(self) -> bool:
        return bool(self.lanes)

    @property
    def values(self) -> tuple[str, ...]:
        """The values that occur, sorted; a set cut by time alone has the empty one."""
        return tuple(label for label, _ in self.lanes)

    def spans(self, label: str = "") -> Spans:
        """Return the positions that have one value."""
        return next((spans for found, spans in self.lanes if found == label), ())

    @property
    def all_spans(self) -> Spans:
        """The positions that any value has."""
        return line.merge(sorted(span for _, spans in self.lanes for span in spans))

    def each(self, change: Callable[[Spans], Spans]) -> PartitionSet:
        """Return the set with ``change`` made to the positions of every value."""
        return PartitionSet.from_lanes(self.grain, {label: change(spans) for label, spans in self.lanes})

    def over(self, values: Iterable[str]) -> PartitionSet:
        """Return the positions that any value of this set has, under each of ``values``."""
        spans = self.all_spans
        return PartitionSet.from_lanes(self.grain, dict.fromkeys(values, spans))

    def only(self, values: Iterable[str]) -> PartitionSet:
        """Return the part of the set that has one of ``values``."""
        wanted = set(values)
        return PartitionSet(self.grain, tuple(lane for lane in self.lanes if lane[0] in wanted))

    def to_grain(self, grain: Grain, zone: str = UTC_ZONE, to_zone: str = UTC_ZONE) -> PartitionSet:
        """Return the keys of another time grain that overlap any key of this set, value by value.

        Args:
            grain: of the keys to return.
            zone: whose days, weeks or months this set's keys are.
            to_zone: whose the returned ones are.
        """
        if grain is self.grain and zone == to_zone:
            return self
        found = {}
        for label, spans in self.lanes:
            hours = [(start_hour(self.grain, a, zone), end_hour(self.grain, b - 1, zone)) for a, b in spans]
            found[label] = line.merge(
                sorted(
                    (position_at(grain, a, to_zone), position_at(grain, b - 1, to_zone, is_last=True) + 1)
                    for a, b in hours
                    if a < b
                )
            )
        return PartitionSet.from_lanes(grain, found)

    def last(self) -> PartitionSet:
        """Return the newest key of every value."""
        return self.each(lambda spans: ((spans[-1][1] - 1, spans[-1][1]),))

    def chunks(self) -> list[PartitionSet]:
        """Return the runs of neighbouring keys, one set each, in order of value and time."""
        if self.grain is Grain.IDENTITY:
            return [self] if self.lanes else []
        return [PartitionSet(self.grain, ((label, (span,)),)) for label, spans in self.lanes for span in spans]

    def describe(self) -> str:
        """Return the set in words, both ends included: ``2026-10-14..2026-10-16, 2026-10-20``."""
        if self.grain is Grain.IDENTITY:
            return ", ".join(self.values[:5]) + (f", ... ({len(self.values)} values)" if len(self.lanes) > 5 else "")
        parts = self.as_ranges(single=True)
        if len(parts) > 4:
            return ", ".join([*parts[:3], f"... {parts[-1]}"])
        return ", ".join(parts)

    def as_ranges(self, *, single: bool = False) -> list[str]:
        """Return the set as it is written to files: ``["2026-10-14..2026-10-16/acme"]``, or the identity values.

        Args:
            single: write a range of one key as that key.
        """
        if self.grain is Grain.IDENTITY:
            return list(self.values)
        found = []
        for label, spans in self.lanes:
            for start, end in spans:
                first, last = key_at(self.grain, start), key_at(self.grain, end - 1)
                text = first if single and first == last else f"{first}..{last}"
                found.append(join_key(self.grain, text, label))
        return found

    @classmethod
    def from_ranges(cls, grain: Grain, ranges: Iterable[str]) -> PartitionSet:
        """Return the set that ``as_ranges`` wrote."""
        if grain is Grain.IDENTITY:
            return cls.of(grain, ranges)
        found: dict[str, list[line.Span]] = {}
        for text in ranges:
            time, label = split_key(grain, text)
            first, _, last = time.partition("..")
            found.setdefault(label, []).append((ordinal(grain, first), ordinal(grain, last or first) + 1))
        return cls.from_lanes(grain, {label: line.merge(sorted(spans)) for label, spans in found.items()})


def gathered(pairs: Iterable[tuple[_K, PartitionSet]]) -> dict[_K, PartitionSet]:
    """Return, by name, the union of all sets that are paired with it."""
    found: dict[_K, PartitionSet] = {}
    for name, keys in pairs:
        found[name] = found[name] | keys if name in found else keys
    return found


def days_of(keys: PartitionSet) -> tuple[date, date] | None:
    """Return the first day that ``keys`` span and the day after the last (half-open); None where they have no time."""
    spans = keys.all_spans
    if not spans or keys.grain is Grain.IDENTITY:
        return None
    return date_at(keys.grain, spans[0][0]), end_day(keys.grain, key_at(keys.grain, spans[-1][1] - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Days that a request names, both ends included as typed, half-open as kept."""

    start: date
    end: date
    """The day after the last one named."""

    @classmethod
    def parse(cls, text: str) -> DateRange:
        """Return the range that ``A..B``, or a single key ``A``, names; a week or month stands for all its days.

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
            grains = [g if (g := grain_of(t)) in (Grain.WEEK, Grain.MONTH) else Grain.DAY for t in (first, last)]
            start = first_day(grains[0], parse_key(grains[0], first))
            end = end_day(grains[1], parse_key(grains[1], last))
        except InvalidKey as error:
            raise InvalidRange(
                f"in the range {text!r}: {error.message}",
                hint=_without_column(text) or error.hint or f"write both ends as YYYY-MM-DD: {_EXAMPLE}",
            ) from None
        if end <= start:
            raise InvalidRange(
                f"the range {text} runs backwards: it names 0 partitions",
                hint=f"write the earlier end first: --range {last}..{first}",
            )
        return cls(start=start, end=end)

    def spans(self, grain: Grain, zone: str = UTC_ZONE) -> Spans:
        """Return the positions of ``grain`` that overlap the days, which are those of ``zone``."""
        if grain is Grain.HOUR:
            first, last = position_of(Grain.DAY, self.start), position_of(Grain.DAY, self.end)
            return ((start_hour(Grain.DAY, first, zone), end_hour(Grain.DAY, last - 1, zone)),)
        return ((position_of(grain, self.start), position_of(grain, date.fromordinal(self.end.toordinal() - 1)) + 1),)

    def keys(self, grain: Grain, zone: str = UTC_ZONE) -> PartitionSet:
        """Return the partitions of ``grain`` that overlap the range, of a dataset that is cut by time alone."""
        return PartitionSet(grain, (("", self.spans(grain, zone)),))

    def within(self, keys: PartitionSet, zone: str = UTC_ZONE) -> PartitionSet:
        """Return which of ``keys`` the range names, whatever their value; identity keys have no time and all stay."""
        if keys.grain is Grain.IDENTITY:
            return keys
        spans = self.spans(keys.grain, zone)
        return keys.each(lambda held: line.intersect(held, spans))

    def describe(self) -> str:
        """Return the half-open interval: ``[2026-10-14, 2026-10-17)``."""
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookback(DateRange):
    """The time up to the moment of a request; a partition that overlaps it is meant as a whole."""

    since: datetime
    until: datetime
    """UTC, as ``since``, and outside of the time; ``start`` and ``end`` are the days around both."""

    @classmethod
    def before(cls, now: datetime, length: timedelta) -> Lookback:
        """Return the ``length`` before ``now``.

        Raises:
            InvalidRange: there is no such time, or it begins before the supported years.
        """
        until = now.astimezone(UTC)
        earliest = datetime.fromisoformat(f"{FIRST_YEAR}-01-01T00:00:00+00:00")
        if not timedelta() < length <= until - earliest:
            raise InvalidRange(
                "a lookback must have a length, and cannot begin before the supported years",
                hint="write it in hours or days: --lookback 48h",
            )
        since = until - length
        end = (until - _INSTANT).date() + timedelta(days=1)
        return cls(start=since.date(), end=end, since=since, until=until)

    def spans(self, grain: Grain, zone: str = UTC_ZONE) -> Spans:
        """Return the positions of ``grain`` that overlap the time, rounded outwards to whole partitions."""
        first, last = (position_when(grain, moment, zone) for moment in (self.since, self.until - _INSTANT))
        return ((first, last + 1),)

    def describe(self) -> str:
        """Return the time: ``2026-10-14T09:30Z..2026-10-16T09:30Z``."""
        return "..".join(f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (self.since, self.until))


def _without_column(text: str) -> str:
    """Return how a range is written that names its column: a range is of days, whatever each dataset calls them."""
    ends = [end.rpartition("=")[2] for end in text.split("..")]
    return f"leave the column out: --range {'..'.join(ends)}" if "=" in text else ""
