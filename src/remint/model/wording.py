"""Numbers with their nouns, and what many texts say alike, for every text that a person reads."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return ``1 partition`` or ``1,234 partitions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moved_on(moved: Sequence[str]) -> str:
    """Return why a run cannot go on: how much of what it needs has moved, and the first of it."""
    others = f" (and {len(moved) - 1:,} more)" if len(moved) > 1 else ""
    return f"what it reads or replaces moved since it was planned: {moved[0]}{others}"
