"""Files that a run wrote and nothing accounts for: what a step that was interrupted leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from remint.model.provenance import DataFile
from remint.publishing.tools import Tools


def token(tools: Tools, run_id: str, *place: int) -> str:
    """Return the unique part of the names of files that this holder of a run stages at one place."""
    return "-".join([f"{run_id}-e{tools.store.held(run_id)}", *map(str, place)])


def leftovers(tools: Tools, folder: str, run_id: str, keep: Iterable[DataFile]) -> list[Path]:
    """Return the files below ``folder`` that this or an earlier holder of a run wrote and nothing accounts for.

    Those of a later holder are not found: a process that was taken for dead may look after it was superseded.
    """
    kept, held = {Path(folder) / f.path for f in keep}, tools.store.held(run_id)
    written = re.compile(rf"part-{re.escape(run_id)}-e(\d+)-")
    named = ((path, written.match(path.name)) for path in Path(folder).glob(f"**/part-{run_id}-*"))
    return [path for path, epoch in named if path not in kept and (epoch is None or int(epoch[1]) <= held)]


def discard(paths: Iterable[Path]) -> None:
    """Delete files; one that is gone already is no matter."""
    for path in paths:
        path.unlink(missing_ok=True)
