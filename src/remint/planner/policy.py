"""What a plan may not be: rules that refuse a request before anything is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remint.errors import BronzeChanged, InvalidRange, PlanError, VersionNotRaised
from remint.model.dataset import DatasetName, Layer
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange, Observed
from remint.model.partition import Grain, PartitionSet
from remint.model.request import Request
from remint.model.run import RunState
from remint.planner.versions import readers


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits that the project or the caller sets."""

    batch_rows: int = 4_000_000
    """Rows that one staging query may read."""
    allow_future: bool = False
    allow_all: bool = False
    """The caller said ``--all``: recomputing the whole history is meant."""


def refuse(
    request: Request,
    selection: tuple[DatasetName, ...],
    domains: Mapping[DatasetName, PartitionSet],
    *,
    policy: Policy,
    now: datetime,
) -> None:
    """Refuse a request that no plan should be made of.

    Raises:
        InvalidRange: the range lies in the future, or names no partition of the selection.
        PlanError: a rebuild of the whole history without ``--all``.
    """
    if request.range and request.range.end.toordinal() - 1 > now.date().toordinal() and not policy.allow_future:
        raise InvalidRange(
            f"the range {request.range.describe()} ends after today, {now.date().isoformat()}",
            hint="add --allow-future if that is meant",
        )
    held = {n: domains[n] for n in selection}
    chosen = {n: request.range.within(keys) if request.range else keys for n, keys in held.items()}
    units, known = sum(map(len, chosen.values())), sum(map(len, held.values()))
    if request.range and known and not units:
        raise InvalidRange(
            f"the range {request.range.describe()} names 0 partitions of what is selected",
            hint="remint status    # shows which partitions there are",
        )
    if request.rebuild and known > 1 and units == known and not policy.allow_all:
        raise PlanError(
            f"this would recompute the whole history of what is selected: {units:,} partitions",
            hint="add --all if that is meant, or --range to limit it",
        )


def refuse_unversioned(graph: DatasetGraph, observed: Observed, selection: tuple[DatasetName, ...]) -> None:
    """Refuse logic that changed under a version that was published, or a version that went backwards.

    Raises:
        VersionNotRaised: says which output columns changed and which consumers read them.

    Source: TradeX norm, section 12: changing logic without a version is forbidden.
    """
    for name in selection:
        dataset = graph[name]
        published = {r.number: r for r in observed.logics.get(name, ())}
        if dataset.transform is None or dataset.quarantine_of or not published:
            continue
        live = observed.standings[name].made_by
        newest = max((n for n, r in published.items() if r.digest in live), default=0)
        declared = dataset.version.number
        if declared < newest:
            raise VersionNotRaised(
                f"{name} declares logic version {declared}, but partitions of version {newest} are published",
                hint=f"raise it to {newest + 1}, also to go back to an older logic; to undo a run: remint rollback RUN",
            )
        held = published.get(declared)
        if held is not None and held.digest != dataset.logic_digest:
            change = observed.logic_changes.get(name, {}).get(held.digest)
            raise VersionNotRaised(
                f"the logic of {name} changed, and its version {declared} was published with another: "
                f"{change.words if change else 'what changed is not known'}; {_read_by(graph, name, change)}",
                hint=f"raise it: version={declared + 1}; to see what it does first: remint shadow {name} --range A..B",
            )


def refuse_recut(graph: DatasetGraph, observed: Observed, selection: tuple[DatasetName, ...]) -> None:
    """Refuse a dataset whose published partitions are cut by other columns than it declares.

    Raises:
        PlanError: names both.
    """
    for name in selection:
        partition, present = graph[name].partition, observed.standings[name].present
        if partition.grain is Grain.IDENTITY or all(bool(v) is bool(partition.label) for v in present.values):
            continue
        raise PlanError(
            f"{name} declares partitions by {' and '.join(partition.columns)}, but those that are published are cut "
            f"{'by the time alone' if partition.label else 'by a further column too'}",
            hint="a table is not cut anew: declare it under another name, and drop the old one when nothing reads it",
        )


def _read_by(graph: DatasetGraph, name: DatasetName, change: LogicChange | None) -> str:
    """Return in words who reads what changed, and how far that goes."""
    direct = readers(graph, name, change)
    if not direct:
        others = readers(graph, name, None)
        return f"nothing declared reads that, though {', '.join(others)} reads {name}" if others else "read by nothing"
    further = sorted({more for reader in direct for more in graph.downstream(reader)} - set(direct))
    return f"read by {', '.join(direct)}" + (f", and through them by {', '.join(further)}" if further else "")


def refuse_unsettled(graph: DatasetGraph, observed: Observed) -> None:
    """Refuse to plan or stage while a run is half published, or on Bronze that somebody else changed.

    Raises:
        PlanError: a run has begun to commit and was interrupted; names it.
        BronzeChanged: anything but remint's appends happened; names the table and the partitions.
    """
    for run in observed.outstanding:
        if run.state is RunState.PUBLISHING:
            raise PlanError(
                f"run {run.run_id} was interrupted while it published: some tables hold its partitions, some do not",
                hint=f"finish it first: remint resume {run.run_id}",
            )
    for dataset in graph:
        changed = observed.foreign.get(dataset.name)
        if dataset.layer is Layer.BRONZE and changed:
            raise BronzeChanged(
                f"{dataset.name} is append-only, but its files in {changed.keys.describe()} are not those that "
                f"remint ingested ({changed.by})",
                hint=f"remint doctor {dataset.name}    # lists the files; restore them before planning",
            )
