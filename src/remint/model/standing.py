"""How the units of a dataset stand, as sets: what the ledger says up to one of its records, folded once.

Rules: a unit that is present, made by the declared logic and not suspect is fresh, by induction over the ledger: what
it was made from has not changed since. Suspects may be stale; only their fingerprints are compared. A standing can be
thrown away at any time: folding the ledger from its beginning gives it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remint.model.dataset import DatasetName
from remint.model.partition import Grain, PartitionKey, PartitionSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The units of one dataset after ledger record ``through_seq``."""

    through_seq: int
    made_by: Mapping[str, PartitionSet]
    """Units that are published, by the digest of the logic that made them."""
    withdrawn: PartitionSet
    """Units that a rollback took back to before their first publish."""
    suspects: PartitionSet
    """Published units something of whose inputs changed after they were made."""
    arrived: PartitionSet
    """Of Bronze: event keys for which rows have arrived."""
    edges: str = ""
    """Digest of how the dataset was cut and what it read when this was folded: under others, changes reach others."""

    @classmethod
    def empty(cls, grain: Grain, event_grain: Grain = Grain.DAY) -> Standing:
        """Return how a dataset stands before anything was published."""
        none = PartitionSet(grain)
        return cls(through_seq=0, made_by={}, withdrawn=none, suspects=none, arrived=PartitionSet(event_grain))

    @property
    def present(self) -> PartitionSet:
        """Every unit that is published."""
        return PartitionSet.union(self.withdrawn.grain, self.made_by.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What one run recorded, as folding needs it; runs record in one transaction, so their records are neighbours."""

    run_id: str
    first_seq: int
    last_seq: int
    read_seq: int | None
    """Ledger record after which the run read its inputs; None for a run that made nothing from inputs."""
    made: Mapping[DatasetName, Mapping[str, tuple[PartitionKey, ...]]] = field(default_factory=dict)
    """By dataset and logic, the units recorded; an empty logic of a dataset with transform: taken back."""
    withdrawn: Mapping[DatasetName, tuple[PartitionKey, ...]] = field(default_factory=dict)
    changed: Mapping[DatasetName, tuple[PartitionKey, ...]] = field(default_factory=dict)
    """Units whose content is another since; those confirmed as equal are not among them."""
    arrived: Mapping[DatasetName, tuple[PartitionKey, ...]] = field(default_factory=dict)
    """Event keys for which rows arrived."""

    @property
    def saw_everything(self) -> bool:
        """True when nothing was recorded by others between its reading and its recording."""
        return self.read_seq is not None and self.read_seq >= self.first_seq - 1
