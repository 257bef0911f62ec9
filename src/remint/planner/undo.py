"""Which units an undo touches: what is live of a run, what was written over it, what was made from it. Pure.

Rules: a unit's past is a stack. A run puts a record on it; a rollback takes the unit back to how the stack was before
the run that it undoes. What a unit holds now is the top; whatever is not on the stack any more has been undone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from remint.errors import InvalidKey
from remint.model.dataset import DatasetName, Input
from remint.model.graph import DatasetGraph
from remint.model.observation import Columns
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import ProvenanceRecord
from remint.model.request import UndoRequest
from remint.planner.staleness import WHOLE

Unit = tuple[DatasetName, PartitionKey]


class Written(Protocol):
    """A ledger record with its place in the ledger."""

    @property
    def seq(self) -> int:
        """Its place."""
        ...

    @property
    def record(self) -> ProvenanceRecord:
        """What it says."""
        ...


Stack = tuple[Written, ...]
"""Records on which a unit stands, oldest first, as far back as one looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The ledger from the first record of a run on."""

    run_id: str
    cut: int
    """The first record of the run: to undo is to go back to before it."""
    since: Mapping[Unit, Stack]
    """By unit, its records from ``cut`` on, oldest first."""
    before: Mapping[Unit, Written]
    """The newest record of each of these units before ``cut``; none where there is none."""
    undoes: Mapping[str, int]
    """For each rollback among them, the first record of the run that it undid."""
    graphs: Mapping[str, DatasetGraph]
    """The datasets as each of the runs knew them."""
    projections: Mapping[tuple[DatasetName, Columns], Mapping[str, str]]
    """Digests over columns by content digest, as consumers recorded them."""
    makers: Mapping[Unit, str] = field(default_factory=dict)
    """Where the run is a rollback itself: of what it put back, the run that made it first."""

    @property
    def units(self) -> list[Unit]:
        """The units that the run recorded."""
        return sorted(u for u, stack in self.since.items() if any(w.record.run_id == self.run_id for w in stack))

    def stack(self, unit: Unit, subject: str = "") -> Stack:
        """Return what ``unit`` stands on since the cut; empty where it holds what it held before.

        Args:
            unit: one of ``since``.
            subject: a rollback that is looked at as a run of its own, not as a step back.
        """
        return _stacks(self.since[unit], self.undoes, self.before.get(unit), subject)[-1]

    def held_before(self, unit: Unit) -> Written | None:
        """Return what the unit held before the cut; None where it was absent."""
        found = self.before.get(unit)
        return found if found and found.record.fingerprint else None


def _stacks(written: Sequence[Written], undoes: Mapping[str, int], before: Written | None, subject: str) -> list[Stack]:
    """Return the stack as it was after each of the records."""
    stack: Stack = ()
    found: list[Stack] = []
    # What a unit holds is what its last record says, also where a rollback of an earlier run emptied the stack.
    for held, entry in zip((before, *written), written, strict=False):
        run_id = entry.record.run_id
        if run_id in undoes and run_id != subject:
            kept = sum(w.seq < undoes[run_id] for w in written)
            stack = found[kept - 1] if kept else ()
        elif run_id == subject or not _is_same(held, entry):
            stack = (*stack, entry)
        found.append(stack)
    return found


def _is_same(held: Written | None, entry: Written) -> bool:
    """Return whether a record says again what the unit held: nothing was put on the stack then."""
    if held is None:
        return False
    was, now = held.record, entry.record
    return (was.fingerprint, was.files) == (now.fingerprint, now.files)


class Role(StrEnum):
    """Why a unit is touched by an undo."""

    SELECTED = "selected"
    """The run made what it holds."""
    WRITTEN_AGAIN = "written again"
    """A later run wrote over what the run made."""
    MADE_FROM = "made from it"
    """It was made later, from content that is undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One unit that an undo takes back, or that becomes stale by it."""

    unit: Unit
    role: Role
    now: Written
    """The newest record: what it holds."""
    made_by: str
    """The run that made what it holds; for what a rollback put back, the run that made it first."""
    back: Written | None
    """What it goes back to; None where it was absent."""
    over: tuple[str, ...] = ()
    """The runs whose records are undone with it, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """All that an undo touches."""

    moves: tuple[Move, ...]
    """Units that go back."""
    stale: tuple[Move, ...]
    """Units that stay and were made from what goes back."""
    covered: tuple[Move, ...]
    """Units of the selection that later runs wrote again; they are among ``moves`` only when taken along."""
    undone: tuple[Unit, ...]
    """Units of the selection of which nothing is left to undo."""
    ended: tuple[str, ...]
    """Runs of which nothing is left afterwards."""


def chosen(request: UndoRequest, graph: DatasetGraph, units: Iterable[Unit]) -> list[Unit]:
    """Return which of a run's ``units`` the request names.

    Raises:
        InvalidKey: a key is none of the datasets'.
    """
    names = set(graph.select(request.selectors))
    found = [unit for unit in units if unit[0] in names]
    if request.range is not None:
        sets: dict[DatasetName, list[PartitionKey]] = {}
        for name, key in found:
            sets.setdefault(name, []).append(key)
        within = {n: request.range.within(PartitionSet.of(graph[n].partition.grain, keys)) for n, keys in sets.items()}
        found = [(name, key) for name, key in found if key in within[name]]
    if request.keys:
        named = {name: _parsed(graph, name, request.keys) for name in {name for name, _ in found}}
        for text in request.keys:
            if found and not any(text in by_text for by_text in named.values()):
                words = f"{text!r} is no partition of {', '.join(sorted(named))}"
                raise InvalidKey(words, hint=_spellings(graph, found))
        found = [(name, key) for name, key in found if key in named[name].values()]
    return found


def _spellings(graph: DatasetGraph, units: Iterable[Unit]) -> str:
    """Return in words how the partitions of these datasets are written, with the first of each grain as example."""
    first: dict[str, str] = {}
    for name, key in units:
        grain = graph[name].partition
        first.setdefault("/".join(grain.columns), f"--partition {key} for {name}")
    return f"write it as {'; '.join(first.values())}"


def _parsed(graph: DatasetGraph, name: DatasetName, keys: Iterable[str]) -> dict[str, PartitionKey]:
    found = {}
    for text in keys:
        try:
            found[text] = graph[name].partition.typed(text)
        except InvalidKey:
            continue
    return found


def plan_undo(past: Past, selected: Collection[Unit], *, cascade: bool) -> Undo:
    """Return what undoing the run in the ``selected`` units touches.

    Args:
        past: the ledger from the run on.
        selected: units that the run recorded.
        cascade: whether units that later runs wrote again, and what was made from what goes back, go back too.
    """
    stacks = {unit: past.stack(unit, past.run_id) for unit in past.since}
    places = {unit: [w.record.run_id for w in stacks[unit]] for unit in selected}
    left = [unit for unit in sorted(selected) if past.run_id in places[unit]]
    covered = [unit for unit in left if places[unit][-1] != past.run_id]
    seeds = [unit for unit in left if cascade or unit not in covered]
    reached = _made_from(past, stacks, seeds) - set(left)
    roles = dict.fromkeys(reached, Role.MADE_FROM)
    roles |= {u: Role.WRITTEN_AGAIN if u in covered else Role.SELECTED for u in left}
    moved = sorted({*seeds, *reached} if cascade else seeds)
    return Undo(
        moves=tuple(_move(past, stacks, u, roles[u]) for u in moved),
        stale=() if cascade else tuple(_move(past, stacks, u, roles[u]) for u in sorted(reached)),
        covered=tuple(_move(past, stacks, u, roles[u]) for u in covered),
        undone=tuple(sorted(set(selected) - set(left))),
        ended=_ended(past, set(moved)),
    )


def _move(past: Past, stacks: Mapping[Unit, Stack], unit: Unit, role: Role) -> Move:
    runs = tuple(w.record.run_id for w in stacks[unit])
    now, back = past.since[unit][-1], past.held_before(unit)
    made_by = past.makers.get(unit, past.run_id) if runs[-1] == past.run_id else runs[-1]
    return Move(unit=unit, role=role, now=now, made_by=made_by, back=back, over=runs)


def _made_from(past: Past, stacks: Mapping[Unit, Stack], seeds: Iterable[Unit]) -> set[Unit]:
    """Return every unit whose content was made since the cut from content that going back takes away, transitively."""
    readers, readers_of_many = _readers(past, stacks)
    found: set[Unit] = set()
    pending = list(seeds)
    seen = set(pending)
    while pending:
        unit = pending.pop()
        reached = {r for r, columns, digest in readers.get(unit, ()) if digest in _taken(past, stacks, unit, columns)}
        for reader, entry, graph in readers_of_many.get(unit[0], ()):
            if _taken(past, stacks, unit, entry.columns) and _reads(graph, reader, entry, unit[1]):
                reached.add(reader)
        pending += sorted(reached - seen)
        found |= reached
        seen |= reached
    return found


_Reader = tuple[Unit, Columns | None, str]
"""A unit, the columns of its input that it reads, and the digest that it recorded."""


def _readers(
    past: Past, stacks: Mapping[Unit, Stack]
) -> tuple[dict[Unit, list[_Reader]], dict[DatasetName, list[tuple[Unit, Input, DatasetGraph]]]]:
    """Return who was made from each unit since the cut; and, by dataset, from too many units to be listed."""
    listed: dict[Unit, list[_Reader]] = {}
    many: dict[DatasetName, list[tuple[Unit, Input, DatasetGraph]]] = {}
    for unit, stack in stacks.items():
        if not stack:
            continue
        made = stack[-1].record
        graph = past.graphs[made.run_id]
        inputs = graph[unit[0]].inputs if unit[0] in graph.datasets else ()
        for entry in inputs:
            for key, digest in made.inputs.get(entry.alias, {}).items():
                if key == WHOLE:
                    many.setdefault(entry.dataset, []).append((unit, entry, graph))
                else:
                    listed.setdefault((entry.dataset, key), []).append((unit, entry.columns, digest))
    return listed, many


def _taken(past: Past, stacks: Mapping[Unit, Stack], unit: Unit, columns: Columns | None) -> set[str]:
    """Return the digests, as a consumer of ``columns`` records them, that the unit has no more once it goes back."""
    known = past.projections.get((unit[0], columns), {}) if columns is not None else {}
    held = past.held_before(unit)
    stays = {held.record.digest, known.get(held.record.digest, "")} if held else set()
    contents = {w.record.digest for w in stacks[unit] if w.record.fingerprint}
    if columns is not None and held and held.record.digest in known:
        # What differs only in columns that nobody reads there takes nothing from the consumer.
        contents = {c for c in contents if known.get(c) != known[held.record.digest]}
    return {d for c in contents for d in (c, known.get(c, c))} - stays


def _reads(graph: DatasetGraph, reader: Unit, entry: Input, key: PartitionKey) -> bool:
    edge = graph.edge(graph[reader[0]], entry)
    own = PartitionSet.of(graph[reader[0]].partition.grain, [reader[1]])
    return key in edge.upstream(own, PartitionSet.of(edge.source.grain, [key]))


def _ended(past: Past, moved: set[Unit]) -> tuple[str, ...]:
    """Return the runs of which nothing stands any more once ``moved`` have gone back to before the cut."""
    touched = dict.fromkeys(w.record.run_id for unit in sorted(moved) for w in past.since[unit])
    by_run: dict[str, list[Unit]] = {}
    for unit, stack in past.since.items():
        for entry in stack:
            by_run.setdefault(entry.record.run_id, []).append(unit)
    return tuple(
        run_id
        for run_id in touched
        if not any(
            unit not in moved and run_id in {w.record.run_id for w in past.stack(unit, run_id)}
            for unit in by_run[run_id]
        )
    )


def undone_by(past: Past) -> dict[Unit, str]:
    """Return the units of the run that do not stand on it any more, each with the rollback that took it back."""
    found = {}
    for unit in past.units:
        stood = False
        for entry, stack in zip(
            past.since[unit], _stacks(past.since[unit], past.undoes, past.before.get(unit), past.run_id), strict=True
        ):
            stands = past.run_id in {w.record.run_id for w in stack}
            if stood and not stands:
                found[unit] = entry.record.run_id
            elif stands:
                found.pop(unit, None)
            stood = stands
    return found
