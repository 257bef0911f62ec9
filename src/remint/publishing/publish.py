"""Publish file replacements to every table of a run: intent before effect, read back after it.

Rules: the journal names every file before the first commit is sent; a commit is sent at most once for a run and
table, because an unknown outcome is resolved by the run's id in the table, never by trying again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remint.formats.base import Replacement
from remint.model.dataset import Dataset, DatasetName
from remint.model.event import Event, EventKind
from remint.model.provenance import DataFile
from remint.model.run import StepKind
from remint.publishing.tools import Tools

_ATTEMPT = 1
"""A run commits to a table once; resuming continues the same attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """Files that a run adds to one table and those that they take the place of."""

    dataset: Dataset
    adds: tuple[DataFile, ...]
    removes: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the tables of a run stand after its commits."""

    versions: Mapping[DatasetName, int]
    """Version of each table that holds the run's change; the newest one where the run changed nothing."""
    accounted: Mapping[DatasetName, int]
    """Those versions in which every live file of the table is remint's; where somebody else wrote too, none."""


def publish_tables(tools: Tools, run_id: str, changes: Sequence[TableChange]) -> Published:
    """Commit every change, upstream first.

    A change without files still makes sure that its table exists. Calling it again after a crash at any point
    finishes what is left: a table that already took the run's commit is not committed to again.

    Raises:
        PublishConflict: somebody else changed a partition that the run replaces; earlier tables keep their commit.
    """
    for change in changes:
        tools.tables.create(tools.table(change.dataset))
    tools.store.journal_append(
        run_id, StepKind.PUBLISH_INTENT, {c.dataset.name: [f.path for f in c.adds] for c in changes}
    )
    versions: dict[DatasetName, int] = {}
    for change in changes:
        versions[change.dataset.name] = _publish(tools, run_id, change)
    seen = tools.store.tables_seen()
    accounted = {
        c.dataset.name: versions[c.dataset.name]
        for c in changes
        if _is_accounted(tools, c, versions[c.dataset.name], seen.get(c.dataset.name))
    }
    return Published(versions=versions, accounted=accounted)


def _is_accounted(tools: Tools, change: TableChange, version: int, seen: int | None) -> bool:
    """Return whether every live file is remint's, so that the next look at the table can trust its version."""
    commits = 1 if change.adds or change.removes else 0
    if seen is not None and version == seen + commits:
        return True
    if tools.tables.version(tools.table(change.dataset)) != version:
        return False
    live = tools.tables.live_files(tools.table(change.dataset)).values()
    known = {f.path for r in tools.store.records(change.dataset.name).values() for f in r.files}
    expected = known - {f.path for f in change.removes} | {f.path for f in change.adds}
    return set().union(*live) == expected


def _publish(tools: Tools, run_id: str, change: TableChange) -> int:
    table = tools.table(change.dataset)
    if not change.adds and not change.removes:
        return tools.tables.create(table)
    version = tools.tables.published_version(table, run_id, _ATTEMPT)
    if version is None:
        replacement = Replacement(run_id=run_id, attempt=_ATTEMPT, adds=change.adds, removes=change.removes)
        version = tools.tables.publish(table, replacement)
    tools.store.journal_append(run_id, StepKind.PUBLISHED, {"dataset": table.name, "version": version})
    detail = f"version {version}, {len(change.adds)} files in, {len(change.removes)} out"
    tools.emit(Event(kind=EventKind.PUBLISHED, run_id=run_id, dataset=table.name, detail=detail))
    return version
