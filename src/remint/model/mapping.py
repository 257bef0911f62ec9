"""Which upstream keys a unit reads, and the inverse.

Rules: ``upstream`` and ``downstream`` are inverse of each other (``u in upstream({d})`` iff ``d in downstream({u})``);
both are set to set, so a million keys cost what their gaps cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from remint.model.partition import Grain, PartitionSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """A unit reads the upstream partition of its own key."""

    kind: Literal["same"] = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByArrival:
    """A unit reads the Bronze rows whose event falls in its key, in whichever ingestion partition they arrived."""

    kind: Literal["by_arrival"] = "by_arrival"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailing:
    """A unit reads its own key and the ``before`` keys ahead of it."""

    before: int
    """Earlier partitions that are read beside the unit's own; at least 1."""
    kind: Literal["trailing"] = "trailing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUp:
    """A unit of a coarser grain reads every finer upstream partition inside it."""

    kind: Literal["roll_up"] = "roll_up"


Mapping = Same | ByArrival | Trailing | RollUp


def upstream(mapping: Mapping, keys: PartitionSet, grain: Grain) -> PartitionSet:
    """Return the upstream keys, of ``grain``, that the units ``keys`` read."""
    match mapping:
        case Same() | ByArrival():
            return keys
        case Trailing(before=before):
            return keys.widened(before=before)
        case RollUp():
            return keys.to_grain(grain)
        case _:
            assert_never(mapping)


def downstream(mapping: Mapping, keys: PartitionSet, grain: Grain) -> PartitionSet:
    """Return the units, of ``grain``, that read any of the upstream ``keys``."""
    match mapping:
        case Same() | ByArrival():
            return keys
        case Trailing(before=before):
            return keys.widened(after=before)
        case RollUp():
            return keys.to_grain(grain)
        case _:
            assert_never(mapping)


def domain(mapping: Mapping, keys: PartitionSet, grain: Grain) -> PartitionSet:
    """Return the units, of ``grain``, that exist because the upstream ``keys`` do.

    A trailing window reads earlier keys but does not by itself make later ones exist.
    """
    return keys.to_grain(grain) if isinstance(mapping, RollUp) else keys


def describe(mapping: Mapping) -> str:
    """Return the mapping in words, as ``show`` prints it."""
    match mapping:
        case Same():
            return "same partition"
        case ByArrival():
            return "by arrival"
        case Trailing(before=before):
            return f"own partition and the {before} before it"
        case RollUp():
            return "roll-up"
        case _:
            assert_never(mapping)
