"""The door for those who read what was published, from Python: it never writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remint.execution.reading import Reader


def open(path: str | Path = ".") -> Reader:
    """Open a project for reading alone: needs no permission to write, and no run has to wait for it.

    ``lake.releases()`` are the cuts that runs left. ``lake.at()`` is the newest, ``lake.at("release-7")`` or
    ``lake.at("r-20261102-...")`` another one. Everything that is read of one cut is of one release, over all tables:
    ``cut.sql("SELECT ...")`` and ``cut.arrow("gold.daily")`` give Arrow tables, ``cut.files("gold.daily")`` the Parquet
    files, ``cut.duckdb()`` a connection with a view for each table.

    Args:
        path: folder of the project, or one inside it.

    Raises:
        ProjectError: there is no project.
        ProjectInvalid: all mistakes of the project.
        NothingPublished: it has no state database yet.
        StoreError: its state database cannot be read.
    """
    from remint.workspace import ReadingWorkspace  # noqa: PLC0415 - a project's declarations import remint and need none of it

    return ReadingWorkspace.find(Path(path)).reader
