"""The decision matrix of a plan: which change makes which layer and which dataset be computed again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from remint.model.dataset import DatasetName, Layer
from remint.model.plan import Action, Plan


class Decision(StrEnum):
    """Whether something is computed again."""

    YES = "yes"
    MAYBE = "maybe"
    """Only if what it reads comes out different."""
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one change does to one layer, or to one dataset."""

    decision: Decision
    will: int
    """Partitions that will run."""
    may: int
    """Partitions that may run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One root cause, with all that it reaches; a partition that several changes reach stands in several rows."""

    change: str
    """In words: ``gold.daily LOGIC: v1 -> v2 changes amount``."""
    layers: dict[Layer, Cell]
    """Of every layer."""
    datasets: dict[DatasetName, Cell]
    """Of the datasets that it reaches, upstream first."""


def matrix(plan: Plan) -> tuple[MatrixRow, ...]:
    """Return the decision matrix of ``plan``: its root causes, in the order in which its actions name them."""
    by_change: dict[str, list[Action]] = {}
    for action in plan.actions:
        for change in dict.fromkeys(root for reason in action.reasons for root in reason.roots_of(action.dataset)):
            by_change.setdefault(change, []).append(action)
    return tuple(_row(change, actions) for change, actions in by_change.items())


def _row(change: str, actions: list[Action]) -> MatrixRow:
    names = dict.fromkeys(a.dataset for a in actions)
    return MatrixRow(
        change=change,
        layers={layer: _cell(a for a in actions if a.dataset.startswith(f"{layer}.")) for layer in Layer},
        datasets={name: _cell(a for a in actions if a.dataset == name) for name in names},
    )


def _cell(actions: Iterable[Action]) -> Cell:
    listed = list(actions)
    will = sum(a.units for a in listed if a.certain)
    may = sum(a.units for a in listed if not a.certain)
    return Cell(decision=Decision.YES if will else Decision.MAYBE if may else Decision.NO, will=will, may=may)
