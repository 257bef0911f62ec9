"""The state of the world as planning sees it, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remint.model.cost import Timings
from remint.model.dataset import DatasetName
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ArrivedContent, Head
from remint.model.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Ledger heads, arrivals, foreign partitions, published logic and outstanding runs."""

    heads: Mapping[DatasetName, Mapping[PartitionKey, Head]]
    arrivals: Mapping[DatasetName, Mapping[PartitionKey, ArrivedContent]]
    """By Bronze dataset and event key."""
    foreign: Mapping[DatasetName, PartitionSet] = field(default_factory=dict)
    """Partitions whose files are not those that the ledger published."""
    logic_changes: Mapping[DatasetName, Mapping[str, str]] = field(default_factory=dict)
    """By dataset and the digest of an older logic: in words, what the declared logic changes against it."""
    inputs: Mapping[int, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """By ledger sequence number: the input digests that a head was made from; for heads that are not fresh."""
    outstanding: tuple[Run, ...] = ()
    timings: Timings = field(default_factory=dict)
    """What staging took in the newest runs; empty where nobody plans from it."""
