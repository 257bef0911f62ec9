"""Casts whose result is the same in DuckDB and in Spark, spelled for Spark; the others are refused.

Rules: DuckDB rounds where Spark cuts off, and both read more spellings of a text than the one that is meant: so a text
is read where it is spelled plainly, and stops the job where it is not and might still be read.
"""

from __future__ import annotations

import re

from sqlglot import exp

from remint.checks.sql_tree import shown
from remint.errors import NotOnSpark

_KINDS: dict[exp.DType, str] = {
    **dict.fromkeys((exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.INT128), "int"),
    exp.DType.DOUBLE: "double",
    exp.DType.DECIMAL: "decimal",
    exp.DType.TEXT: "text",
    exp.DType.VARCHAR: "text",
    exp.DType.BOOLEAN: "bool",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPTZ: "instant",
    exp.DType.TIMESTAMP: "instant",
    exp.DType.TIMESTAMPNTZ: "instant",
    exp.DType.NULL: "null",
}
_DAY = re.compile(r"[12]\d{3}-\d{2}-\d{2}")
_INSTANT = re.compile(r"[12]\d{3}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?")
_SAME_TEXT = ("text", "int", "decimal", "date", "bool", "null")


def refused(piece: exp.Expr | str, why: str) -> NotOnSpark:
    """Return the error for a piece of SQL that Spark would compute otherwise."""
    text = " ".join(piece.split()) if isinstance(piece, str) else shown(piece)
    return NotOnSpark(
        f"Spark is not given {text!r}: {why}",
        hint='write it otherwise, or engine="duckdb" in the dataset\'s declaration and no --engine',
    )


def kind_of(node: exp.Expr) -> str:
    """Return what kind of value a piece of SQL gives; empty where that is not known."""
    if isinstance(node, exp.Null):
        return "null"
    return _KINDS.get(node.type.this, "") if node.type is not None else ""


def cast(node: exp.Expr) -> exp.Expr:
    """Return the cast as Spark must be told it."""
    return _cast(node, is_trying=False)


def try_cast(node: exp.Expr) -> exp.Expr:
    """Return the same of one that gives NULL where it fails."""
    return _cast(node, is_trying=True)


def _cast(node: exp.Expr, *, is_trying: bool) -> exp.Expr:
    to = node.args["to"]
    value, kind, wanted = node.this, kind_of(node.this), _KINDS.get(to.this, "")
    if not wanted or not kind:
        raise refused(node, f"what is cast is {value.type or 'of no known type'}")
    if wanted == "instant":  # whatever the zone: every session is in UTC
        to = exp.DataType.build(exp.DType.TIMESTAMPTZ)
    if isinstance(value, exp.Literal) and value.is_string:
        return _literal(node, to, wanted)
    if kind == "text" and wanted not in ("text",):
        return _read(node, to, wanted, is_trying=is_trying)
    if wanted == "text" and kind not in _SAME_TEXT:
        raise refused(node, f"the engines write {value.type} in different ways")
    if (kind, wanted) == ("double", "decimal"):
        raise refused(node, "a DOUBLE is rounded at another digit")
    if wanted == "int" and kind == "double":
        value = exp.Anonymous(this="RINT", expressions=[value.copy()])
    elif wanted == "int" and kind == "decimal":
        value = exp.Round(this=value.copy(), decimals=exp.Literal.number(0))
    elif wanted in ("int", "double", "decimal", "bool") and kind in ("date", "instant"):
        raise refused(node, "a time is no number")
    elif wanted in ("date", "instant") and kind not in ("date", "instant", "null"):
        raise refused(node, "a number is no time")
    return _made(value, to, is_trying=is_trying)


def _made(value: exp.Expr, to: exp.DataType, *, is_trying: bool) -> exp.Expr:
    given = {"this": value.copy(), "to": to.copy()}
    made = exp.TryCast(**given, safe=True) if is_trying else exp.Cast(**given)
    made.type = to
    return made


def _literal(node: exp.Expr, to: exp.DataType, wanted: str) -> exp.Expr:
    text = node.this.name
    fits = {
        "text": True,
        "date": _DAY.fullmatch(text),
        "instant": _INSTANT.fullmatch(text),
        "int": re.fullmatch(r"-?\d{1,18}", text),
        "bool": text in ("true", "false"),
        "double": re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?|-?Infinity|NaN", text),
        "decimal": re.fullmatch(r"-?\d{1,18}(\.\d+)?", text),
    }[wanted]
    if not fits:
        raise refused(node, "the text is not spelled plainly")
    return _made(node.this, to, is_trying=False)


def _read(node: exp.Expr, to: exp.DataType, wanted: str, *, is_trying: bool) -> exp.Expr:
    """Read a text where it is spelled plainly; where both engines say no, so; else the job stops."""
    value = node.this
    plain, doubtful = {
        "int": (r"\A-?[0-9]{1,19}\z", r"[0-9]"),
        "date": (r"\A[12][0-9]{3}-[0-9]{2}-[0-9]{2}\z", r"[0-9]|(?i:epoch|inf|now|today|tomorrow|yesterday)"),
    }.get(wanted, ("", ""))
    if not plain:
        raise refused(
            node,
            f"the engines read other spellings of {to.sql('duckdb')}; declare json_payload fields",
        )
    kept = _made(value, to, is_trying=is_trying)

    def like(pattern: str) -> exp.Expr:
        return exp.RegexpLike(this=value.copy(), expression=exp.Literal.string(pattern))

    words = f"remint: a text to be read as {to.sql('duckdb')} that DuckDB and Spark may read differently"
    stop = exp.Anonymous(this="RAISE_ERROR", expressions=[exp.Literal.string(words)])
    made = exp.Case(
        ifs=[exp.If(this=like(plain), true=kept), exp.If(this=like(doubtful), true=stop)], default=kept.copy()
    )
    typed = exp.paren(made)
    typed.type = to
    return typed
