"""Compiles a contract (Open Data Contract Standard) to columns, key and checks.

Rules: every rule that the contract states becomes a check or is refused with its line; none is passed silently.
The uniqueness of the primary key is no check here: the engine holds it, from ``Dataset.key``.

Source: ODCS 3.1 and 3.2, sections schema and data quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from remint.checks.column_rules import column_checks
from remint.checks.column_types import KNOWN_TYPES, column_type
from remint.checks.contract import Contract
from remint.checks.place import Place
from remint.checks.quality import quality_check
from remint.model.dataset import Check, Column

_FORBIDDEN_IN_NAMES = frozenset(' ,;{}()\n\t="')  # Delta Lake without column mapping refuses most of them too


def compile_contract(data: Mapping[str, Any], place: Place) -> Contract | None:
    """Return what the contract promises; None when ``place`` took mistakes.

    Args:
        data: the contract, valid against the ODCS JSON schema.
        place: the file.
    """
    tables = data.get("schema") or []
    if len(tables) != 1:
        place.at("schema").refuse(f"the contract describes {len(tables)} tables; it must describe one")
        return None
    table, here = tables[0], place.at("schema", 0)
    properties: Sequence[Mapping[str, Any]] = table.get("properties") or []
    if not properties:
        here.refuse("the contract lists no columns", "properties: [{name: ..., physicalType: ...}]")
    columns = [_column(entry, here.at("properties", i)) for i, entry in enumerate(properties)]
    _refuse_namesakes(columns, here)
    checks: list[Check | None] = []
    for position, (column, entry) in enumerate(zip(columns, properties, strict=True)):
        there = here.at("properties", position)
        checks += column_checks(column, entry, there)
        for number, rule in enumerate(entry.get("quality") or []):
            checks.append(quality_check(rule, column, columns, there.at("quality", number)))
    for number, rule in enumerate(table.get("quality") or []):
        checks.append(quality_check(rule, None, columns, here.at("quality", number)))
    if place.mistakes:
        return None
    return Contract(
        columns=tuple(columns),
        key=_key(properties),
        checks=_distinct([c for c in checks if c is not None]),
        owner=_owner(data),
        warnings=_unheld(table, properties, here),
    )


def _column(entry: Mapping[str, Any], place: Place) -> Column:
    name: str = entry["name"]
    if not name or _FORBIDDEN_IN_NAMES & set(name) or not name.isprintable():
        place.at("name").refuse(f"column name {name!r} holds a character that tables cannot have")
    if entry.get("properties") or entry.get("items"):
        place.refuse(f"{name}: nested columns are not supported", "one column a field; json_payload parses payloads")
    written = entry.get("physicalType")
    known = column_type(written) if isinstance(written, str) else None
    if written is None:
        place.refuse(f"{name} has no physicalType", f"one of {KNOWN_TYPES}")
    elif known is None:
        place.at("physicalType").refuse(f"{name}: physicalType {written!r} is none of {KNOWN_TYPES}")
    required = bool(entry.get("required") or entry.get("primaryKey"))
    return Column(name=name, type=known or "VARCHAR", required=required)


def _refuse_namesakes(columns: Sequence[Column], place: Place) -> None:
    seen: dict[str, str] = {}
    for position, column in enumerate(columns):
        first = seen.get(column.name.casefold())
        if first is not None:
            place.at("properties", position, "name").refuse(
                f"column {column.name!r}: there is {first!r} already, and names that differ only in case are one"
            )
        seen.setdefault(column.name.casefold(), column.name)


def _key(properties: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    members = [(p.get("primaryKeyPosition", -1), i, p["name"]) for i, p in enumerate(properties) if p.get("primaryKey")]
    return tuple(name for _, _, name in sorted(members))


def _owner(data: Mapping[str, Any]) -> str:
    """Return the team's name, or its members where it has none: the standard knows a team, and a list of people."""
    team = data.get("team") or {}
    named = team.get("name") if isinstance(team, Mapping) else None
    members = team.get("members") or [] if isinstance(team, Mapping) else team
    return str(named or ", ".join(str(m["username"]) for m in members if m.get("username")))


def _distinct(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return the checks under names of their own: violations are reported by name."""
    found: dict[str, Check] = {}
    for check in checks:
        name, number = check.name, 1
        while name in found and found[name].sql != check.sql:
            number += 1
            name = f"{check.name} ({number})"
        found.setdefault(name, replace(check, name=name))
    return tuple(found.values())


def _unheld(table: Mapping[str, Any], properties: Sequence[Mapping[str, Any]], place: Place) -> tuple[str, ...]:
    entries = [(table, place), *((p, place.at("properties", i)) for i, p in enumerate(properties))]
    return tuple(
        f"{there.at('relationships')}: relationships are documentation; remint does not check them"
        for entry, there in entries
        if entry.get("relationships")
    )
