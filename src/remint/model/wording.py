"""Numbers with their nouns, for every text that a person reads."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return ``1 partition`` or ``1,234 partitions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
