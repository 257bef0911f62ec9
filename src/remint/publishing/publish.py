"""Publish file replacements to every table of a run: intent before effect, read back after it, all or nothing.

Rules: the journal names every file before the first commit is sent; a commit is sent at most once for a run and
table, because an unknown outcome is resolved by the run's id in the table, never by trying again; a run that meets a
conflict takes back what it had committed before it gives up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from remint.errors import HalfPublished, PublishConflict
from remint.formats.base import Replacement
from remint.model.dataset import Dataset, DatasetName
from remint.model.digest import canonical
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.provenance import DataFile
from remint.model.request import BackfillType
from remint.model.run import RunState, StepKind
from remint.model.wording import counted
from remint.publishing.record import Scope, audit_entry
from remint.publishing.tools import Tools
from remint.store.values import AuditEntry, AuditStatus, Outcome


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
    accounted: Mapping[DatasetName, int]
    """Those versions in which every live file of the table is remint's; where somebody else wrote too, none."""


def intend(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> None:
    """Write down every file that the run will put in and take out, and move it to PUBLISHING.

    From here on the journal alone says what is published: the tables themselves may already show half of it.
    """
    payload = {
        "tables": [
            {"dataset": c.dataset.name, "adds": canonical(c.adds), "removes": canonical(c.removes)} for c in changes
        ]
    }
    tools.store.journal_append(run_id, StepKind.PUBLISH_INTENT, payload)
    tools.store.set_state(run_id, RunState.PUBLISHING)


def intended(tools: Tools, graph: DatasetGraph, run_id: str) -> list[TableChange]:
    """Return the changes that the run last wrote down with ``intend``."""
    newest = [e for e in tools.store.journal(run_id) if e.kind is StepKind.PUBLISH_INTENT][-1]
    return [
        TableChange(
            dataset=graph[table["dataset"]],
            adds=tuple(DataFile(**f) for f in table["adds"]),
            removes=tuple(DataFile(**f) for f in table["removes"]),
        )
        for table in newest.payload["tables"]
    ]


def publish_tables(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> Published:
    """Commit every intended change, upstream first.

    A change without files still makes sure that its table exists. Calling it again after a crash at any point
    finishes what is left: a table that already took the run's commit is not committed to again.

    Raises:
        PublishConflict: somebody else changed a partition that the run replaces; nothing of the run is live.
        HalfPublished: as above, and what the run had committed could not be taken back.
    """
    attempt = _attempt(tools, run_id, changes)
    for change in changes:
        tools.tables.create(tools.table(change.dataset))
    versions: dict[DatasetName, int] = {}
    try:
        for change in changes:
            if change.is_empty or _landed(tools, run_id, change, attempt) is None:
                check(tools, change)
        for change in changes:
            versions[change.dataset.name] = _publish(tools, run_id, change, attempt)
    except PublishConflict:
        withdraw(tools, run_id, changes)
        raise
    seen = tools.store.tables_seen()
    accounted = {
        c.dataset.name: versions[c.dataset.name]
        for c in changes
        if _is_accounted(tools, c, versions[c.dataset.name], seen.get(c.dataset.name))
    }
    return Published(versions=versions, accounted=accounted)


def is_begun(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> bool:
    """Return whether any table holds a commit of the run that was not taken back."""
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    return any(not c.is_empty and _landed(tools, run_id, c, attempt) is not None for c in changes)


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
    try:
        tools.store.finish(outcome)
    except PublishConflict:
        withdraw(tools, outcome.run_id, changes)
        raise
    detail = f"{counted(len(outcome.records), 'partition')} recorded"
    tools.emit(Event(kind=EventKind.RECORDED, run_id=outcome.run_id, detail=detail))


def withdraw(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> None:
    """Take back every commit of the run's current attempt: the files that were live before are live again.

    Raises:
        HalfPublished: a partition was changed again by somebody else, so its earlier files cannot be put back.
    """
    attempt = _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1
    tools.store.journal_append(run_id, StepKind.WITHDRAW_INTENT, {"attempt": attempt})
    for change in changes:
        if change.is_empty or _landed(tools, run_id, change, attempt) is None:
            continue
        if _landed(tools, run_id, change, attempt + 1) is not None:
            continue
        back = TableChange(dataset=change.dataset, adds=change.removes, removes=change.adds)
        try:
            tools.tables.publish(tools.table(change.dataset), _replacement(run_id, back, attempt + 1))
        except PublishConflict as error:
            raise HalfPublished(
                f"run {run_id} met a conflict after it had committed to {change.dataset.name}, and somebody changed "
                f"that table again: {error.message}",
                hint="remint doctor    # shows whose files are live; then remint plan heals them",
            ) from error
    tools.store.journal_append(run_id, StepKind.WITHDRAWN, {"attempt": attempt})


def _attempt(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> int:
    """Return the number of the attempt to publish: odd; the even one after it takes it back."""
    if _count(tools, run_id, StepKind.WITHDRAW_INTENT) > _count(tools, run_id, StepKind.WITHDRAWN):
        withdraw(tools, run_id, changes)
        raise PublishConflict(
            f"run {run_id} met a conflict and was interrupted while it took its commits back; they are taken back now",
            hint=f"remint rollback {run_id}    # gives it up; then plan again",
        )
    return _count(tools, run_id, StepKind.WITHDRAWN) * 2 + 1


def _count(tools: Tools, run_id: str, kind: StepKind) -> int:
    return len({e.payload["attempt"] for e in tools.store.journal(run_id) if e.kind is kind})


def _replacement(run_id: str, change: TableChange, attempt: int) -> Replacement:
    return Replacement(run_id=run_id, attempt=attempt, adds=change.adds, removes=change.removes)


def _landed(tools: Tools, run_id: str, change: TableChange, attempt: int) -> int | None:
    return tools.tables.published_version(tools.table(change.dataset), run_id, attempt)


def _publish(tools: Tools, run_id: str, change: TableChange, attempt: int) -> int:
    table = tools.table(change.dataset)
    if change.is_empty:
        return tools.tables.create(table)
    began = tools.stopwatch()
    version = _landed(tools, run_id, change, attempt)
    if version is None:
        version = tools.tables.publish(table, _replacement(run_id, change, attempt))
    seconds = round(tools.stopwatch() - began, 6)
    payload = {"dataset": table.name, "version": version, "seconds": seconds}
    tools.store.journal_append(run_id, StepKind.PUBLISHED, payload, audit=_logged(tools, run_id, change, version))
    detail = f"version {version}, {counted(len(change.adds), 'file')} in, {len(change.removes)} out"
    tools.emit(Event(kind=EventKind.PUBLISHED, run_id=run_id, dataset=table.name, detail=detail))
    return version


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


def _is_accounted(tools: Tools, change: TableChange, version: int, seen: int | None) -> bool:
    """Return whether every live file is remint's, so that the next look at the table can trust its version."""
    if seen is not None and version == seen + (not change.is_empty):
        return True
    if tools.tables.version(tools.table(change.dataset)) != version:
        return False
    live = tools.tables.live_files(tools.table(change.dataset)).values()
    known = {f.path for r in tools.store.records(change.dataset.name).values() for f in r.files}
    expected = known - {f.path for f in change.removes} | {f.path for f in change.adds}
    return set().union(*live) == expected
