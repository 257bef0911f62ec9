"""What planning again changes against a saved plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remint.model.dataset import DatasetName
from remint.model.partition import PartitionSet
from remint.model.plan import Plan, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What a plan does with some units."""

    words: str
    """``will build``, ``may rebuild``."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitChange:
    """Units of one dataset with which the two plans do different things."""

    dataset: DatasetName
    keys: PartitionSet
    before: Fate | None
    """None: the saved plan does nothing with them."""
    after: Fate | None
    """None: the new plan does nothing with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDiff:
    """The new plan against the saved one."""

    saved: str
    new: str
    """Ids of the two plans."""
    added: tuple[UnitChange, ...]
    removed: tuple[UnitChange, ...]
    changed: tuple[UnitChange, ...]
    moved: tuple[str, ...]
    """Requirements of the saved plan that no longer hold: what moved, by which run or commit."""
    asked: tuple[str, ...]
    """Fields of the request that are not the same."""

    @property
    def is_empty(self) -> bool:
        """True when the saved plan says what a new one would, and can be applied."""
        return not (self.added or self.removed or self.changed or self.moved or self.asked)


def compare_plans(saved: Plan, new: Plan, moved: Iterable[str]) -> PlanDiff:
    """Return what ``new`` does otherwise than ``saved``.

    Args:
        saved: the earlier plan.
        new: the same request, or another, planned on what is there now.
        moved: the requirements of ``saved`` that no longer hold, in words.
    """
    changes: list[UnitChange] = []
    before, after = _fates(saved), _fates(new)
    for name in dict.fromkeys([*before, *after]):
        changes += _changes(name, before.get(name, []), after.get(name, []))
    old, now = saved.request, new.request
    fields = ("selectors", "range", "rebuild", "mode", "override_state", "trigger", "reason")
    return PlanDiff(
        saved=saved.plan_id,
        new=new.plan_id,
        added=tuple(c for c in changes if c.before is None),
        removed=tuple(c for c in changes if c.after is None),
        changed=tuple(c for c in changes if c.before and c.after),
        moved=tuple(moved),
        asked=tuple(f for f in fields if getattr(old, f) != getattr(now, f)),
    )


Planned = tuple[Fate, PartitionSet]
"""What a plan does, and with which units."""


def _fates(plan: Plan) -> dict[DatasetName, list[Planned]]:
    found: dict[DatasetName, list[Planned]] = {}
    for action in plan.actions:
        words = f"{'will' if action.certain else 'may'} {action.kind}"
        found.setdefault(action.dataset, []).append((Fate(words=words, reasons=action.reasons), action.keys))
    return found


def _changes(name: DatasetName, before: list[Planned], after: list[Planned]) -> Iterable[UnitChange]:
    for fate, keys in after:
        if left := _without(keys, before):
            yield UnitChange(dataset=name, keys=left, before=None, after=fate)
    for fate, keys in before:
        if left := _without(keys, after):
            yield UnitChange(dataset=name, keys=left, before=fate, after=None)
    for was, old in before:
        for now, new in after:
            if was != now and old.grain is new.grain and (both := old & new):
                yield UnitChange(dataset=name, keys=both, before=was, after=now)


def _without(keys: PartitionSet, planned: list[Planned]) -> PartitionSet:
    for _, others in planned:
        keys = keys - others if others.grain is keys.grain else keys
    return keys
