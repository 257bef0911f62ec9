"""What every dataset must hold and what is stale, said again from the words of the docs: no line of remint is used.

Keys are texts as a plan spells them; time is reckoned with ``datetime`` alone; rows are tuples in lists.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

TENANTS = ("acme", "bolt")
REFERENCES = ("all", "latest", "self_before")
"""Mappings that say nothing about which units there are."""
COLUMNS = ("a", "b", "c")

Row = tuple[int, ...]
Rows = tuple[Row, ...]
Unit = tuple[str, str]
"""Dataset and key."""
Reading = dict[str, dict[str, Rows]]
"""By alias, the rows of every partition that exists and is read, as far as its columns are read."""


@dataclass(frozen=True)
class Cut:
    """How a dataset is cut."""

    grain: str
    label: str = ""
    """``tenant``, ``version`` or nothing."""
    zone: str = "UTC"


@dataclass(frozen=True)
class Read:
    """One input of a dataset."""

    alias: str
    source: str
    kind: str
    before: int = 0
    after: int = 0
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Table:
    """A dataset as the oracle knows it; Bronze has neither inputs nor a transform."""

    name: str
    cut: Cut
    reads: tuple[Read, ...] = ()
    transform: str = ""
    salt: int = 0
    """Part of the logic that its output depends on."""
    style: int = 0
    """Part of the logic that no output depends on."""
    version: int = 1
    events: Cut | None = None
    """Of Bronze: how its arrivals are told apart."""

    @property
    def meaning(self) -> tuple[object, ...]:
        """Return all that is part of the logic."""
        return (self.transform, self.salt, self.style, tuple((r.alias, r.source, *_reach(r)) for r in self.reads))

    @property
    def label(self) -> str:
        """Return the value that every unit has now, where versions are kept side by side."""
        return f"v{self.version}" if self.cut.label == "version" else ""


def _reach(read: Read) -> tuple[object, ...]:
    return (read.kind, read.before, read.after, read.columns)


# -- the calendar ------------------------------------------------------------------------------------------------------


@cache
def begin(grain: str, time: str) -> datetime:
    """Return the first moment of a period, as the clocks of its zone show it."""
    form, text = {
        "hour": ("%Y-%m-%dT%H", time),
        "day": ("%Y-%m-%d", time),
        "week": ("%G-W%V-%u", f"{time}-1"),
        "month": ("%Y-%m", time),
    }[grain]
    return datetime.strptime(text, form)  # noqa: DTZ007 - local on purpose


def spelled(grain: str, moment: datetime) -> str:
    """Return the period in which a moment lies."""
    forms = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
    return moment.strftime(forms[grain])


@cache
def moved(grain: str, time: str, steps: int) -> str:
    """Return the period that comes ``steps`` later."""
    first = begin(grain, time)
    if grain == "month":
        months = first.year * 12 + first.month - 1 + steps
        return f"{months // 12:04}-{months % 12 + 1:02}"
    length = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[grain]
    return spelled(grain, first + steps * length)


@cache
def interval(grain: str, time: str, zone: str) -> tuple[datetime, datetime]:
    """Return the instants at which a period begins and ends."""
    clock = ZoneInfo("UTC" if grain == "hour" else zone)
    first, last = begin(grain, time), begin(grain, moved(grain, time, 1))
    return first.replace(tzinfo=clock).astimezone(UTC), last.replace(tzinfo=clock).astimezone(UTC)


@cache
def overlapping(time: str, cut: Cut, other: Cut) -> tuple[str, ...]:
    """Return the periods of ``other`` that share an instant with the period ``time`` of ``cut``."""
    start, end = interval(cut.grain, time, cut.zone)
    clock = ZoneInfo("UTC" if other.grain == "hour" else other.zone)
    found = [spelled(other.grain, start.astimezone(clock))]
    while interval(other.grain, found[-1], other.zone)[1] < end:
        found.append(moved(other.grain, found[-1], 1))
    return tuple(found)


# -- what reads what ---------------------------------------------------------------------------------------------------


def split(cut: Cut, key: str) -> tuple[str, str]:
    """Return time and value of a key."""
    if cut.grain == "identity":
        return "", key
    time, _, value = key.partition("/")
    return time, value


def joined(time: str, value: str) -> str:
    return f"{time}/{value}" if value else time


def visible(source: Table, existing: Set[str]) -> set[str]:
    """Return what readers see: of versions side by side, the present one."""
    return {k for k in existing if not source.label or split(source.cut, k)[1] == source.label}


def cut_read(read: Read, source: Table) -> Cut:
    """Return how that is cut which ``read`` reads: partitions, or arrivals by their event."""
    if read.kind == "by_arrival":
        assert source.events
        return source.events
    return source.cut


def keys_read(table: Table, read: Read, source: Table, key: str, existing: Set[str]) -> set[str]:
    """Return which of the ``existing`` upstream keys one unit reads."""
    if read.kind == "all":
        return visible(source, existing)
    theirs = cut_read(read, source)
    if read.kind == "latest":
        seen = visible(source, existing)
        newest = max((split(theirs, k)[0] for k in seen), default="")
        return {k for k in seen if split(theirs, k)[0] == newest}
    time, value = split(table.cut, key)
    if "identity" in (table.cut.grain, theirs.grain):
        return {k for k in existing if split(theirs, k)[1] == value}
    values = _values_read(table, read, source, theirs, value)
    return {k for t in _times_read(read, table.cut, theirs, time) for v in values if (k := joined(t, v)) in existing}


@cache
def _times_read(read: Read, mine: Cut, theirs: Cut, time: str) -> tuple[str, ...]:
    match read.kind:
        case "same" | "by_arrival":
            return (time,)
        case "window":
            return tuple(moved(mine.grain, time, n) for n in range(-read.before, read.after + 1))
        case "self_before":
            return tuple(moved(mine.grain, time, -n) for n in range(1, read.before + 1))
        case _:
            return overlapping(time, mine, theirs)


def _values_read(table: Table, read: Read, source: Table, theirs: Cut, value: str) -> Sequence[str]:
    if theirs.label == "":
        return ("",)
    if read.kind == "self_before" or (theirs.label == table.cut.label == "tenant"):
        return (value,)
    return (source.label,) if theirs.label == "version" else TENANTS


def called_for(table: Table, read: Read, source: Table, existing: Set[str]) -> set[str]:
    """Return the units that exist because the upstream keys ``existing`` do."""
    theirs = cut_read(read, source)
    if read.kind in REFERENCES:
        return set()
    parts = [split(theirs, k) for k in visible(source, existing)]
    if table.cut.grain == "identity":
        return {value for _, value in parts if value}
    if theirs.grain == "identity" or (table.cut.label == "tenant" and theirs.label != "tenant"):
        return set()
    is_alike = read.kind in ("same", "window", "by_arrival")
    found = set()
    for time, value in parts:
        mine = {"": "", "tenant": value, "version": table.label}[table.cut.label]
        found |= {joined(t, mine) for t in ((time,) if is_alike else overlapping(time, theirs, table.cut))}
    return found


# -- what a transform makes --------------------------------------------------------------------------------------------


def made(table: Table, reading: Reading) -> Rows:
    """Return the rows of one unit: a function of the rows it reads and of the logic, and of nothing else."""
    if table.transform == "constant":
        return ((table.salt, 1, 2),)
    rows = sorted(row for by_key in reading.values() for found in by_key.values() for row in found)
    count, first = len(rows), sum(row[0] for row in rows)
    match table.transform:
        case "digest":
            # Rows have no order: which file of a partition comes first says nothing.
            read = sorted((a, sorted((key, sorted(held)) for key, held in by.items())) for a, by in reading.items())
            whole = zlib.crc32(repr(read).encode())
            return ((whole % 1009, count % 3, table.salt), *(((7, 7, whole % 5),) if count > 2 else ()))
        case "count":
            return ((count // 2, table.salt, 0),)
        case "parity":
            return ((first % 3, count % 2, table.salt),)
        case "latest":  # of the rows of i0 that share their first number, the one with the greatest third
            brought = [row for _, found in sorted(reading["i0"].items()) for row in found]
            last = {row[0]: row for row in sorted(brought, key=lambda row: row[2])}
            return tuple((row[0], row[1], (table.salt + first) % 5) for row in sorted(last.values()))
        case "sparse":
            return () if first % 2 else ((first % 7, table.salt, 1),)
        case _:
            raise AssertionError(table.transform)


TRANSFORMS = ("digest", "digest", "count", "parity", "sparse", "constant")


def projected(rows: Rows, columns: tuple[str, ...] | None) -> Rows:
    """Return the rows as a consumer of some columns sees them."""
    if columns is None:
        return rows
    wanted = [COLUMNS.index(c) for c in columns]
    return tuple(sorted(tuple(row[i] for i in wanted) for row in rows))


# -- the whole lake ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Landed:
    """What ingest brought, which nothing recomputes."""

    arrived: Mapping[str, Mapping[str, Rows]]
    """Of Bronze, rows by the period of their event."""
    bronze: Mapping[str, Mapping[str, Rows]]
    """Rows by partition."""


class Oracle:
    """The tables of a lake, upstream first, with what was landed in them."""

    def __init__(self, tables: Iterable[Table], landed: Landed) -> None:
        self.tables = {t.name: t for t in tables}
        self.landed = landed

    def domain(self, published: Mapping[str, Set[str]]) -> dict[str, set[str]]:
        """Return every unit that should exist: those published, and those that the inputs call for."""
        found: dict[str, set[str]] = {}
        for name, table in self.tables.items():
            keys = visible(table, published.get(name, set()))
            for read in table.reads:
                arrived = self.landed.arrived.get(read.source, {}).keys()
                existing = arrived if read.kind == "by_arrival" else found.get(read.source, set())
                keys |= called_for(table, read, self.tables[read.source], existing)
            found[name] = keys
        return found

    def reading(self, table: Table, key: str, contents: Mapping[str, Mapping[str, Rows]]) -> Reading:
        """Return what one unit reads of what there is."""
        found = {}
        for read in table.reads:
            held = self.landed.arrived[read.source] if read.kind == "by_arrival" else contents.get(read.source, {})
            keys = keys_read(table, read, self.tables[read.source], key, held.keys())
            found[read.alias] = {k: projected(held[k], read.columns) for k in keys}
        return found

    def rebuilt(self, published: Mapping[str, Set[str]]) -> dict[str, dict[str, Rows]]:
        """Return what every unit holds when everything is computed from Bronze."""
        contents: dict[str, dict[str, Rows]] = {name: dict(rows) for name, rows in self.landed.bronze.items()}
        domain = self.domain(published)
        for name, table in self.tables.items():
            if not table.transform:
                continue
            contents[name] = {}
            for key in sorted(domain[name]):  # in time order, for those that read what came before
                contents[name][key] = made(table, self.reading(table, key, contents))
        return contents
