"""Files that a run wrote and nothing accounts for: what a step that was interrupted leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from remint.model.provenance import DataFile


def discard_leftovers(folder: str, run_id: str, keep: Iterable[DataFile]) -> int:
    """Delete the files that ``run_id`` wrote below ``folder`` and nothing accounts for; return how many."""
    kept = {Path(folder) / f.path for f in keep}
    found = [p for p in Path(folder).glob(f"**/part-{run_id}-*") if p not in kept]
    for path in found:
        path.unlink()
    return len(found)
