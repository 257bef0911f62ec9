"""Spellings of column types: what a contract or a declaration writes, and the one name remint keeps."""

from __future__ import annotations

import re

from remint.model.dataset import COLUMN_TYPES

_ALIASES = {
    "STRING": "VARCHAR",
    "TEXT": "VARCHAR",
    "INT": "INTEGER",
    "LONG": "BIGINT",
    "TIMESTAMP": "TIMESTAMPTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "BOOL": "BOOLEAN",
}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_MAX_PRECISION = 38

KNOWN_TYPES = ", ".join((*COLUMN_TYPES, "DECIMAL(p,s)"))
"""The types as messages list them."""


def column_type(text: str) -> str | None:
    """Return the type that ``text`` names, in any case, as ``COLUMN_TYPES`` spells it; None for no such type."""
    upper = " ".join(text.upper().split())
    upper = _ALIASES.get(upper, upper)
    if upper in COLUMN_TYPES:
        return upper
    decimal = _DECIMAL.fullmatch(upper)
    if decimal is None:
        return None
    precision, scale = int(decimal[1]), int(decimal[2])
    return f"DECIMAL({precision},{scale})" if 1 <= precision <= _MAX_PRECISION and scale <= precision else None


def is_numeric(type_: str) -> bool:
    """True for types that numbers compare with."""
    return type_ in ("INTEGER", "BIGINT", "DOUBLE") or type_.startswith("DECIMAL")
