"""Publish file replacements to every table of a run: intent before effect, read back after it, all or nothing.

Rules: the journal names every file before the first commit is sent; a commit is sent at most once for a run and
table, because an unknown outcome is resolved by the run's id in the table, never by trying again; a run that meets a
conflict takes back what it had committed before it gives up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from remint.errors import HalfPublished, PublishConflict, Unfinishable
from remint.formats.base import Landed, Replacement
from remint.model.dataset import Dataset, DatasetName, Layer
from remint.model.digest import canonical
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile, TableState
from remint.model.request import BackfillType
from remint.model.run import StepKind
from remint.model.wording import counted
from remint.publishing.accounted import files_known, is_gone
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.storage.base import below
from remint.store.values import AuditEntry, AuditStatus, Outcome, UnitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """Files that a run adds to one table and those that they take the place of."""

    dataset: Dataset
    adds: tuple[DataFile, ...]
    removes: tuple[DataFile, ...]

    @property
    def is_empty(self) -> bool:
        """True when the run leaves the table's files as they are."""
        return not self.adds and not self.removes


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the tables of a run stand after its commits."""

    versions: Mapping[DatasetName, int]
    """Version of each table that holds the run's change; the newest one where the run changed nothing."""
    accounted: Mapping[DatasetName, TableState]
    """Those in which every live file of the table is remint's; where somebody else wrote too, none."""


def intend(
    tools: Tools,
    run_id: str,
    changes: Sequence[TableChange],
    fence: Mapping[UnitKey, int | None],
    *,
    newest: Mapping[DatasetName, int] = MappingProxyType({}),
    also: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write down every file that the run will put in and take out, and move it to PUBLISHING.

    From here on the journal alone says what is published: the tables themselves may already show half of it.

    Args:
        tools: adapters.
        run_id: the run.
        changes: what it will do to each table.
        fence: head of each unit that the run started from; they must be the same when it succeeds.
        newest: newest ledger record of datasets of which every unit matters; only one run publishes to them at a time.
        also: further facts for the journal.

    Raises:
        PublishConflict: another run recorded one of these meanwhile, or is about to; nothing changed.
    """
    payload = {
        "tables": [
            {"dataset": c.dataset.name, "adds": canonical(c.adds), "removes": canonical(c.removes)} for c in changes
        ],
        "fence": [[name, key, seq] for (name, key), seq in sorted(fence.items())],
        "newest": dict(newest),
        **also,
    }
    tools.store.intend(run_id, payload, fence, newest)


def found_file(tools: Tools, dataset: Dataset, path: str, key: PartitionKey) -> DataFile:
    """Return a live file that remint did not write, with as much as a commit needs to take it out or put it back."""
    held = tools.storage.stat(below(tools.folder(dataset), path))
    return DataFile(path=path, key=key, rows=0, size_bytes=held.size_bytes if held else 0, sha256="", stats="{}")


def intended(tools: Tools, graph: DatasetGraph, run_id: str) -> list[TableChange]:
    """Return the changes that the run last wrote down with ``intend``."""
    newest = _intent(tools, run_id)
    return [
        TableChange(
            dataset=graph[table["dataset"]],
            adds=tuple(DataFile(**f) for f in table["adds"]),
            removes=tuple(DataFile(**f) for f in table["removes"]),
        )
        for table in newest["tables"]
    ]


def intended_fence(tools: Tools, run_id: str) -> dict[UnitKey, int | None]:
    """Return the heads that the run started from, as it wrote them down: read later, they could be another run's."""
    return {(name, key): seq for name, key, seq in _intent(tools, run_id)["fence"]}


def intended_also(tools: Tools, run_id: str, fact: str) -> Any:
    """Return a further fact that the run wrote down with its changes."""
    return _intent(tools, run_id)[fact]


def intended_newest(tools: Tools, run_id: str) -> dict[DatasetName, int]:
    """Return the newest ledger record of each dataset of which every unit matters, as ``intend`` was told."""
    return dict(_intent(tools, run_id)["newest"])


def _intent(tools: Tools, run_id: str) -> Mapping[str, Any]:
    return [e.payload for e in tools.store.journal(run_id) if e.kind is StepKind.PUBLISH_INTENT][-1]


def mend_tables(tools: Tools, graph: DatasetGraph, run_id: str) -> None:
    """Make the tables that a run was committing to readable again after a loss of power; what is moved is kept."""
    try:
        changes = intended(tools, graph, run_id)
        last = _count(tools, run_id, StepKind.WITHDRAW_INTENT) * 2 + 2
        for change in changes:
            back = TableChange(dataset=change.dataset, adds=change.removes, removes=change.adds)
            tries = [_replacement(run_id, back if n % 2 == 0 else change, n) for n in range(1, last + 1)]
            aside = tools.root / ".remint" / "repairs" / run_id / change.dataset.name
            for words in tools.tables.mend(tools.table(change.dataset), tries, aside):
                detail = f"{words}, as a loss of power leaves it: moved to {aside}"
                tools.emit(Event(kind=EventKind.MENDED, run_id=run_id, dataset=change.dataset.name, detail=detail))
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def require_finishable(tools: Tools, graph: DatasetGraph, run_id: str) -> None:
    """Refuse to go on publishing what is not as it was written, or to a table of Bronze that is gone.

    Raises:
        Unfinishable: says what is missing; nothing more is committed.
    """
    try:
        changes = intended(tools, graph, run_id)
        lacks = hindrances(tools, run_id, changes)
        if lacks:
            back = f'; or have taken back what the run committed, and let it be: remint waive {run_id} --reason "..."'
            raise Unfinishable(
                f"run {run_id} cannot be brought to its end:\n  " + "\n  ".join(lacks),
                hint=f"restore that from a backup, then: remint resume {run_id}"
                + ("" if kept_tables(tools, run_id, changes) else back),
            )
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def hindrances(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> list[str]:
    """Return in words why a run should not go on to publish; nothing where it is taking back what it had committed.

    Files that are live already count too, as long as they can be taken back: once the run is recorded, they are lost.
    """
    if is_withdrawing(tools, run_id):
        return []
    live, lacks = committed_tables(tools, run_id, changes), []
    for change in changes:
        dataset, folder = change.dataset, tools.folder(change.dataset)
        if change.is_empty or (dataset.name in live and dataset.layer is Layer.BRONZE):
            continue
        if dataset.layer is Layer.BRONZE and is_gone(tools, dataset):
            lacks.append(f"{dataset.name}: there is no table in {folder} any more")
        flawed = flawed_files(tools.storage, folder, change.adds, Depth.CONTENT)
        more = f"; and {len(flawed) - 1} more" if len(flawed) > 1 else ""
        lacks += [f"{dataset.name}: {flaw}{more}" for flaw in flawed[:1]]
    return lacks


def publish_tables(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> Published:
    """Commit every intended change, upstream first.

    A change without files still makes sure that its table exists. Calling it again after a crash at any point
    finishes what is left: a table that already took the run's commit is not committed to again.

    Raises:
        PublishConflict: somebody else changed a partition that the run replaces; nothing of the run is live.
        HalfPublished: as above, and what the run had committed could not be taken back.
    """
    attempt = _attempt(tools, run_id, changes)
    landed: dict[DatasetName, Landed] = {}
    for change in changes:
        folder = tools.folder(change.dataset)
        # A catalog may name the table before it has any file of its own: then its folder is there for good.
        tools.storage.prepare(folder)
        tools.storage.sync_names(folder, tools.lake)
        version = tools.tables.create(tools.table(change.dataset))
        landed[change.dataset.name] = Landed(version=version, after=version, table_id="")
    try:
        for change in changes:
            if change.is_empty or _landed(tools, run_id, change, attempt) is None:
                check(tools, change)
        for group in _groups(tools, changes):
            landed |= _publish(tools, run_id, group, attempt)
    except PublishConflict:
        withdraw(tools, run_id, changes)
        raise
    seen = tools.store.tables_seen()
    accounted = {
        c.dataset.name: state
        for c in changes
        if _is_accounted(tools, c, landed[c.dataset.name], seen.get(c.dataset.name))
        and (state := tools.tables.state(tools.table(c.dataset), landed[c.dataset.name].version))
    }
    return Published(versions={name: found.version for name, found in landed.items()}, accounted=accounted)


def _groups(tools: Tools, changes: Sequence[TableChange]) -> list[list[TableChange]]:
    """Return the changes that have files, cut where they cannot be committed together."""
    groups: list[list[TableChange]] = []
    for change in (c for c in changes if not c.is_empty):
        joined = [*groups[-1], change] if groups else [change]
        if groups and tools.tables.commits_together([tools.table(c.dataset) for c in joined]):
            groups[-1] = joined
        else:
            groups.append([change])
    return groups


def check(tools: Tools, change: TableChange) -> None:
    """Refuse a change whose partitions do not hold the files that it takes out.

    Raises:
        PublishConflict: somebody else wrote there.
    """
    if not change.is_empty:
        tools.tables.check(tools.table(change.dataset), _replacement("", change, 0))


def record_success(tools: Tools, changes: Sequence[TableChange], outcome: Outcome) -> None:
    """Record the success of a run whose ``changes`` are published, in one transaction.

    Raises:
        PublishConflict: another run recorded one of the units meanwhile; nothing of this run is live.
    """
    outcome = replace(outcome, began_again=began_again(tools, [c.dataset for c in changes]) or outcome.began_again)
    try:
        tools.store.finish(outcome)
    except PublishConflict:
        withdraw(tools, outcome.run_id, changes)
        raise
    if outcome.records:
        detail = f"{counted(len(outcome.records), 'partition')} recorded"
        tools.emit(Event(kind=EventKind.RECORDED, run_id=outcome.run_id, detail=detail))


def began_again(tools: Tools, datasets: Iterable[Dataset]) -> dict[DatasetName, int]:
    """Return the tables that have a lower version than the last release names, with that one: they were made anew."""
    last = tools.store.release()
    named = last.versions if last else {}
    return {
        d.name: named[d.name]
        for d in datasets
        if d.name in named and (tools.tables.version(tools.table(d)) or 0) < named[d.name]
    }


def withdraw(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> None:
    """Take back every commit of the run's current attempt: the files that were live before are live again.

    Raises:
        HalfPublished: a partition was changed again by somebody else, so its earlier files cannot be put back; the
            commits to all other tables are taken back.
    """
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    landed = [c for c in changes if not c.is_empty and _landed(tools, run_id, c, attempt) is not None]
    intent = _withdrawal(tools, run_id, landed, AuditStatus.STARTED)
    tools.store.journal_append(run_id, StepKind.WITHDRAW_INTENT, {"attempt": attempt}, audit=intent)
    stuck: dict[DatasetName, str] = {}
    live = [c for c in changes if not c.is_empty and _is_live(tools, run_id, c, attempt)]
    for group in _groups(tools, live):
        stuck |= _put_back(tools, run_id, group, attempt)
    if not stuck:
        done = _withdrawal(tools, run_id, landed, AuditStatus.SUCCESS)
        tools.store.journal_append(run_id, StepKind.WITHDRAWN, {"attempt": attempt}, audit=done)
        return
    half, failed = {"attempt": attempt, "tables": sorted(stuck)}, _withdrawal(tools, run_id, landed, AuditStatus.FAILED)
    tools.store.journal_append(run_id, StepKind.HALF_WITHDRAWN, half, audit=failed)
    raise HalfPublished(
        f"run {run_id} met a conflict after it had committed to {', '.join(sorted(stuck))}, and somebody changed "
        f"that table again: {'; '.join(stuck.values())}",
        hint='remint waive RUN --reason "..."    # leaves it so; what is live of it is foreign, and a plan heals it',
    )


def _put_back(tools: Tools, run_id: str, group: Sequence[TableChange], attempt: int) -> dict[DatasetName, str]:
    """Take back the attempt's commits to tables, together where that goes; return what keeps which from it."""
    back = [TableChange(dataset=c.dataset, adds=c.removes, removes=c.adds) for c in group]
    try:
        tools.tables.publish([(tools.table(c.dataset), _replacement(run_id, c, attempt + 1)) for c in back])
    except PublishConflict as error:
        if len(group) == 1:
            return {group[0].dataset.name: error.message}
        return {name: why for c in group for name, why in _put_back(tools, run_id, [c], attempt).items()}
    return {}


def _withdrawal(tools: Tools, run_id: str, landed: Sequence[TableChange], status: AuditStatus) -> AuditEntry | None:
    """Return what the log says of taking commits back; nothing where the run had made none."""
    if not landed:
        return None
    scope = Scope(datasets=tuple(sorted(c.dataset.name for c in landed)))
    return replace(audit_entry(tools.store.run(run_id), scope, status, tools.now()), action="withdraw")


def committed_tables(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> tuple[DatasetName, ...]:
    """Return the tables that took the commit of the run's current attempt."""
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    took = (c.dataset.name for c in changes if not c.is_empty and _landed(tools, run_id, c, attempt) is not None)
    return tuple(sorted(took))


def kept_tables(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> list[DatasetName]:
    """Return the tables of Bronze that took the run's commit: nothing is ever taken out of them."""
    took = committed_tables(tools, run_id, changes)
    return [c.dataset.name for c in changes if c.dataset.layer is Layer.BRONZE and c.dataset.name in took]


def stuck_tables(tools: Tools, run_id: str) -> tuple[DatasetName, ...]:
    """Return the tables from which the run's current attempt could not be taken back, as its journal says."""
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    steps = [e.payload for e in tools.store.journal(run_id) if e.kind is StepKind.HALF_WITHDRAWN]
    return tuple(steps[-1]["tables"]) if steps and steps[-1]["attempt"] == attempt else ()


def bar_from(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> None:
    """Keep every process that ever held the run from committing for it: also one that was paused in ``withdraw``."""
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    for change in changes:
        if not change.is_empty and not is_gone(tools, change.dataset):
            tools.tables.bar(tools.table(change.dataset), run_id, attempt + 1)


def _is_live(tools: Tools, run_id: str, change: TableChange, attempt: int) -> bool:
    """Return whether the commit of the attempt is to be taken back.

    An earlier holder of the run may be paused right before it; the first holder has nobody before it.
    """
    if is_gone(tools, change.dataset):
        return False
    if tools.store.held(run_id) > 1:
        return tools.tables.bar(tools.table(change.dataset), run_id, attempt)
    return _landed(tools, run_id, change, attempt) is not None and _landed(tools, run_id, change, attempt + 1) is None


def _attempt(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> int:
    """Return the number of the attempt to publish: odd; the even one after it takes it back."""
    if is_withdrawing(tools, run_id):
        withdraw(tools, run_id, changes)
        raise PublishConflict(
            f"run {run_id} was interrupted while it took its commits back; they are taken back now",
            hint=f'remint rollback {run_id} --reason "..."    # gives it up; then plan again',
        )
    return _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1


def is_withdrawing(tools: Tools, run_id: str) -> bool:
    """Return whether the run has begun to take back its commits, and has not finished that."""
    return _count(tools, run_id, StepKind.WITHDRAW_INTENT) > _count(tools, run_id, StepKind.WITHDRAWN)


def _count(tools: Tools, run_id: str, kind: StepKind) -> int:
    return len({e.payload["attempt"] for e in tools.store.journal(run_id) if e.kind is kind})


def _replacement(run_id: str, change: TableChange, attempt: int) -> Replacement:
    return Replacement(run_id=run_id, attempt=attempt, adds=change.adds, removes=change.removes)


def _landed(tools: Tools, run_id: str, change: TableChange, attempt: int) -> int | None:
    return tools.tables.published_version(tools.table(change.dataset), run_id, attempt)


def _publish(tools: Tools, run_id: str, group: Sequence[TableChange], attempt: int) -> dict[DatasetName, Landed]:
    """Commit changes that can be committed together, and journal each."""
    began = tools.stopwatch()
    landed = tools.tables.publish([(tools.table(c.dataset), _replacement(run_id, c, attempt)) for c in group])
    seconds = round((tools.stopwatch() - began) / len(group), 6)
    for change, found in zip(group, landed, strict=True):
        name, version = change.dataset.name, found.version
        payload = {"dataset": name, "version": version, "table": found.table_id, "seconds": seconds}
        tools.store.journal_append(run_id, StepKind.PUBLISHED, payload, audit=_logged(tools, run_id, change, version))
        detail = f"version {version}, {counted(len(change.adds), 'file')} in, {len(change.removes)} out"
        tools.emit(Event(kind=EventKind.PUBLISHED, run_id=run_id, dataset=name, detail=detail))
    return {change.dataset.name: found for change, found in zip(group, landed, strict=True)}


def _logged(tools: Tools, run_id: str, change: TableChange, version: int) -> AuditEntry | None:
    """Return what the log says of one table of a forced run, once; an ordinary run is logged as a whole."""
    run, name = tools.store.run(run_id), change.dataset.name
    if run.type != BackfillType.FORCED:
        return None
    for step in tools.store.journal(run_id):
        if step.kind is StepKind.PUBLISHED and (step.payload["dataset"], step.payload["version"]) == (name, version):
            return None
    detail = {"version": version, "files_in": len(change.adds), "files_out": len(change.removes)}
    touched = Scope(datasets=(name,), record_count=sum(f.rows for f in change.adds), detail=detail)
    return replace(audit_entry(run, touched, AuditStatus.SUCCESS, tools.now()), action="publish")


def _is_accounted(tools: Tools, change: TableChange, landed: Landed, seen: TableState | None) -> bool:
    """Return whether every live file is remint's, so that the next look at the table can trust its version."""
    table = tools.table(change.dataset)
    if seen is not None and landed.after == seen.version and tools.tables.state(table, seen.version) == seen:
        return True
    if tools.tables.version(table) != landed.version:
        return False
    live = tools.tables.live_files(table).values()
    known = {f.path for f in files_known(tools, change.dataset)}
    expected = known - {f.path for f in change.removes} | {f.path for f in change.adds}
    return set().union(*live) == expected
