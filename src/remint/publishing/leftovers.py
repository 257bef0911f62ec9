"""Files that a run wrote and nothing accounts for: what a step that was interrupted leaves behind."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from remint.model.provenance import DataFile
from remint.publishing.tools import Tools
from remint.storage.base import below


def token(tools: Tools, run_id: str, *place: int) -> str:
    """Return the unique part of the names of files that this holder of a run stages at one place."""
    return "-".join([f"{run_id}-e{tools.store.held(run_id)}", *map(str, place)])


def leftovers(tools: Tools, folder: str, run_id: str, keep: Iterable[DataFile]) -> list[str]:
    """Return the places of files below ``folder`` that this or an earlier holder of a run wrote and nothing names.

    Those of a later holder are not found: a process that was taken for dead may look after it was superseded.
    """
    kept, held = {f.path for f in keep}, tools.store.held(run_id)
    written = re.compile(rf"part-{re.escape(run_id)}-(?:e(\d+)-)?")
    named = ((file.path, written.match(posixpath.basename(file.path))) for file in tools.storage.files(folder))
    return [
        below(folder, path)
        for path, match in named
        if match is not None and path not in kept and (match[1] is None or int(match[1]) <= held)
    ]
