"""What a contract says of one column, apart from its quality list, as checks: required, unique, options, enum."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from remint.checks.column_types import is_numeric
from remint.checks.place import Place
from remint.checks.sql_tree import identifier, string
from remint.model.dataset import Check, Column

_BOUNDS = {
    "minimum": (">=", "at least"),
    "exclusiveMinimum": (">", "more than"),
    "maximum": ("<=", "at most"),
    "exclusiveMaximum": ("<", "less than"),
}
_LENGTHS = {"minLength": (">=", "at least"), "maxLength": ("<=", "at most")}
# RE2, which engines use, has neither look-around nor back references.
_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")


def column_checks(column: Column, entry: Mapping[str, Any], place: Place) -> list[Check]:
    """Return the checks that a property of the contract asks for.

    Args:
        column: the column as declared.
        entry: the property, valid against the ODCS schema.
        place: of the property; takes what cannot be checked.
    """
    name = identifier(column.name)
    checks: list[Check] = []
    if column.required:
        checks.append(Check(name=f"{column.name} is not null", sql=violations(f"{name} IS NULL")))
    if entry.get("unique"):
        checks.append(Check(name=f"{column.name} is unique", sql=f"count({name}) - count(DISTINCT {name})"))
    if allowed := entry.get("enum"):
        outside = not_in(column, [value.get("value") for value in allowed], place.at("enum"))
        checks.append(Check(name=f"{column.name} is one of its enum", sql=violations(outside)))
    options = entry.get("logicalTypeOptions") or {}
    here = place.at("logicalTypeOptions")
    checks += _bounds(column, options, here)
    checks += _texts(column, options, here)
    for option in sorted(set(options) - {*_BOUNDS, *_LENGTHS, "pattern"}):
        if not (option == "format" and column.type in ("DATE", "TIMESTAMPTZ")):  # how a date is shown; nothing to check
            here.at(option).refuse(f"{column.name}: the option {option} would never be checked", "remove it")
    return checks


def violations(condition: str) -> str:
    """Return the aggregate that counts the rows for which ``condition`` is true."""
    return f"count(*) FILTER (WHERE {condition})"


def not_in(column: Column, values: Sequence[Any], place: Place) -> str:
    """Return the condition that ``column`` is given and is none of ``values``."""
    shown = [sql_value(value, column, place) for value in values]
    return f"{identifier(column.name)} NOT IN ({', '.join(shown)})" if shown else "FALSE"


def not_matching(column: Column, pattern: Any, place: Place) -> str:
    """Return the condition that the text in ``column`` is given and ``pattern`` is nowhere in it."""
    if not isinstance(pattern, str):
        place.refuse(f"{column.name}: the pattern is {pattern!r}; it must be text", "quote it")
        return "FALSE"
    if column.type != "VARCHAR":
        place.refuse(f"{column.name}: a pattern needs a VARCHAR column; this one is {column.type}")
    try:
        re.compile(pattern)
    except re.error as error:
        place.refuse(f"{column.name}: the pattern {pattern!r} is no regular expression: {error}")
    if _NOT_RE2.search(pattern):
        place.refuse(f"{column.name}: the pattern {pattern!r} has look-around or back references, which RE2 has not")
    return f"NOT regexp_matches({identifier(column.name)}, {string(pattern)})"


def sql_value(value: Any, column: Column, place: Place) -> str:
    """Return ``value`` as a SQL literal of the column's type; one of another type is refused."""
    if isinstance(value, bool):
        fits, literal = column.type == "BOOLEAN", str(value).upper()
    elif isinstance(value, int | float):
        fits, literal = is_numeric(column.type), repr(value)
    elif isinstance(value, str):
        return _text_value(value, column, place)
    else:
        fits, literal = False, "NULL"
    if not fits:
        hint = f'write it as text: "{value}"' if column.type == "VARCHAR" else None
        place.refuse(f"{column.name} is {column.type}; it cannot be compared with {value!r}", hint)
    return literal


def _text_value(value: str, column: Column, place: Place) -> str:
    try:
        if column.type == "VARCHAR":
            return string(value)
        if column.type == "DATE":
            return f"DATE {string(date.fromisoformat(value).isoformat())}"
        if column.type == "TIMESTAMPTZ":
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("a moment needs its offset, as in 2026-10-14T00:00:00Z")
            return f"TIMESTAMPTZ {string(moment.isoformat())}"
        raise ValueError("not a text column")
    except ValueError as error:
        place.refuse(f"{column.name} is {column.type}; it cannot be compared with {value!r}: {error}")
        return "NULL"


def _bounds(column: Column, options: Mapping[str, Any], place: Place) -> list[Check]:
    name = identifier(column.name)
    checks = []
    for option in (o for o in _BOUNDS if o in options):
        operator, words = _BOUNDS[option]
        here = place.at(option)
        if column.type in ("VARCHAR", "BOOLEAN"):
            here.refuse(f"{column.name}: {option} needs a number or a date; the column is {column.type}")
            continue
        broken = f"NOT ({name} {operator} {sql_value(options[option], column, here)})"
        if column.type == "DOUBLE" and operator.startswith(">"):
            broken += f" OR isnan({name})"  # NaN sorts above every number, so a minimum alone would let it pass
        checks.append(Check(name=f"{column.name} is {words} {options[option]}", sql=violations(broken)))
    return checks


def _texts(column: Column, options: Mapping[str, Any], place: Place) -> list[Check]:
    name = identifier(column.name)
    checks = []
    for option in (o for o in _LENGTHS if o in options):
        operator, words = _LENGTHS[option]
        if column.type != "VARCHAR":
            place.at(option).refuse(f"{column.name}: {option} needs a VARCHAR column; this one is {column.type}")
        limit = options[option]
        checks.append(
            Check(
                name=f"{column.name} has {words} {limit} characters",
                sql=violations(f"NOT (length({name}) {operator} {limit})"),
            )
        )
    if "pattern" in options:
        broken = not_matching(column, options["pattern"], place.at("pattern"))
        checks.append(Check(name=f"{column.name} matches {options['pattern']}", sql=violations(broken)))
    return checks
