"""The state of the world as planning sees it, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remint.model.cost import Timings
from remint.model.dataset import DatasetName, Input
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ArrivedContent, Head, LogicRecord
from remint.model.run import Run
from remint.model.standing import Standing

Columns = tuple[str, ...]
"""A set of columns that a consumer reads, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicChange:
    """What one logic of a dataset changes against another."""

    words: str
    """``v1 -> v2 changes over_limit_count``."""
    columns: frozenset[str] = frozenset()
    """Output columns whose values can differ."""
    is_any: bool = False
    """Any value or row can differ: which rows there are has changed, or it cannot be told."""

    def concerns(self, entry: Input) -> bool:
        """Return whether a consumer that reads through ``entry`` can notice."""
        return self.is_any or entry.columns is None or bool(self.columns & {c.lower() for c in entry.columns})


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What somebody else did to a table."""

    keys: PartitionSet
    """Partitions whose files are not those that the ledger published."""
    by: str = ""
    """The newest commit that is not remint's, in words: version, operation, author."""
    unrecorded: tuple[str, ...] = ()
    """Runs of remint that committed to the table and that the state database does not know."""


def behind(unrecorded: Mapping[DatasetName, tuple[str, ...]]) -> str:
    """Return in words that the state database is older than the tables, and what it does not know."""
    names = [name for name, runs in unrecorded.items() if runs]
    runs = sorted({run_id for found in unrecorded.values() for run_id in found})
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return (
        f"the state database is older than the tables: {', '.join(names)} {'holds' if len(names) == 1 else 'hold'} "
        f"commits of run {runs[-1]}{more}, which it does not know"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """How every dataset stands, and of the units that a plan may concern: heads, digests, arrivals."""

    standings: Mapping[DatasetName, Standing]
    last_seq: int
    """Newest ledger record; everything here is as of it."""
    last_run: str = ""
    """Run that wrote it."""
    heads: Mapping[DatasetName, Mapping[PartitionKey, Head]] = field(default_factory=dict)
    """Of units that may be planned and of what they read, where published."""
    projections: Mapping[tuple[DatasetName, Columns], Mapping[PartitionKey, str]] = field(default_factory=dict)
    """Digest of the content of a head over some of its columns."""
    arrivals: Mapping[DatasetName, Mapping[PartitionKey, ArrivedContent]] = field(default_factory=dict)
    """By Bronze dataset and event key."""
    foreign: Mapping[DatasetName, Foreign] = field(default_factory=dict)
    damaged: Mapping[DatasetName, tuple[str, ...]] = field(default_factory=dict)
    """In words, files of Bronze that would be read and are not on disk as they were published."""
    logics: Mapping[DatasetName, tuple[LogicRecord, ...]] = field(default_factory=dict)
    """Logic versions that were published, in order of number."""
    logic_changes: Mapping[DatasetName, Mapping[str, LogicChange]] = field(default_factory=dict)
    """By dataset and the digest of an older logic: what the declared logic changes against it."""
    inputs: Mapping[int, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """By ledger sequence number: the input digests that a head was made from; for heads that are not fresh."""
    outstanding: tuple[Run, ...] = ()
    covered: Mapping[DatasetName, PartitionSet] = field(default_factory=dict)
    """Days that each source has answered for, with rows or without; only sources that go by days."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """Why a run was made, in words, for runs that made what stale units read."""
    timings: Timings = field(default_factory=dict)
    """What staging took in the newest runs; empty where nobody plans from it."""

    def foreign_keys(self, name: DatasetName) -> PartitionSet:
        """Return the partitions of a dataset that somebody else changed."""
        found = self.foreign.get(name)
        return found.keys if found else PartitionSet(self.standings[name].withdrawn.grain)
