"""The frozen answer to a request: actions with reasons, order, requirements and totals.

Rules: apply reads the plan and nothing else; the id is the digest of the content; a plan is used once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from remint.model.cost import Estimate
from remint.model.dataset import Dataset, DatasetName
from remint.model.digest import canonical_json, text_digest
from remint.model.partition import Grain, PartitionSet, gathered
from remint.model.request import Request

PLAN_FORMAT = "remint.plan/3"


class StaleCause(StrEnum):
    """Why a unit is not fresh."""

    MISSING = "missing"
    LOGIC = "logic"
    DATA = "data"
    UPSTREAM = "upstream"
    FOREIGN = "foreign"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One cause, with the root that it goes back to."""

    cause: StaleCause
    detail: str
    """In words: ``v1 -> v2 changes over_limit_count``."""
    roots: tuple[str, ...] = ()
    """For UPSTREAM, the root causes in words: ``gold.tenant_usage_1min LOGIC: v1 -> v2 changes ...``."""

    def roots_of(self, dataset: DatasetName) -> tuple[str, ...]:
        """Return what it all goes back to, for a unit of ``dataset``: the roots, or else this reason itself."""
        return self.roots or (f"{dataset} {self.cause.upper()}: {self.detail}",)


class ActionKind(StrEnum):
    """What happens to the units of an action."""

    BUILD = "build"
    """First publish of a unit."""
    REBUILD = "rebuild"
    """Replace what is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Units of one dataset that share what happens to them and why."""

    dataset: DatasetName
    kind: ActionKind
    grain: Grain
    partitions: tuple[str, ...]
    """Ranges with both ends included, as ``PartitionSet.as_ranges`` writes them."""
    units: int
    certain: bool
    """False: may run, only if what it reads comes out different (early cutoff)."""
    reasons: tuple[Reason, ...]
    rows_read: int | None
    """Rows published now that the units read; None when nothing of it is published yet."""
    rows_expected: int | None
    """From what is published now, or from the rows read for a first build; None when neither is known."""
    size_bytes: int | None
    """Bytes expected to be written; None before anything of the dataset was published."""
    bytes_scanned: int | None = None
    """Bytes of the files that are expected to be opened; None when no past run tells."""
    seconds: float | None = None
    """Staging time expected; None when no past run tells."""
    money: float | None = None
    """What that costs at the prices in the settings; None without prices or without an estimate."""

    @property
    def keys(self) -> PartitionSet:
        """The units' keys."""
        return PartitionSet.from_ranges(self.grain, self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One dataset's units in one batch, staged by one query."""

    dataset: DatasetName
    grain: Grain
    partitions: tuple[str, ...]

    @property
    def keys(self) -> PartitionSet:
        """The units' keys."""
        return PartitionSet.from_ranges(self.grain, self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Neighbouring partitions of all layers, staged together within the memory budget; upstream first."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Partitions of one dataset whose content must still be what it was at the plan's ledger record."""

    dataset: DatasetName
    grain: Grain
    partitions: tuple[str, ...]
    """Ranges, as ``PartitionSet.as_ranges`` writes them."""
    arrived: bool = False
    """True: what had arrived in Bronze for these event keys, not published partitions."""
    foreign: tuple[str, ...] = ()
    """Those of them that somebody else had changed already, which the plan accounts for."""

    @property
    def keys(self) -> PartitionSet:
        """The partitions meant."""
        return PartitionSet.from_ranges(self.grain, self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """Something near the plan that it leaves alone, in words a reviewer needs."""

    dataset: DatasetName
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What apply will do."""

    format: str = PLAN_FORMAT
    plan_id: str
    project: str
    created_at: datetime
    """UTC; also what ``run.now`` stands for in the transforms that the plan runs."""
    as_of_seq: int
    """Ledger record that the world was observed after; the requirements are about it."""
    as_of_run: str
    """Run that wrote that record: a restored or different ledger has another there."""
    request: Request
    datasets: tuple[Dataset, ...]
    """Every dataset that the plan writes or reads, frozen as declared when it was made."""
    actions: tuple[Action, ...]
    batches: tuple[Batch, ...]
    requirements: tuple[Requirement, ...]
    untouched: tuple[Untouched, ...]
    fresh_units: int
    """Units in the selection that need nothing."""
    estimate: Estimate = field(default_factory=Estimate)
    needs_approval: tuple[str, ...] = ()
    """In words, every rule that makes the plan need the approval of a second person; empty: none."""

    @property
    def is_empty(self) -> bool:
        """True when nothing is to be done."""
        return not self.actions

    def dataset(self, name: DatasetName) -> Dataset:
        """Return the frozen declaration of ``name``."""
        return next(d for d in self.datasets if d.name == name)

    @property
    def units(self) -> dict[DatasetName, PartitionSet]:
        """Every unit that will or may run, by dataset."""
        return gathered((a.dataset, a.keys) for a in self.actions)

    def action_units(self, *, certain: bool) -> dict[DatasetName, PartitionSet]:
        """Return, by dataset, the units that will run (``certain``) or may run."""
        return gathered((a.dataset, a.keys) for a in self.actions if a.certain is certain)


def plan_digest(plan: Plan) -> str:
    """Return the id that ``plan``'s content has: all fields but the id itself."""
    return "p-" + text_digest(canonical_json(replace(plan, plan_id="")))[:16]
