"""Views files: one release as views that DuckDB alone can read, replaced as a whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from remint.errors import ReadError, UsageError
from remint.execution.cut import Cut
from remint.model.provenance import Release

SUFFIXES = (".sql", ".duckdb")
_NOTE = (
    "These views show this release until the file is written again. Nothing keeps its files: once retention removes "
    "one, the views that need it fail."
)


def write_views(cut: Cut, path: Path) -> None:
    """Write the views of ``cut`` to ``path``; a reader, or a crash, sees the old file or the new one.

    Raises:
        UsageError: ``path`` ends neither in ``.sql`` nor in ``.duckdb``.
        ReadError: it cannot be written; ``path`` is as before.
        ReleaseIncomplete: a file of the release is gone; ``path`` is as before.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} ends neither in .sql nor in .duckdb", hint="remint views views.duckdb")
    log = Path(f"{path}.wal")
    if path.suffix == ".duckdb" and log.exists():
        raise ReadError(
            f"{log} is there: somebody has {path} open for writing, or wrote to it",
            hint="open views files with read_only=True; when nobody has it open, remove both files",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            new = folder / path.name
            cut.write_views(new, _about(cut.release))
            _sync(new)
            os.replace(new, path)
            _sync(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ReadError(f"the views cannot be written to {path}: {error.strerror}") from error


def _about(release: Release) -> dict[str, str]:
    return {
        "release_id": release.release_id,
        "run_id": release.run_id,
        "made_at": release.created_at,
        "last_seq": str(release.last_seq),
        "note": _NOTE,
    }


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
