"""Prove published units: recompute them, one at a time, and compare the content with the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from remint.execution.stage import Workpiece
from remint.model.dataset import DatasetName
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.observation import Observed
from remint.model.partition import PartitionKey, PartitionSet
from remint.planner.shadow import spread
from remint.planner.staleness import Contents, is_outdated
from remint.publishing.tools import Tools


class Proof(StrEnum):
    """What recomputing a unit showed."""

    PROVEN = "proven"
    DIFFERENT = "different"
    """Same inputs and logic, other content: a wrong mapping, a nondeterministic transform, or changed files."""
    STALE = "stale"
    """Not recomputed: its inputs or logic have moved on since it was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedUnit:
    """One unit's proof."""

    dataset: DatasetName
    key: PartitionKey
    proof: Proof
    expected: str
    found: str


def units_to_prove(
    graph: DatasetGraph,
    observed: Observed,
    names: Iterable[DatasetName],
    size: int,
    keys: Mapping[DatasetName, PartitionSet] | None,
) -> dict[DatasetName, list[PartitionKey]]:
    """Return the published units to recompute, by dataset.

    Args:
        graph: as declared.
        observed: what is published.
        names: datasets to take units of; those without a transform have none to prove.
        size: most units of a dataset, evenly spread, first and last among them; the same every time.
        keys: instead of a sample, all published units of these; a dataset that is no key has none.
    """
    found = {}
    for name in (n for n in names if graph[n].transform):
        units = observed.standings[name].present
        units = units.only([graph[name].fixed_value]) if graph[name].fixed_value else units
        if keys is not None:
            found[name] = list(units & keys[name]) if name in keys else []
        else:
            found[name] = spread(list(units), size)
    return found


def verify(
    tools: Tools, graph: DatasetGraph, observed: Observed, units: Mapping[DatasetName, Iterable[PartitionKey]]
) -> list[VerifiedUnit]:
    """Return the proof of each unit; writes nothing."""
    contents = Contents.of(observed)
    piece = Workpiece(tools=tools, graph=graph, observed=observed, certain={}, run_id="")
    wanted = [(name, key) for name, keys in units.items() for key in keys]
    proofs = []
    for number, (name, key) in enumerate(wanted, start=1):
        dataset, head = graph[name], observed.heads[name][key]
        if head.logic != dataset.logic_digest or is_outdated(graph, dataset, head, contents):
            proof, found = Proof.STALE, ""
        else:
            unit = PartitionSet.of(dataset.partition.grain, [key])
            found = str(tools.engine.recompute(piece.work(dataset, unit, ""))[key])
            proof = Proof.PROVEN if found == head.digest else Proof.DIFFERENT
        proofs.append(VerifiedUnit(dataset=name, key=key, proof=proof, expected=head.digest, found=found))
        event = Event(
            kind=EventKind.AUDITED,
            run_id="",
            dataset=name,
            detail=f"{key} {proof}",
            units_done=number,
            units_total=len(wanted),
        )
        tools.emit(event)
    return proofs
