"""A contract's quality rules as checks: the library metrics and SQL aggregates of ODCS.

Source: ODCS 3.1, data quality: metrics nullValues, missingValues, invalidValues, duplicateValues, rowCount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remint.checks.aggregate import check_aggregate
from remint.checks.column_rules import not_in, not_matching, violations
from remint.checks.place import Place
from remint.checks.sql_tree import identifier, string
from remint.errors import ProjectError
from remint.model.dataset import Check, Column, Severity

_SEVERITIES = {"error": Severity.BLOCK, "warning": Severity.WARN, "info": Severity.WARN}
_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "BETWEEN",
    "mustNotBeBetween": "NOT BETWEEN",
}
_ARGUMENTS = {"missingValues": {"missingValues"}, "invalidValues": {"validValues", "pattern"}}
_UNITS = ("rows", "percent")
_FORM = "type: sql, query: count(*) FILTER (WHERE amount < 0), mustBe: 0"


def quality_check(
    rule: Mapping[str, Any], column: Column | None, columns: Sequence[Column], place: Place
) -> Check | None:
    """Return the check that a quality rule asks for; None when it is refused.

    Args:
        rule: valid against the ODCS schema.
        column: on which the rule stands; None for a rule on the table.
        columns: of the table.
        place: of the rule; takes what cannot be checked.
    """
    kind = rule.get("type", "library")
    refused = len(place.mistakes)
    severity = _severity(rule, place)
    if kind == "sql":
        value, words, counts = _sql_value(rule, columns, place), str(rule.get("query", "")).strip(), False
    elif kind == "library" and "metric" in rule:
        value, words = _metric_value(rule, column, columns, place)
        counts = rule["metric"] != "rowCount"
    else:
        place.refuse(f"a quality rule of type {kind} would never be checked", f"say it in SQL: {_FORM}")
        return None
    unit = rule.get("unit", "rows")
    if unit not in _UNITS:
        place.at("unit").refuse(f"unit {unit!r} is none of {', '.join(_UNITS)}")
    if unit == "percent":
        value, counts = f"100.0 * ({value}) / greatest(count(*), 1)", False
    condition = _condition(rule, place)
    if condition is None or len(place.mistakes) > refused:
        return None
    operator, operand, shown = condition
    return Check(
        name=str(rule.get("name") or f"{words} {shown}" + (" percent" if unit == "percent" else "")),
        sql=_violation(value, operator, operand, counts=counts),
        severity=severity,
        fails_empty=rule.get("metric") == "rowCount" and unit == "rows" and not _holds(0, operator, rule),
    )


def _severity(rule: Mapping[str, Any], place: Place) -> Severity:
    written = rule.get("severity", "error")
    if written not in _SEVERITIES:
        place.at("severity").refuse(f"severity {written!r} is none of {', '.join(_SEVERITIES)}")
    return _SEVERITIES.get(written, Severity.BLOCK)


def _sql_value(rule: Mapping[str, Any], columns: Sequence[Column], place: Place) -> str:
    try:
        return f"({check_aggregate(str(rule['query']), [c.name for c in columns])})"
    except ProjectError as error:
        place.at("query").refuse(error.message, error.hint or f"write only the aggregate: {_FORM}")
        return "NULL"


def _metric_value(
    rule: Mapping[str, Any], column: Column | None, columns: Sequence[Column], place: Place
) -> tuple[str, str]:
    """Return the metric as an aggregate, and in words."""
    metric: str = rule["metric"]
    arguments: Mapping[str, Any] = rule.get("arguments") or {}
    allowed = {"properties"} if metric == "duplicateValues" and column is None else _ARGUMENTS.get(metric, set())
    for name in sorted(set(arguments) - allowed):
        place.at("arguments", name).refuse(f"{metric} has no argument {name!r}; it would never be checked")
    if metric == "rowCount":
        return "count(*)", "row count"
    if metric == "duplicateValues" and column is None:
        return _duplicates(arguments.get("properties") or [], columns, place)
    if column is None:
        place.refuse(f"{metric} stands on a column, not on the table")
        return "NULL", metric
    name = identifier(column.name)
    match metric:
        case "nullValues":
            return violations(f"{name} IS NULL"), f"null values of {column.name}"
        case "duplicateValues":
            return f"count({name}) - count(DISTINCT {name})", f"duplicate values of {column.name}"
        case "missingValues":
            return violations(_missing(column, arguments, place)), f"missing values of {column.name}"
        case _:
            return violations(_invalid(column, arguments, place)), f"invalid values of {column.name}"


def _missing(column: Column, arguments: Mapping[str, Any], place: Place) -> str:
    listed = arguments.get("missingValues")
    here = place.at("arguments", "missingValues")
    if not isinstance(listed, list) or not listed:
        here.refuse(
            "missingValues needs the values that count as missing", 'arguments: {missingValues: [null, "", "N/A"]}'
        )
        return "FALSE"
    name = identifier(column.name)
    texts = [value for value in listed if value is not None]
    parts = [f"{name} IS NULL"] if None in listed else []
    if texts:
        parts.append(f"NOT ({not_in(column, texts, here)})")
    return " OR ".join(parts)


def _invalid(column: Column, arguments: Mapping[str, Any], place: Place) -> str:
    parts = []
    if "validValues" in arguments:
        here = place.at("arguments", "validValues")
        values = arguments["validValues"]
        if not isinstance(values, list) or not values:
            here.refuse(f"{column.name}: validValues lists no values")
            values = []
        parts.append(not_in(column, values, here))
    if "pattern" in arguments:
        parts.append(not_matching(column, arguments["pattern"], place.at("arguments", "pattern")))
    if not parts:
        place.refuse("invalidValues needs validValues or a pattern", "arguments: {validValues: [...]}")
    return " OR ".join(parts) or "FALSE"


def _duplicates(names: Sequence[Any], columns: Sequence[Column], place: Place) -> tuple[str, str]:
    known = [c.name for c in columns]
    for name in names:
        if name not in known:
            place.at("arguments", "properties").refuse(f"the contract has no column {name!r}")
    if not names:
        place.refuse("duplicateValues on the table needs its columns", "arguments: {properties: [order_id, line]}")
        return "NULL", "duplicates"
    shown = ", ".join(identifier(str(n)) for n in names)
    return f"count(*) - count(DISTINCT row({shown}))", f"duplicates of {', '.join(map(str, names))}"


def _condition(rule: Mapping[str, Any], place: Place) -> tuple[str, str, str] | None:
    """Return the operator, its operand as SQL, and both in words; None when refused."""
    written = [name for name in _OPERATORS if name in rule]
    if len(written) != 1:
        place.refuse("a quality rule needs one comparison", "mustBe: 0; or one of " + ", ".join(list(_OPERATORS)[1:]))
        return None
    name = written[0]
    operands = rule[name] if isinstance(rule[name], list) else [rule[name]]
    texts = [string(o) if isinstance(o, str) else repr(o) for o in operands]
    if any(isinstance(o, bool) or not isinstance(o, int | float) for o in operands) or (
        len(operands) != (2 if "Between" in name else 1)
    ):
        place.at(name).refuse(
            f"{name} is {rule[name]!r}; it must be a number" + (" twice" if "Between" in name else "")
        )
        return None
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return _OPERATORS[name], " AND ".join(texts), f"{words} {' and '.join(texts)}"


def _violation(value: str, operator: str, operand: str, *, counts: bool) -> str:
    """Return the aggregate that is 0 where the comparison holds, else how many rows break it (1 where unknown)."""
    if counts and operator == "=" and operand == "0":
        return value
    broken = f"greatest({value}, 1)" if counts else "1"
    return f"CASE WHEN {value} {operator} {operand} THEN 0 ELSE {broken} END"


def _holds(value: float, operator: str, rule: Mapping[str, Any]) -> bool:
    """True when ``value`` meets the comparison that ``rule`` writes."""
    name = next(n for n, o in _OPERATORS.items() if o == operator)
    given = rule[name]
    low, high = map(float, given if isinstance(given, list) else (given, given))
    return {
        "=": value == low,
        "<>": value != low,
        ">": value > low,
        ">=": value >= low,
        "<": value < low,
        "<=": value <= low,
        "BETWEEN": low <= value <= high,
        "NOT BETWEEN": not low <= value <= high,
    }[operator]
