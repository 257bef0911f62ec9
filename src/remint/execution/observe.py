"""Read the world once: how every dataset stands; of the units that matter, heads, digests and arrivals too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from remint.errors import PlanError, StoreError
from remint.failures import machine_failure
from remint.model.dataset import Dataset, DatasetName, Layer
from remint.model.graph import DatasetGraph
from remint.model.observation import Columns, Foreign, Observed
from remint.model.partition import PartitionKey, PartitionSet, gathered
from remint.model.provenance import Head
from remint.model.request import Request
from remint.model.run import RunState
from remint.model.standing import Standing
from remint.planner.coverage import covered_days
from remint.planner.folding import fold, usable
from remint.planner.scope import concerned, read_by
from remint.planner.staleness import changed_heads
from remint.planner.survey import World
from remint.publishing.intact import Depth, flawed_files, published_files, require_intact
from remint.publishing.lease import others_at_work
from remint.publishing.scheme import in_own_scheme
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import unrecorded_runs
from remint.storage.base import below
from remint.store.values import CoverageKind, Projection

T = TypeVar("T")

_LOADED_AT_ONCE = 50_000
PATIENCE_S = 10.0
"""How long a look at the tables waits for runs that are publishing."""
_PAUSE_S = 0.05
_LOOKED_AT = 20_000
"""Event partitions whose files a plan looks at; those of more are looked at when they are staged."""


def observe(tools: Tools, graph: DatasetGraph, request: Request | None = None) -> Observed:
    """Return the state of every dataset of ``graph``, close up where ``request`` (or nothing) may plan something.

    Derived state in the store (standings, digests over columns) is brought up to date; tables are only read.
    """
    world = World(project="", graph=graph, observed=_standing(tools, graph))
    observed = _close_up(tools, world, concerned(request, world))
    return _settled(tools, graph, observed)


def observe_units(tools: Tools, graph: DatasetGraph, units: Mapping[DatasetName, PartitionSet]) -> Observed:
    """Return the state of every dataset of ``graph``, close up for ``units`` and what they read."""
    world = World(project="", graph=graph, observed=_standing(tools, graph))
    return _close_up(tools, world, dict(units))


def _standing(tools: Tools, graph: DatasetGraph) -> Observed:
    """Return how every dataset stands, from far: no heads, no digests.

    What a run that is publishing right now has in the tables already is not in the ledger yet, and would be taken for
    somebody else's: so the look is taken again when it has ended. One that was interrupted is not waited for, nor
    the one that looks.
    """
    until = tools.stopwatch() + PATIENCE_S
    while True:
        before = tools.store.last_record()
        found = _looked(tools, graph, before)
        publishing = {r.run_id for r in found.outstanding if r.state is RunState.PUBLISHING}
        is_moving = bool(publishing and publishing & others_at_work(tools))
        is_moving = is_moving or bool(found.foreign and tools.store.last_record() != before)
        if not is_moving or tools.stopwatch() > until:
            return found
        time.sleep(_PAUSE_S)


def _looked(tools: Tools, graph: DatasetGraph, last: tuple[int, str]) -> Observed:
    last_seq, last_run = last
    standings = _up_to_date(tools, graph, last_seq)
    return Observed(
        standings=standings,
        last_seq=last_seq,
        last_run=last_run,
        foreign=_foreign(tools, _moved(tools, graph)),
        outstanding=tuple(tools.store.outstanding()),
        logics=tools.store.logics([d.name for d in graph]),
        covered=dict(_covered(tools, graph, standings)),
    )


def _up_to_date(tools: Tools, graph: DatasetGraph, last_seq: int) -> dict[DatasetName, Standing]:
    kept = usable(graph, tools.store.standings())
    behind = [standing.through_seq for standing in kept.values()]
    if min(behind, default=last_seq) >= last_seq:
        return fold(graph, kept, ())
    found = fold(graph, kept, tools.store.changes(min(behind)))
    _keep(tools.store.save_standings, found)
    return found


def _keep(save: Callable[[T], None], derived: T) -> None:
    """Save what can be made again, where the state database takes it now: whoever only looks waits for nobody."""
    with suppress(StoreError):
        save(derived)


def _close_up(tools: Tools, world: World, units: dict[DatasetName, PartitionSet]) -> Observed:
    graph, observed = world.graph, world.observed
    published, arrived = read_by(world, units)
    # A unit that was taken back has a record too, which the next one must follow on.
    standings = observed.standings
    held = ((name, keys & (standings[name].present | standings[name].withdrawn)) for name, keys in units.items())
    wanted = gathered([*published.items(), *held])
    heads = tools.store.heads(list(wanted), wanted)
    read = {name for found in (published, arrived) for name, keys in found.items() if keys}
    bronze = [d for d in graph if d.layer is Layer.BRONZE and d.name in read]
    return replace(
        observed,
        foreign={**observed.foreign, **_foreign(tools, [d for d in bronze if d.name not in observed.foreign])},
        damaged=dict(_damaged(tools, bronze, arrived)),
        heads={d.name: heads.get(d.name, {}) for d in graph},
        arrivals={name: tools.store.arrivals(name, keys) for name, keys in arrived.items()},
        projections=_projections(tools, graph, heads, published),
    )


def _projections(
    tools: Tools,
    graph: DatasetGraph,
    heads: Mapping[DatasetName, Mapping[PartitionKey, Head]],
    read: Mapping[DatasetName, PartitionSet],
) -> dict[tuple[DatasetName, Columns], dict[PartitionKey, str]]:
    """Return the digests over the columns that consumers read; those never computed are computed from the files."""
    wanted = {(e.dataset, e.columns) for d in graph for e in d.inputs if e.columns is not None and e.dataset in read}
    found = {}
    for name, columns in sorted(wanted):
        contents = {k: h.digest for k, h in heads[name].items() if k in read[name] and not h.is_missing}
        known = tools.store.projections(name, columns, contents.values())
        unknown = {k: content for k, content in contents.items() if content not in known}
        if unknown:
            known |= project(tools, graph[name], columns, unknown)
        found[name, columns] = {k: known[content] for k, content in contents.items() if content in known}
    return found


def project(tools: Tools, dataset: Dataset, columns: Columns, contents: Mapping[PartitionKey, str]) -> dict[str, str]:
    """Compute, keep and return the digests over ``columns`` of published partitions, by their content."""
    records = tools.store.records(dataset.name, list(contents))
    # What is learned of a content is kept for ever, so a damaged file must not speak for it.
    require_intact(tools, dataset, [f for r in records.values() for f in r.files])
    scan = tools.scan(dataset, (f for r in records.values() for f in r.files))
    digests = tools.engine.digests(scan, columns)
    made = {
        content: str(digests[key]) if key in digests else content
        for key, content in contents.items()
        if key in records and records[key].digest == content
    }
    learned = [Projection(dataset=dataset.name, content=c, columns=columns, digest=d) for c, d in made.items()]
    _keep(tools.store.learn, learned)
    return made


def _settled(tools: Tools, graph: DatasetGraph, observed: Observed) -> Observed:
    """Return ``observed`` with what outdated units were made from; suspects that prove fresh are suspects no more."""
    outdated = changed_heads(graph, observed)
    stale = set(outdated)
    cleared = {}
    for name, standing in observed.standings.items():
        heads = observed.heads.get(name, {})
        proven = [k for k in standing.suspects if k in heads and heads[k].seq not in stale]
        if proven and graph[name].transform is not None:
            left = standing.suspects - PartitionSet.of(standing.suspects.grain, proven)
            cleared[name] = replace(standing, suspects=left)
    if cleared:
        _keep(tools.store.save_standings, cleared)
    return replace(
        observed,
        standings={**observed.standings, **cleared},
        inputs=tools.store.inputs(outdated),
        runs=_why(tools, graph, observed, stale),
    )


def _why(tools: Tools, graph: DatasetGraph, observed: Observed, stale: set[int]) -> dict[str, str]:
    """Return, for each run that made what outdated units read, who it was and why it was made."""
    readers = [d for d in graph if any(h.seq in stale for h in observed.heads.get(d.name, {}).values())]
    sources = {e.dataset for d in readers for e in d.inputs}
    ids = sorted({h.run_id for name in sources for h in observed.heads.get(name, {}).values()})
    if not stale or len(ids) > _LOADED_AT_ONCE:
        return {}
    found = {}
    for run_id in ids:
        run = tools.store.run(run_id)
        found[run_id] = f"run {run_id} ({run.trigger}: {run.reason})"
    return found


def _covered(
    tools: Tools, graph: DatasetGraph, standings: Mapping[DatasetName, Standing]
) -> Iterable[tuple[DatasetName, PartitionSet]]:
    """Yield the days that each source has answered for."""
    for dataset in graph:
        if dataset.source is None:
            continue
        asked = [(c.start, c.end) for c in tools.store.coverage(dataset.name) if c.kind is CoverageKind.DAYS]
        days = covered_days(dataset, asked, standings[dataset.name].arrived)
        if days is not None:
            yield dataset.name, days


def _moved(tools: Tools, graph: DatasetGraph) -> Iterable[Dataset]:
    """Yield the datasets whose table is in another state than the ledger accounts for."""
    seen = tools.store.tables_seen()
    for dataset in graph:
        known = seen.get(dataset.name)
        if known is None or tools.tables.state(tools.table(dataset)) != known:
            yield dataset


def _foreign(tools: Tools, datasets: Iterable[Dataset]) -> dict[DatasetName, Foreign]:
    """Return what somebody else did to tables, which are opened.

    That a table has the version which was seen last says nothing of what its log holds now: of Bronze that is about to
    be read, the log is read anew.
    """
    found = {}
    for dataset in datasets:
        keys = foreign_keys(tools, dataset)
        if dataset.layer is Layer.BRONZE and keys:
            state = tools.tables.state(tools.table(dataset))
            keys = foreign_keys(tools, dataset)  # again: a commit since the first look is in the state
            same = rewritten_keys(tools, dataset, keys)
            keys = keys - same
            if state and same and not keys:
                tools.store.account_for({dataset.name: state})
        if keys:
            by = tools.tables.foreign_writer(tools.table(dataset))
            found[dataset.name] = Foreign(keys=keys, by=by, unrecorded=unrecorded_runs(tools, dataset))
    return found


def rewritten_keys(tools: Tools, dataset: Dataset, keys: Iterable[PartitionKey]) -> PartitionSet:
    """Return those of ``keys`` whose live files, though not remint's, hold the very rows that remint published.

    That is what compaction does. The rows are read and digested: what a commit says of itself proves nothing.
    """
    live, records = tools.tables.live_files(tools.table(dataset)), tools.store.records(dataset.name, list(keys))
    folder, same = tools.folder(dataset), []
    for key in sorted(k for k, record in records.items() if record.files and live.get(k)):
        scan = tools.scan(dataset, sorted(live[key]))
        if any(tools.storage.stat(below(folder, path)) is None for path in live[key]):
            continue
        try:
            digests = tools.engine.digests(scan)
        except Exception as error:
            if refused := machine_failure(error):
                raise refused from error
            continue
        if {k: str(d) for k, d in digests.items()} == in_own_scheme(tools, dataset, {key: records[key]}):
            same.append(key)
    return PartitionSet.of(dataset.partition.grain, same)


def _damaged(
    tools: Tools, bronze: Iterable[Dataset], arrived: Mapping[DatasetName, PartitionSet]
) -> Iterable[tuple[DatasetName, tuple[str, ...]]]:
    """Yield files of Bronze that would be read and are gone or of another size; staging hashes them as well."""
    for dataset in bronze:
        keys = arrived.get(dataset.name)
        if not keys or len(keys) > _LOOKED_AT:
            continue
        paths = {p for rivals in (False, True) for p in tools.store.arrival_files(dataset.name, keys, rivals=rivals)}
        files = published_files(tools, dataset, paths) if paths else []
        flawed = flawed_files(tools.storage, tools.folder(dataset), files, Depth.SIZE)
        if flawed:
            yield dataset.name, tuple(map(str, flawed))


def foreign_keys(tools: Tools, dataset: Dataset) -> PartitionSet:
    """Return the partitions of one table whose live files are not those of the ledger.

    Raises:
        PlanError: somebody else wrote rows without a partition value, which nothing here can name.
    """
    table = tools.table(dataset)
    live = tools.tables.live_files(table)
    ledger = {
        key: frozenset(f.path for f in record.files)
        for key, record in tools.store.records(dataset.name).items()
        if record.files
    }
    if "" in live:
        column = dataset.partition.column
        raise PlanError(
            f"{dataset.name}: somebody else wrote rows without {column} ({tools.tables.foreign_writer(table)}), and no "
            "partition can hold them",
            hint=f"delete them with the tool that wrote them: DELETE ... WHERE {column} IS NULL",
        )
    different = [key for key in {*live, *ledger} if live.get(key, frozenset()) != ledger.get(key, frozenset())]
    return PartitionSet.of(dataset.partition.grain, different)
