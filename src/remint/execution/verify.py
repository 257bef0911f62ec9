"""Prove published units: recompute them, each alone and all in one batch, and compare with the ledger.

Rules: nothing is published. A unit whose content depends on what else is computed with it has a mapping that is too
narrow, or SQL that depends on order; which of its inputs it is, is found by widening one input after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from remint.checks.run_now import bind_run_now
from remint.engines.base import StageWork
from remint.execution.diff import row_key, scan_of
from remint.execution.observe import foreign_keys, observe_units
from remint.execution.stage import Workpiece, discard_beside
from remint.model.dataset import Dataset, DatasetName
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.mapping import describe
from remint.model.observation import Observed
from remint.model.partition import DateRange, Grain, PartitionKey, PartitionSet
from remint.model.run import RunState
from remint.model.spans import shift_edges
from remint.planner.shadow import spread
from remint.planner.staleness import Contents, is_outdated
from remint.publishing.scheme import in_own_scheme
from remint.publishing.tools import Tools
from remint.storage.base import below

_NEIGHBOURS = 31
"""Partitions on each side of a unit that are recomputed with it to find out why it differs."""
_ORDER = "or the SQL depends on order"


class Proof(StrEnum):
    """What recomputing a unit showed."""

    PROVEN = "proven"
    DIFFERENT = "different"
    """Same inputs and logic, other content: a wrong mapping, a nondeterministic transform, or changed files."""
    STALE = "stale"
    """Not recomputed: its inputs or logic have moved on since it was published."""


class Way(StrEnum):
    """How units are recomputed."""

    ALONE = "alone"
    """One query a unit."""
    BATCH = "batch"
    """All chosen units of a dataset in one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedUnit:
    """One unit's proof."""

    dataset: DatasetName
    key: PartitionKey
    proof: Proof
    expected: str
    """Digest in the ledger; where that is of another scheme than the engine's, of the published files."""
    alone: str = ""
    """Digest when recomputed alone; empty when it was not."""
    batch: str = ""
    """Digest when recomputed with the other chosen units; empty when it was not."""
    cause: str = ""
    """In words, what is wrong with a unit that differs."""
    rows_added: int = 0
    """Rows that the recomputed unit has and the published one has not, by key."""
    rows_removed: int = 0
    rows_changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    """By column, in how many rows it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which published units are recomputed."""

    names: tuple[DatasetName, ...]
    size: int
    """Most units of a dataset."""
    span: DateRange | None = None
    """Instead of a sample, all published units of it."""


def prove(tools: Tools, graph: DatasetGraph, sample: Sample, ways: frozenset[Way], folder: Path) -> list[VerifiedUnit]:
    """Return the proof of each unit of ``sample``; what is staged below ``folder`` to be compared is deleted."""
    far = observe_units(tools, graph, {})
    units = units_to_prove(graph, far, sample.names, sample.size, sample.span)
    sets = {n: PartitionSet.of(graph[n].partition.grain, keys) for n, keys in units.items()}
    try:
        return verify(tools, graph, observe_units(tools, graph, sets), units, ways, folder)
    finally:
        discard_beside(folder)


def units_to_prove(
    graph: DatasetGraph,
    observed: Observed,
    names: Iterable[DatasetName],
    size: int,
    span: DateRange | None,
) -> dict[DatasetName, list[PartitionKey]]:
    """Return the published units to recompute, by dataset.

    Args:
        graph: as declared.
        observed: what is published.
        names: datasets to take units of; those without a transform have none to prove.
        size: most units of a dataset, evenly spread, first and last among them; the same every time.
        span: instead of a sample, all published units of it; a dataset that is cut by values alone has none.
    """
    found = {}
    for name in (n for n in names if graph[n].transform):
        units = observed.standings[name].present
        units = units.only([graph[name].fixed_value]) if graph[name].fixed_value else units
        cut = graph[name].partition
        if span is None:
            found[name] = spread(list(units), size)
        else:
            found[name] = [] if cut.grain is Grain.IDENTITY else list(span.within(units, cut.zone))
    return found


def verify(
    tools: Tools,
    graph: DatasetGraph,
    observed: Observed,
    units: Mapping[DatasetName, Iterable[PartitionKey]],
    ways: frozenset[Way],
    folder: Path,
) -> list[VerifiedUnit]:
    """Return the proof of each unit; files that differ are staged below ``folder`` to be compared."""
    piece = Workpiece(tools=tools, graph=graph, observed=observed, certain={}, run_id="", beside=folder)
    wanted = {name: list(keys) for name, keys in units.items()}
    total, proofs = sum(map(len, wanted.values())), []
    for name, keys in wanted.items():
        bench = _Bench(piece, graph[name], ways)
        for key in bench.prepared(keys):
            proof = bench.proof(key)
            proofs.append(proof)
            words = f"{key} {proof.proof}"
            event = Event(kind=EventKind.AUDITED, run_id="", dataset=name, detail=words)
            tools.emit(replace(event, units_done=len(proofs), units_total=total))
    return proofs


@dataclass(slots=True)
class _Bench:
    """One dataset being proven."""

    piece: Workpiece
    dataset: Dataset
    ways: frozenset[Way]
    together: PartitionSet = field(init=False)
    """The units that are recomputed, all in one batch."""
    batch: Mapping[PartitionKey, str] = field(init=False)
    foreign: PartitionSet = field(init=False)
    """The units whose live files are not those of the ledger, as the table says whatever version it has."""
    expected: Mapping[PartitionKey, str] = field(init=False)
    """Digests in the ledger; of another scheme, those of the published files."""

    def prepared(self, keys: list[PartitionKey]) -> list[PartitionKey]:
        """Recompute the fresh ones of ``keys`` in one batch, and return all of them."""
        contents, heads = Contents.of(self.piece.observed), self.piece.observed.heads[self.dataset.name]
        fresh = [
            k
            for k in keys
            if heads[k].logic == self.dataset.logic_digest
            and not is_outdated(self.piece.graph, self.dataset, heads[k], contents)
        ]
        self.together = PartitionSet.of(self.dataset.partition.grain, fresh)
        self.foreign = foreign_keys(self.piece.tools, self.dataset)
        if self._reads_now():
            self.ways = frozenset({Way.ALONE})  # units of several runs were made at several times
        records = self.piece.tools.store.records(self.dataset.name, fresh) if fresh else {}
        self.expected = in_own_scheme(self.piece.tools, self.dataset, records)
        self.batch = self._recomputed(self._work(self.together)) if Way.BATCH in self.ways and fresh else {}
        return keys

    def proof(self, key: PartitionKey) -> VerifiedUnit:
        """Return the proof of one unit."""
        expected = self.expected.get(key, self.piece.observed.heads[self.dataset.name][key].digest)
        made = VerifiedUnit(dataset=self.dataset.name, key=key, proof=Proof.STALE, expected=expected)
        if key not in self.together:
            return made
        alone = self._recomputed(self._work(self._unit(key)))[key] if Way.ALONE in self.ways else ""
        made = replace(made, alone=alone, batch=self.batch.get(key, ""))
        if {alone, made.batch} - {"", expected}:
            return self._examined(replace(made, proof=Proof.DIFFERENT))
        if foreign := self._foreign(key):
            return replace(made, proof=Proof.DIFFERENT, cause=foreign)
        return replace(made, proof=Proof.PROVEN)

    def _examined(self, unit: VerifiedUnit) -> VerifiedUnit:
        """Return a unit that differs with its cause, and the rows and columns in which it differs."""
        is_alone = unit.alone not in ("", unit.expected)
        work = self._work(self._unit(unit.key) if is_alone else self.together, "verify")
        staged = self.piece.tools.engine.stage(work)
        self.piece.tools.engine.forget()
        paths = tuple(f.path for f in staged.files if f.key == unit.key)
        held = self.piece.tools.store.records(self.dataset.name, [unit.key])
        tools, folder = self.piece.tools, self.piece.tools.folder(self.dataset)
        gone = [f.path for f in held[unit.key].files if tools.storage.stat(below(folder, f.path)) is None]
        if gone:
            return replace(unit, cause=f"{gone[0]} is missing on disk")
        before = scan_of(self.piece.tools, self.dataset, held, [unit.key])
        after = replace(before, root=work.root, paths=paths)
        found = self.piece.tools.engine.compare(before, after, row_key(self.dataset), 0)
        return replace(
            unit,
            cause=self._cause(unit),
            rows_added=found.added,
            rows_removed=found.removed,
            rows_changed=found.changed,
            columns=found.changed_columns,
        )

    def _cause(self, unit: VerifiedUnit) -> str:
        alone = self._work(self._unit(unit.key))
        first = unit.alone or self._recomputed(alone)[unit.key]
        if self._recomputed(alone)[unit.key] != first:
            return "recomputed twice alone it comes out different: the SQL is not deterministic"
        for wide in (self._work(self.together), self._work(self._neighbourhood(unit.key))):
            if self._recomputed(wide)[unit.key] != first:
                return f"alone differs from in a batch: {self._culprits(alone, wide, unit.key, first)}"
        return self._foreign(unit.key) or (
            "alone and in a batch it comes out the same, from inputs that are as published, but not as published: it "
            "was adopted, or another version of the engine made it"
        )

    def _foreign(self, key: PartitionKey) -> str:
        """Return in words who put other files in the place of the published ones; empty where nobody did."""
        if key not in self.foreign:
            return ""
        for run in self.piece.observed.outstanding:
            if run.state is RunState.PUBLISHING:
                return f"run {run.run_id} is half published; finish it first: remint resume {run.run_id}"
        tools = self.piece.tools
        by = tools.tables.foreign_writer(tools.table(self.dataset))
        return f"its files are not those that remint published: {by}"

    def _culprits(self, alone: StageWork, wide: StageWork, key: PartitionKey, digest: str) -> str:
        """Return in words which inputs, read as widely as in a batch, change the unit."""
        inputs = {e.alias: e for e in self.dataset.inputs if alone.inputs[e.alias] != wide.inputs[e.alias]}
        found = [
            alias
            for alias in inputs
            if self._recomputed(replace(alone, inputs={**alone.inputs, alias: wide.inputs[alias]}))[key] != digest
        ]
        named = [f"{a} ({describe(inputs[a].mapping)})" for a in found or inputs]
        if not named:
            return "the SQL depends on order"
        if len(named) == 1:
            return f"the mapping of input {named[0]} is too narrow, {_ORDER}"
        return f"the mappings of inputs {', '.join(named)} are too narrow, {_ORDER}"

    def _unit(self, key: PartitionKey) -> PartitionSet:
        return PartitionSet.of(self.dataset.partition.grain, [key])

    def _neighbourhood(self, key: PartitionKey) -> PartitionSet:
        """Return the published units around one, as many as a batch may have had."""
        present, unit = self.piece.observed.standings[self.dataset.name].present, self._unit(key)
        if unit.grain is Grain.IDENTITY:
            return unit
        return unit.each(lambda spans: shift_edges(spans, -_NEIGHBOURS, _NEIGHBOURS)) & present

    def _reads_now(self) -> bool:
        sql = self.dataset.transform.sql if self.dataset.transform else ""
        return bind_run_now(sql, "") != sql

    def _work(self, keys: PartitionSet, token: str = "") -> StageWork:
        work = self.piece.work(self.dataset, keys, token)
        return replace(work, now=self._made_at(next(iter(keys)))) if keys and self._reads_now() else work

    def _made_at(self, key: PartitionKey) -> str:
        """Return what ``run.now`` stood for when the unit was made: the time of its plan."""
        head = self.piece.observed.heads[self.dataset.name][key]
        plan = self.piece.tools.store.plan_json(head.run_id)
        return str(json.loads(plan)["created_at"]) if plan else self.piece.tools.store.run(head.run_id).started_at

    def _recomputed(self, work: StageWork) -> dict[PartitionKey, str]:
        return {key: str(digest) for key, digest in self.piece.tools.engine.recompute(work).items()}
