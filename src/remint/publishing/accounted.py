"""The tables as the ledger knows them: their files, and which of them are gone."""

from __future__ import annotations

from remint.model.dataset import Dataset
from remint.model.provenance import DataFile
from remint.publishing.tools import Tools


def files_known(tools: Tools, dataset: Dataset) -> list[DataFile]:
    """Return every file that the ledger says is live in the dataset's table."""
    return [f for record in tools.store.records(dataset.name).values() for f in record.files]


def is_gone(tools: Tools, dataset: Dataset) -> bool:
    """Return whether there is no table, although the ledger knows files of it."""
    return tools.tables.version(tools.table(dataset)) is None and bool(files_known(tools, dataset))
