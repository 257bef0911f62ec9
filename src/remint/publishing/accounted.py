"""The states of tables that the ledger accounts for: those in which every live file is remint's."""

from __future__ import annotations

from remint.model.dataset import Dataset
from remint.model.provenance import TableState
from remint.publishing.tools import Tools


def state_at(tools: Tools, dataset: Dataset, version: int) -> TableState:
    """Return a version of the dataset's table, and what tells it from others of its number."""
    return TableState(version=version, mark=tools.tables.mark(tools.table(dataset), version))


def is_seen(tools: Tools, dataset: Dataset, version: int | None, seen: TableState | None) -> bool:
    """Return whether a version of the dataset's table is the one that was seen."""
    if version is None or seen is None or not seen.mark:
        return False
    return version == seen.version and state_at(tools, dataset, version) == seen
