"""Which pieces of DuckDB's SQL mean the same on Spark, which must be spelled otherwise, and which are refused.

Rules: a piece stands in ``PLAIN``, or has a rule in ``RULES``; a rule returns what Spark must be told, or refuses. All
that is here was found by running both engines; the differences are listed in docs/engines.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from remint.checks.regex_rules import java_pattern
from remint.checks.spark_casts import cast, kind_of, refused, try_cast
from remint.checks.sql_tree import shown

Rule = Callable[[exp.Expr], exp.Expr]

_BIG: Final = "BIGINT"
_TRUNCATED = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"}
_FORMAT = re.compile(r"(?:%[YmdHMS]|[-:/ ._])*")
_EXTRACTED = {
    "YEAR": "YEAR",
    "QUARTER": "QUARTER",
    "MONTH": "MONTH",
    "WEEK": "WEEK",
    "DAY": "DAY",
    "DOY": "DOY",
    "HOUR": "HOUR",
    "MINUTE": "MINUTE",
    "ISODOW": "DAYOFWEEK_ISO",
}
_INTERVALS = {"YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"}
_ODD_CASE = (
    r"[\u00DF\u0130\u0149\u01F0\u0345\u0390\u03A3\u03B0\u03C2\u03C3\u0587\u1E96-\u1E9E\u1F50-\u1FFF\uFB00-\uFB17]"
)
"""Letters whose other case is several letters, depends on their place, or is not in every table."""
_NUMBERS = {"int", "double", "decimal"}
_PRINTED = {"text", "int", "decimal", "date", "bool"}


def _is_text(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _number(node: exp.Expr | None) -> int | None:
    return int(node.name) if isinstance(node, exp.Literal) and not node.is_string and node.name.isdecimal() else None


def _big(node: exp.Expr) -> exp.Expr:
    """Count in 64 bits, as DuckDB does, where Spark counts in 32."""
    return exp.cast(node.copy(), exp.DType.BIGINT, dialect="duckdb")


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[a.copy() for a in arguments])


def _raise(words: str) -> exp.Expr:
    return _call("RAISE_ERROR", exp.Literal.string(words))


def _quotient(node: exp.Expr) -> exp.Expr:
    """Divide as IEEE 754 says, where Spark stops at a zero."""
    divisor = node.expression
    inner = divisor.this if isinstance(divisor, exp.Cast) else divisor
    for side in (node.this, divisor):
        if isinstance(side, exp.Cast) and kind_of(side.this) not in {*_NUMBERS, "null"}:
            raise refused(node, f"what is divided is {_typed(side.this)}")
    if isinstance(inner, exp.Literal) and float(inner.name):
        return node
    if isinstance(inner, exp.Nullif) and _number(inner.expression) == 0:
        return node
    infinite = exp.cast(exp.Literal.string("Infinity"), exp.DType.DOUBLE)
    negative = exp.cast(exp.Literal.string("-Infinity"), exp.DType.DOUBLE)
    is_negative = exp.EQ(this=exp.cast(divisor.copy(), exp.DType.TEXT), expression=exp.Literal.string("-0.0"))
    sign = exp.If(this=is_negative, true=negative, false=infinite)
    zero = exp.EQ(this=divisor.copy(), expression=exp.Literal.number(0))
    times = exp.Mul(this=node.this.copy(), expression=exp.paren(sign) if kind_of(inner) == "double" else infinite)
    return exp.paren(exp.Case(ifs=[exp.If(this=zero, true=times)], default=node.copy()))


def _not_a_number(node: exp.Expr) -> exp.Expr:
    """Say nothing of NULL, where Spark says that it is a number."""
    known = exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null()))
    return exp.paren(exp.Case(ifs=[exp.If(this=known, true=node.copy())]))


def _whole_quotient(node: exp.Expr) -> exp.Expr:
    if kind_of(node.this) != "int" or kind_of(node.expression) != "int":
        raise refused(node, "// of what are no whole numbers is a fraction in DuckDB")
    return node


def _difference(node: exp.Expr) -> exp.Expr:
    left, right = kind_of(node.this), kind_of(node.expression)
    if left == right == "date":
        return _big(exp.DateDiff(this=node.this.copy(), expression=node.expression.copy()))
    return _sum(node)


def _sum(node: exp.Expr) -> exp.Expr:
    left, right = kind_of(node.this), kind_of(node.expression)
    if left in _NUMBERS and right in _NUMBERS:
        return node
    if left in ("date", "instant") and isinstance(node.expression, exp.Interval):
        return node
    if left == "date" and right == "int":
        return _call(
            "DATE_ADD",
            node.this,
            node.expression if isinstance(node, exp.Add) else exp.Neg(this=node.expression.copy()),
        )
    raise refused(node, f"its sides are {_typed(node.this)} and {_typed(node.expression)}")


def _typed(node: exp.Expr) -> str:
    return node.type.sql("duckdb") if node.type is not None else "of no known type"


def _compared(node: exp.Expr) -> exp.Expr:
    """Refuse to compare a text with what is none: either engine turns the one or the other into the other's type."""
    sides = [node.this, *(v for v in (node.args.get("expression"), node.args.get("low"), node.args.get("high")) if v)]
    sides += node.args.get("expressions") or []
    kinds = {kind_of(s) for s in sides if not _is_text(s)} - {"null"}
    if "text" in kinds and len(kinds) > 1:
        raise refused(node, "it compares a text with what is none; write the cast")
    for side in (s for s in sides if _is_text(s)):
        if kinds & {"date", "instant"}:
            to = exp.DType.DATE if "date" in kinds else exp.DType.TIMESTAMPTZ
            made = cast(exp.Cast(this=side.copy(), to=exp.DataType.build(to)))
            side.replace(made)
        elif kinds - {"text"}:
            raise refused(node, "it compares a text with what is none; write the cast")
    return node


def _like(node: exp.Expr) -> exp.Expr:
    if not _is_text(node.expression) or "\\" in node.expression.name:
        raise refused(node, "a backslash in a pattern escapes in Spark and not in DuckDB; the pattern must be seen")
    return node


def _regex(node: exp.Expr) -> exp.Expr:
    pattern = java_pattern(node.expression.name) if _is_text(node.expression) and not node.args.get("flag") else None
    if pattern is None:
        raise refused(node, "the pattern is not of the kind that means the same in RE2 and in Java")
    node.expression.replace(exp.Literal.string(pattern))
    return node


def _cased(node: exp.Expr) -> exp.Expr:
    """Change case where both engines know the same one; a text with any other letter stops the job."""
    if kind_of(node.this) != "text":
        raise refused(node, "only text has a case")
    odd = exp.RegexpLike(this=node.this.copy(), expression=exp.Literal.string(_ODD_CASE))
    stop = _raise("remint: lower and upper of a letter whose case DuckDB and Spark spell differently")
    return exp.paren(exp.Case(ifs=[exp.If(this=odd, true=stop)], default=node.copy()))


def _trimmed(node: exp.Expr) -> exp.Expr:
    """Cut every kind of space, as DuckDB does; Spark's own cuts the plain one alone."""
    if node.args.get("expression") is not None:
        raise refused(node, "only spaces are trimmed")
    where = {"LEADING": r"\A\p{Zs}+", "TRAILING": r"\p{Zs}+\z"}.get(
        str(node.args.get("position") or ""), r"\A\p{Zs}+|\p{Zs}+\z"
    )
    return _call("REGEXP_REPLACE", node.this, exp.Literal.string(where), exp.Literal.string(""))


def _substring(node: exp.Expr) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    if not _number(start) or (length is not None and _number(length) is None):
        raise refused(node, "a text is counted from 1, in numbers that are written out")
    return node


def _ends(node: exp.Expr) -> exp.Expr:
    if _number(node.expression) is None:
        raise refused(node, "the number of characters must be written out")
    node.type = exp.DataType.build(exp.DType.TEXT)
    return node


def _part(node: exp.Expr) -> exp.Expr:
    if (
        not _is_text(node.args.get("delimiter"))
        or not node.args["delimiter"].name
        or not _number(node.args.get("part_index"))
    ):
        raise refused(node, "the delimiter, and a place from 1, must be written out")
    return node


def _printed(node: exp.Expr) -> exp.Expr:
    """Join texts; what is no text is written alike by both engines, or refused."""
    for side in (node.this, node.expression):
        if kind_of(side) not in {*_PRINTED, "null"}:
            raise refused(node, f"{shown(side)} is {_typed(side)}, which the engines write in different ways")
    return node


def _concatenated(node: exp.Expr) -> exp.Expr:
    values = [exp.Coalesce(this=cast(_as_text(v)), expressions=[exp.Literal.string("")]) for v in node.expressions]
    made: exp.Expr = values[0]
    for value in values[1:]:
        made = exp.DPipe(this=made, expression=value, safe=True)
    return exp.paren(made)


def _as_text(value: exp.Expr) -> exp.Cast:
    return exp.Cast(this=value.copy(), to=exp.DataType.build(exp.DType.TEXT))


def _joined(node: exp.Expr) -> exp.Expr:
    first, *rest = node.expressions
    return _call("CONCAT_WS", first, *(cast(_as_text(v)) for v in rest))


def _truncated(node: exp.Expr) -> exp.Expr:
    unit = str(node.args["unit"].name).upper()
    if unit not in _TRUNCATED or kind_of(node.this) not in ("date", "instant"):
        raise refused(node, f"only dates and times are truncated, to {', '.join(sorted(_TRUNCATED)).lower()}")
    return _call("DATE_TRUNC", exp.Literal.string(unit), node.this)


def _formatted(node: exp.Expr) -> exp.Expr:
    # The format arrives in Python's spelling; a letter that is no part of it would be one of Java's.
    if not _is_text(node.args["format"]) or not _FORMAT.fullmatch(node.args["format"].name):
        raise refused(node, "the format may hold %Y %m %d %H %M %S, and signs")
    return node


def _extracted(node: exp.Expr) -> exp.Expr:
    return _field(node, str(node.this.name).upper(), node.expression)


def _field(node: exp.Expr, unit: str, value: exp.Expr) -> exp.Expr:
    if kind_of(value) not in ("date", "instant"):
        raise refused(node, f"{shown(value)} is {_typed(value)}")
    if unit in ("DOW", "DAYOFWEEK", "WEEKDAY"):  # Sunday is 0 in DuckDB and 1 in Spark
        return exp.paren(exp.Sub(this=_big(_call("DAYOFWEEK", value)), expression=exp.Literal.number(1)))
    if unit not in _EXTRACTED:
        raise refused(node, f"{unit.lower()} is not among {', '.join(sorted(_EXTRACTED)).lower()}, dow")
    return _big(exp.Extract(this=exp.var(_EXTRACTED[unit]), expression=value.copy()))


def _field_of(unit: str) -> Rule:
    return lambda node: _field(node, unit, node.this)


def _days_between(node: exp.Expr) -> exp.Expr:
    both = {kind_of(node.this), kind_of(node.expression)}
    unit = node.args.get("unit")
    if unit is None or str(unit.name).upper() != "DAY" or not both <= {"date", "instant"}:
        raise refused(node, "only days between dates are counted alike")
    return _big(exp.DateDiff(this=node.this.copy(), expression=node.expression.copy()))


def _in_zone(node: exp.Expr) -> exp.Expr:
    """Turn an instant into a zone's local time; the way back has two answers where clocks are turned."""
    if node.this.type is None or not node.this.type.is_type(exp.DType.TIMESTAMPTZ) or not _is_text(node.args["zone"]):
        raise refused(node, "only a TIMESTAMPTZ goes to a zone that is written out; a local time has two answers")
    return _call("FROM_UTC_TIMESTAMP", node.this, node.args["zone"])


def _interval(node: exp.Expr) -> exp.Expr:
    unit = str(node.args["unit"].name if node.args.get("unit") else "").upper().removesuffix("S")
    if unit not in _INTERVALS or not isinstance(node.this, exp.Literal) or not node.this.name.lstrip("-").isdecimal():
        raise refused(node, "an interval must be a whole number of one unit")
    return node


def _join(node: exp.Expr) -> exp.Expr:
    if node.args.get("method") or node.args.get("match_condition") or node.args.get("pivots"):
        raise refused(node, f"a {node.args.get('method') or ''} join")
    return node


def _set(node: exp.Expr) -> exp.Expr:
    if node.args.get("by_name") or node.args.get("on"):
        raise refused(node, "columns are matched by place alone")
    return node


def _limit(node: exp.Expr) -> exp.Expr:
    if node.parent is None or not node.parent.args.get("order"):
        raise refused(node, "without an order, which rows stay is left to chance")
    return node


def _window(node: exp.Expr) -> exp.Expr:
    spec, inner = node.args.get("spec"), node.this
    if isinstance(inner, exp.Filter):
        raise refused(node, "Spark has no FILTER in a window")
    if spec is not None and (str(spec.args.get("kind")).upper() not in ("ROWS", "RANGE") or spec.args.get("exclude")):
        raise refused(node, "a frame is of ROWS or of a RANGE")
    if isinstance(inner, exp.RowNumber | exp.Rank | exp.DenseRank | exp.Ntile | exp.Lag | exp.Lead):
        if not node.args.get("order"):
            raise refused(node, "without an order, the numbers are left to chance")
        return node if isinstance(inner, exp.Lag | exp.Lead) else _big(node)
    return node


def _rounded(node: exp.Expr) -> exp.Expr:
    if kind_of(node.this) not in ("int", "decimal") or (
        node.args.get("decimals") and _number(node.args["decimals"]) is None
    ):
        raise refused(node, "a DOUBLE is rounded at another digit; cast it to a DECIMAL that is wide enough")
    return node


def _stepped(node: exp.Expr) -> exp.Expr:
    if kind_of(node.this) not in ("int", "decimal"):
        raise refused(node, "Spark gives a whole number, which a large DOUBLE is not")
    return node


def _called(node: exp.Expr) -> exp.Expr:
    """Functions that sqlglot does not know, by name."""
    name, arguments = node.name.lower(), node.expressions
    if name == "date_part" and len(arguments) == 2 and _is_text(arguments[0]):
        return _field(node, arguments[0].name.upper(), arguments[1])
    if name == "epoch_us" and len(arguments) == 1 and kind_of(arguments[0]) == "instant":
        return _call("UNIX_MICROS", arguments[0])
    if name in _OURS:
        return node
    raise refused(node, f"the function {name} is not among those that are known to mean the same on Spark")


def _starred(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.parent, exp.Count):
        raise refused(node, "the columns behind a star must be known")
    return node


_OURS = {"date_trunc", "date_add", "raise_error", "regexp_replace", "concat_ws", "dayofweek", "unix_micros", "rint"}
"""Spark's functions, where a rule has put them."""

PLAIN: Final[frozenset[type[exp.Expr]]] = frozenset(
    [
        # what queries are made of
        exp.Select, exp.From, exp.Where, exp.Having, exp.Qualify, exp.With, exp.CTE, exp.Subquery, exp.Table,
        exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren,
        exp.Order, exp.Ordered, exp.Group, exp.Distinct, exp.WindowSpec, exp.Filter, exp.Exists, exp.Var,
        exp.DataType, exp.DataTypeParam,
        # logic
        exp.And, exp.Or, exp.Not, exp.Is, exp.Case, exp.If, exp.Coalesce, exp.Nullif,
        # numbers
        exp.Neg, exp.Mul, exp.Mod, exp.Abs, exp.Greatest, exp.Least,
        # aggregates and windows
        exp.Count, exp.CountIf, exp.Sum, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr, exp.RowNumber, exp.Rank,
        exp.DenseRank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue,
        # text
        exp.StartsWith, exp.EndsWith, exp.Contains, exp.Replace,
    ]
)  # fmt: skip

RULES: Final[dict[type[exp.Expr], Rule]] = {
    exp.Add: _sum,
    exp.Anonymous: _called,
    exp.AtTimeZone: _in_zone,
    exp.Between: _compared,
    exp.Cast: cast,
    exp.Ceil: _stepped,
    exp.Concat: _concatenated,
    exp.ConcatWs: _joined,
    exp.DPipe: _printed,
    exp.DateDiff: _days_between,
    exp.DateTrunc: _truncated,
    exp.Day: _field_of("DAY"),
    exp.DayOfMonth: _field_of("DAY"),
    exp.DayOfWeek: _field_of("DOW"),
    exp.DayOfWeekIso: _field_of("ISODOW"),
    exp.DayOfYear: _field_of("DOY"),
    exp.Div: _quotient,
    exp.EQ: _compared,
    exp.Except: _set,
    exp.Extract: _extracted,
    exp.Floor: _stepped,
    exp.GT: _compared,
    exp.GTE: _compared,
    exp.Hour: _field_of("HOUR"),
    exp.In: _compared,
    exp.IntDiv: _whole_quotient,
    exp.Intersect: _set,
    exp.Interval: _interval,
    exp.IsNan: _not_a_number,
    exp.Join: _join,
    exp.LT: _compared,
    exp.LTE: _compared,
    exp.Left: _ends,
    exp.Length: _big,
    exp.Like: _like,
    exp.Limit: _limit,
    exp.Lower: _cased,
    exp.Minute: _field_of("MINUTE"),
    exp.Month: _field_of("MONTH"),
    exp.NEQ: _compared,
    exp.NullSafeEQ: _compared,
    exp.NullSafeNEQ: _compared,
    exp.Quarter: _field_of("QUARTER"),
    exp.RegexpLike: _regex,
    exp.Right: _ends,
    exp.Round: _rounded,
    exp.SplitPart: _part,
    exp.Star: _starred,
    exp.Sub: _difference,
    exp.Substring: _substring,
    exp.TimeToStr: _formatted,
    exp.TimestampTrunc: _truncated,
    exp.Trim: _trimmed,
    exp.TryCast: try_cast,
    exp.Union: _set,
    exp.Upper: _cased,
    exp.WeekOfYear: _field_of("WEEK"),
    exp.Week: _field_of("WEEK"),
    exp.Window: _window,
    exp.Year: _field_of("YEAR"),
}
