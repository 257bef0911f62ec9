"""Strict reading of one source row: text values in one spelling, or the reason in words why there are none.

The engine reads as sets the rows whose spelling leaves no question; whatever it does not recognise comes here, so this
module alone decides what is refused and what the reason says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

from remint.model.dataset import Column

LINE_CHARACTERS = 16 * 1024 * 1024
"""A longer line is refused: nothing downstream could show or repair it."""
FIRST_YEAR, LAST_YEAR = 1900, 2199
_SHOWN_CHARACTERS = 100
_LONGEST_NUMBER = 400
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:([Zz])|([+-])(0[0-9]|1[0-4])(?::?([0-5][0-9]))?)?"
)


class BadRow(ValueError):
    """A row that is refused; the text says why, naming the column, what was expected and what was found."""


class _Unfit(ValueError):
    """A value that its column cannot hold; the text adds why, where the value itself does not show it."""


class _Whole(str):
    """A JSON number without fraction or exponent, as it was written."""

    __slots__ = ()


class _Fraction(str):
    """Any other JSON number, as it was written."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its members in order, repeated ones too."""

    __slots__ = ()


def read_line(text: str, columns: Sequence[Column]) -> list[str | None]:
    """Return the columns' values of a line that holds one JSON object, as text; other members are ignored.

    Raises:
        BadRow: the line is no JSON object, names a key twice, or a value is not of its column's type.
    """
    found = _members(text, columns)
    return [_from_json(c, found) for c in columns]


def has_good_shape(text: str, columns: Sequence[Column]) -> bool:
    """True when the line's keys and kinds of value are those of a row, whatever the values are."""
    try:
        found = _members(text, columns)
        for column in columns:
            _json_text(column, found)
    except BadRow:
        return False
    return True


def read_record(values: Sequence[str | None], columns: Sequence[Column]) -> list[str | None]:
    """Return the values of a record of text fields in their one spelling.

    Raises:
        BadRow: a value is not of its column's type, or a required one is absent.
    """
    return [_from_field(c, v) for c, v in zip(columns, values, strict=True)]


def _members(text: str, columns: Sequence[Column]) -> dict[str, Any]:
    if len(text) > LINE_CHARACTERS:
        raise BadRow(f"expected at most {LINE_CHARACTERS:,} characters in a line, found {len(text):,}")
    try:
        parsed = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Whole, parse_float=_Fraction, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise BadRow(f"expected a JSON object, found no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BadRow("expected a JSON object, found one nested too deeply") from None
    if not isinstance(parsed, _Object):
        raise BadRow(f"expected a JSON object, found {_shown(parsed)}")
    _require_distinct(parsed, columns)
    return dict(parsed)


def _require_distinct(members: _Object, columns: Sequence[Column]) -> None:
    """Refuse keys that readers tell apart differently: equal ones, and ones that differ only by case."""
    spelled = {c.name.lower(): c.name for c in columns}
    seen: set[str] = set()
    for key, _ in members:
        if key in seen:
            raise BadRow(f"expected every key once, found {json.dumps(key)} twice")
        seen.add(key)
        other = spelled.setdefault(key.lower(), key)
        if other != key:
            raise BadRow(
                f"expected keys that differ by more than case, found {json.dumps(key)} for {json.dumps(other)}"
            )


def _refuse_constant(text: str) -> NoReturn:
    raise BadRow(f"expected a JSON object, found no JSON: the bare word {text}")


def _from_json(column: Column, members: dict[str, Any]) -> str | None:
    text = _json_text(column, members)
    if text is None:
        return None
    try:
        return _spelled(column, text)
    except _Unfit as error:
        raise BadRow(_reason(column, _shown(members[column.name]), str(error))) from None


def _json_text(column: Column, members: dict[str, Any]) -> str | None:
    """Return a member as text once its JSON kind is the column's: a number never stands for a text or the reverse."""
    value = members.get(column.name)
    if value is None:
        if column.required:
            raise BadRow(_reason(column, "null" if column.name in members else "nothing"))
        return None
    if isinstance(value, bool):
        text, fits = ("true" if value else "false"), column.type == "BOOLEAN"
    elif isinstance(value, _Whole | _Fraction):
        text, fits = str(value), _is_number(column)
    else:
        text, fits = value, isinstance(value, str) and not (_is_number(column) or column.type == "BOOLEAN")
    if not fits:
        raise BadRow(_reason(column, _shown(value)))
    return text


def _from_field(column: Column, value: str | None) -> str | None:
    if value is None:
        if column.required:
            raise BadRow(_reason(column, "nothing"))
        return None
    try:
        return _spelled(column, value)
    except _Unfit as error:
        raise BadRow(_reason(column, _shown(value), str(error))) from None


def _is_number(column: Column) -> bool:
    return column.type in ("INTEGER", "BIGINT", "DOUBLE") or column.type.startswith("DECIMAL")


def _reason(column: Column, found: str, why: str = "") -> str:
    return f"{column.name}: expected {column.type}, found {found}" + (f" ({why})" if why else "")


def _shown(value: Any) -> str:
    match value:
        case _Object():
            return "a JSON object"
        case list():
            return "a JSON array"
        case _Whole() | _Fraction():
            text = str(value)
        case _:
            text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _spelled(column: Column, text: str) -> str:
    """Return the one spelling of a value that the engine casts without a question."""
    match column.type:
        case "VARCHAR":
            return _text(text)
        case "INTEGER":
            return _whole(text, 31)
        case "BIGINT":
            return _whole(text, 63)
        case "DOUBLE":
            return _double(text)
        case "BOOLEAN":
            if text not in ("true", "false"):
                raise _Unfit
            return text
        case "DATE":
            return _day(text)
        case "TIMESTAMPTZ":
            return _instant(text)
        case _:
            return _decimal(text, column.type)


def _text(text: str) -> str:
    if "\0" in text:
        raise _Unfit("it holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unfit("it holds half of a surrogate pair") from None
    return text


def _whole(text: str, bits: int) -> str:
    if not _WHOLE.fullmatch(text):
        raise _Unfit
    if len(text) > _LONGEST_NUMBER or not -(1 << bits) <= int(text) < 1 << bits:
        raise _Unfit("out of range")
    return str(int(text))


def _double(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise _Unfit
    value = float(text)
    if abs(value) == float("inf"):
        raise _Unfit("out of range")
    return repr(value)


def _decimal(text: str, type_name: str) -> str:
    precision, scale = (int(n) for n in type_name.removeprefix("DECIMAL(").removesuffix(")").split(","))
    if not _NUMBER.fullmatch(text):
        raise _Unfit
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except DecimalException:
        raise _Unfit("out of range") from None
    assert isinstance(exponent, int)  # noqa: S101 - the pattern lets no NaN or Infinity through
    while digits[-1] == 0 and len(digits) > 1:
        digits, exponent = digits[:-1], exponent + 1
    if digits == (0,):
        return "0"
    if exponent < -scale:
        raise _Unfit(f"more than {scale} decimals")
    if len(digits) + exponent > precision - scale:
        raise _Unfit("out of range")
    return format(Decimal((sign, digits, exponent)), "f")


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise _Unfit("written as YYYY-MM-DD")
    try:
        value = date.fromisoformat(text)
    except ValueError:
        raise _Unfit("not in the calendar") from None
    _require_year(value.year)
    return text


def _instant(text: str) -> str:
    match = _INSTANT.fullmatch(text)
    if not match:
        raise _Unfit("written as YYYY-MM-DDTHH:MM:SSZ or with an offset")
    day, clock, fraction, zulu, sign, hours, minutes = match.groups()
    if not zulu and not sign:
        raise _Unfit("without a time zone")
    if fraction and fraction[6:].strip("0"):
        raise _Unfit("finer than a microsecond")
    offset = "+00:00" if zulu else f"{sign}{hours}:{minutes or '00'}"
    try:
        value = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Unfit("not in the calendar") from None
    _require_year(value.year)
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _require_year(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _Unfit(f"outside the years {FIRST_YEAR}..{LAST_YEAR}")
