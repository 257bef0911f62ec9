r"""The portable row hash: 64 bits of MD5 over canonical text, the same in every engine.

The text: values in column order with ``|`` between them and ``~`` for NULL; ``\``, ``|`` and ``~`` in a text are
written ``\\``, ``\p`` and ``\n``. Whole numbers and decimals in digits, booleans 1 and 0, dates in days and
instants in microseconds since 1970 UTC. A DOUBLE is twelve significant digits, ``e`` and their exponent.

Rules: a double is rounded by IEEE operations alone, because engines print doubles in different ways.
"""

from __future__ import annotations

PORTABLE_SCHEME = "md5-canon-2"
"""About ten times the cost of an engine's own hash."""


def double_text(value: str, text_type: str) -> str:
    """Return the SQL, the same for every engine, of a double as canonical text; NULL stays NULL.

    Args:
        value: SQL of a DOUBLE.
        text_type: as the engine calls text.
    """
    size = f"abs({value})"
    guess = f"CAST(floor(log10({size})) AS INTEGER)"

    def scaled(exponent: str) -> str:
        return f"{size} * CAST(('1e' || CAST(11 - {exponent} AS {text_type})) AS DOUBLE)"

    # A logarithm may be off by one next to a power of ten; the scaled number then has a digit too many, or too few.
    off = f"CASE WHEN {scaled(guess)} >= 1e12 THEN 1 WHEN {scaled(guess)} < 1e11 THEN -1 ELSE 0 END"
    exponent = f"({guess} + {off})"
    digits = f"CAST(floor({scaled(exponent)} + 5e-1) AS BIGINT)"
    sign = f"CASE WHEN {value} < 0 THEN '-' ELSE '' END"
    spelled = (
        f"CASE WHEN {digits} = 1000000000000 THEN '100000000000e' || CAST({exponent} - 10 AS {text_type}) "
        f"ELSE CAST({digits} AS {text_type}) || 'e' || CAST({exponent} - 11 AS {text_type}) END"
    )
    return (
        f"CASE WHEN isnan({value}) THEN 'nan' WHEN {size} < 1e-290 THEN '0' "
        f"WHEN {size} = CAST('Infinity' AS DOUBLE) THEN {sign} || 'inf' "
        f"WHEN {value} IS NOT NULL THEN {sign} || {spelled} END"
    )
