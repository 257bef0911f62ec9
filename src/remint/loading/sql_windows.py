"""How far in time a transform reads around the partition that it makes, as far as its SQL proves it.

Rules: a reach is the least that is certain. What cannot be proven is left out, so a mapping that is narrower than a
reach found here is wrong; one that is not narrower may be wrong all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from remint.checks.sql_tree import as_sql, line_of
from remint.loading.sql_reach import Proof, TimeColumn, proofs
from remint.loading.sql_rules import Problem, Relations, parse_transform
from remint.loading.sql_scopes import CannotTell
from remint.loading.sql_source import TimeGrain
from remint.loading.sql_time import DAY, HOUR, WEEK, Span, coarser, least_inside, partitions

_LONGEST = {"hour": HOUR, "day": DAY, "week": WEEK, "month": 31 * DAY}
_SHORTEST = {**_LONGEST, "month": 28 * DAY}

Declared = tuple[int | None, int | None, TimeGrain]
"""A declared mapping: partitions before and after the unit's own span (None: all of them), and their grain."""


class ReachKind(StrEnum):
    """How a reach is written in the SQL."""

    DISTANCE = "distance"
    """A distance in time is written down: ``RANGE INTERVAL 27 DAYS PRECEDING``, ``b.day >= a.day - 27``."""
    ROWS = "rows"
    """A number of rows: ``lag(x, 7)``, ``ROWS 6 PRECEDING``; where days are missing it reaches further."""
    UNBOUNDED = "unbounded"
    """No bound is written: every earlier, or later, row counts, unless its keys never span partitions."""
    ROLL_UP = "roll-up"
    """Times are truncated to a coarser grain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one part of a transform's SQL proves about the partitions of one input that a unit reads."""

    before: int | None
    """Partitions of the input before the unit's own span; None: all earlier ones."""
    after: int | None
    """Partitions of the input after the unit's own span; None: all later ones."""
    grain: TimeGrain
    """Of the partitions that are counted."""
    kind: ReachKind
    rolls_up_to: TimeGrain | None = None
    """The unit's own span, where it holds many partitions of the input."""
    sql: str
    """The part of the SQL that proves it."""
    line: int
    """Of ``sql``, in the transform's text."""


def reaches(
    sql: str, relations: Relations, output: TimeColumn, inputs: Mapping[str, TimeColumn]
) -> Mapping[str, tuple[Reach, ...]]:
    """Return what ``sql`` proves about each input, the widest reach first; nothing for the others.

    Args:
        sql: one SELECT.
        relations: columns of all that it may read, by alias.
        output: the partition column that it makes, with the grain of the units.
        inputs: by alias the column whose time decides in which partition a row lies: the partition column, or the
            event column where Bronze is read by arrival. Inputs without one are left out.
    """
    query = parse_transform(sql)
    if isinstance(query, Problem):
        return {}
    try:
        found = [(proof, _reach(proof, output)) for proof in proofs(query, relations, output, inputs)]
    except (CannotTell, RecursionError):
        return {}
    by_alias: dict[str, dict[Reach, None]] = {}
    for proof, reach in found:
        if reach is not None:
            by_alias.setdefault(proof.alias, {})[reach] = None
    return {alias: tuple(sorted(listed, key=_width, reverse=True)) for alias, listed in sorted(by_alias.items())}


def describe(reach: Reach) -> str:
    """Return the reach in words: ``at least the 27 days before its own``."""
    at_least = "at least " if reach.kind is ReachKind.ROWS else ""
    sides = [_side(reach.before, "before", "earlier", reach.grain), _side(reach.after, "after", "later", reach.grain)]
    said = [at_least + side for side in sides if side]
    if reach.rolls_up_to is not None:
        said.insert(0, f"every {reach.grain} of its {reach.rolls_up_to}")
    return " and ".join(said)


def narrower(declared: Declared, reach: Reach) -> bool:
    """True when a declared mapping certainly leaves out a partition that the SQL reads."""
    before, after, grain = declared
    return _is_short(before, grain, reach.before, reach.grain) or _is_short(after, grain, reach.after, reach.grain)


def _is_short(declared: int | None, grain: TimeGrain, needed: int | None, counted: TimeGrain) -> bool:
    if declared is None or needed == 0:
        return False
    if needed is None:
        return True
    if grain == counted:
        return declared < needed
    return declared * _LONGEST[grain] < needed * _SHORTEST[counted]


def _side(count: int | None, where: str, all_of: str, grain: TimeGrain) -> str:
    if count is None:
        return f"every {all_of} {grain}"
    if not count:
        return ""
    return f"the {grain} {where} its own" if count == 1 else f"the {count} {grain}s {where} its own"


def _width(reach: Reach) -> tuple[float, float, int]:
    before, after = (float("inf") if side is None else float(side) for side in (reach.before, reach.after))
    return before + after, before, -reach.line


def _reach(proof: Proof, output: TimeColumn) -> Reach | None:
    column, own = proof.column, proof.truncated or output.grain
    before = None if proof.earliest is None else _count(proof.earliest, column, back=True)
    after = None if proof.latest is None else _count(proof.latest, column, back=False)
    kind = ReachKind.DISTANCE
    if before is None or after is None:
        kind = ReachKind.UNBOUNDED
    elif any(end is not None and end.rows for end in (proof.earliest, proof.latest)):
        kind = ReachKind.ROWS
    if not proof.parts or (before == 0 and after == 0):
        kind = ReachKind.ROLL_UP
        # A day that holds the first of a month stands for all of its days: they lie after it.
        after = least_inside(own, column.grain) if coarser(own, output.grain) and after == 0 else after
    rolls_up_to = own if coarser(own, column.grain) else None
    if not before and before is not None and not after and after is not None and rolls_up_to is None:
        return None
    parts = proof.parts or proof.output
    return Reach(
        before=before,
        after=after,
        grain=column.grain,
        kind=kind,
        rolls_up_to=rolls_up_to,
        sql="; ".join(dict.fromkeys(as_sql(part) for part in parts)),
        line=line_of(parts[-1]),
    )


def _count(end: Span, column: TimeColumn, *, back: bool) -> int:
    return partitions(end, column.grain, is_raw=column.is_raw) if end.points_back is back else 0
