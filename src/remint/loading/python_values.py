"""Values of Python constants as text: equal values give equal text in every process."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from types import EllipsisType, GenericAlias, MappingProxyType, NoneType, UnionType
from uuid import UUID
from zoneinfo import ZoneInfo

_AS_WRITTEN = (
    NoneType, EllipsisType, bool, int, float, complex, str, bytes, Decimal, Fraction, range, slice, timedelta,
    UUID, GenericAlias, UnionType,
)  # fmt: skip
_LISTS: dict[type, str] = {list: "[]", tuple: "()", deque: "deque()"}
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter, MappingProxyType)
_DEEPEST = 50


class NoForm(Exception):
    """A value has no canonical text; says which type of value."""


def value_text(value: object, reach: Callable[[object], str | None], depth: int = 0) -> str:
    """Return the canonical text of a value.

    Args:
        value: anything.
        reach: returns the name of what is not data (a function, a class), None for all else.
        depth: how deep it lies in the value that was asked for.

    Raises:
        NoForm: some part of it is neither.
    """
    if depth > _DEEPEST:
        raise NoForm("a value that is nested too deeply, or holds itself")
    kind = type(value)
    named = reach(value)
    if named is not None:
        return named

    def inner(part: object) -> str:
        return value_text(part, reach, depth + 1)

    if kind in _AS_WRITTEN:
        return repr(value)
    if kind in _LISTS:
        opening, closing = _LISTS[kind][:-1], _LISTS[kind][-1]
        return f"{opening}{', '.join(map(inner, _parts(value)))}{closing}"
    if kind in (set, frozenset):
        return f"{kind.__name__}({{{', '.join(sorted(map(inner, _parts(value))))}}})"
    if isinstance(value, _MAPPINGS) and kind in _MAPPINGS:
        # In their own order: a loop over the mapping sees it.
        return f"{kind.__name__}({{{', '.join(f'{inner(k)}: {inner(v)}' for k, v in value.items())}}})"
    return _object_text(value, inner)


def _object_text(value: object, inner: Callable[[object], str]) -> str:
    match value:
        case Enum():
            return f"{inner(type(value))}.{value.name}"
        case date() | time():
            return _moment(value)
        case timezone() | ZoneInfo():
            return _zone(value)
        case re.Pattern():
            return f"re.compile({value.pattern!r}, {value.flags})"
        case PurePath():
            return f"{type(value).__name__}({value.as_posix()!r})"
        case logging.Logger():
            return f"getLogger({value.name!r})"  # writes, but decides nothing
        case partial():
            named = ", ".join(f"{k}={inner(v)}" for k, v in sorted(value.keywords.items()))
            return f"partial({', '.join(map(inner, (value.func, *value.args)))}, {named})"
        case tuple() if hasattr(value, "_fields"):
            return f"{inner(type(value))}({', '.join(map(inner, value))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ", ".join(f"{f.name}={inner(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{inner(type(value))}({fields})"
    if type(value).__module__ in ("typing", "operator"):
        return repr(value)
    raise NoForm(f"a {type(value).__qualname__}")


def _moment(value: date | time) -> str:
    zone = ""
    if isinstance(value, datetime | time) and value.tzinfo is not None:
        zone, value = f", {_zone(value.tzinfo)}", value.replace(tzinfo=None)
    return f"{type(value).__name__}({value.isoformat()}{zone})"


def _parts(value: object) -> Iterable[object]:
    return value if isinstance(value, Iterable) else ()


def _zone(zone: tzinfo) -> str:
    match zone:
        case ZoneInfo(key=str(key)):
            return f"ZoneInfo({key!r})"
        case timezone():
            return repr(zone)
        case _:
            raise NoForm(f"a {type(zone).__qualname__}")
