"""Runs that the tables know and the state database does not: what an older copy of it leaves behind.

Rule: before a run commits, its intent is in the journal. So a commit whose run has none there was made after the copy.
"""

from __future__ import annotations

from collections.abc import Iterable

from remint.errors import StateBehind
from remint.model.dataset import Dataset, DatasetName
from remint.model.observation import behind
from remint.model.run import StepKind
from remint.publishing.tools import Tools


def unrecorded_runs(tools: Tools, dataset: Dataset) -> tuple[str, ...]:
    """Return the runs that committed to the table and that the state database never saw begin to."""
    table, seen = tools.table(dataset), tools.store.tables_seen().get(dataset.name)
    now = tools.tables.state(table)
    if now is None or now == seen:
        return ()
    # Of a table that was made anew, what came after the version that was seen of the other says nothing.
    after = seen.version if seen and seen.table_id in ("", now.table_id) else None
    return tuple(run_id for run_id in tools.tables.runs_after(table, after) if not _intended(tools, run_id))


def refuse_unrecorded(tools: Tools, datasets: Iterable[Dataset]) -> None:
    """Refuse to write where the state database is older than the tables.

    Raises:
        StateBehind: names the runs; nothing is changed.
    """
    found: dict[DatasetName, tuple[str, ...]] = {d.name: unrecorded_runs(tools, d) for d in datasets}
    if any(found.values()):
        raise StateBehind(behind(found), hint="remint doctor    # says which tables, and how to go on")


def _intended(tools: Tools, run_id: str) -> bool:
    return any(entry.kind is StepKind.PUBLISH_INTENT for entry in tools.store.journal(run_id))
