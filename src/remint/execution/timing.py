"""Measure what staging takes, in the terms in which a plan estimates it."""

from __future__ import annotations

from collections.abc import Callable

from remint.engines.base import Scan, Staged, StageWork
from remint.execution.stage import Workpiece
from remint.model.cost import Timing
from remint.model.run import Stage
from remint.planner.cost import rows_read
from remint.storage.base import below


class Watch:
    """Adds up the seconds that each stage takes."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._began = stopwatch()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: Stage) -> None:
        """Count the time since the last lap for ``stage``."""
        now = self._stopwatch()
        self.seconds[stage.value] = round(self.seconds.get(stage.value, 0.0) + now - self._began, 6)
        self._began = now


def timed(piece: Workpiece, work: StageWork, staged: Staged, batch: int, watch: Watch) -> Timing:
    """Return what it took to stage ``work``; taken before the units join the workpiece."""
    return Timing(
        run_id=piece.run_id,
        dataset=work.dataset.name,
        batch=batch,
        units=len(work.keys),
        rows_read=rows_read(piece.graph, piece.after, work.dataset, work.keys),
        rows_written=staged.rows,
        bytes_scanned=sum(_size(piece, scan) for scan in work.inputs.values()),
        bytes_written=sum(f.size_bytes for f in staged.files),
        seconds=round(sum(watch.seconds.values()), 6),
        engine=piece.tools.engine.maker_of(work),
        recorded_at=piece.tools.now(),
    )


def _size(piece: Workpiece, scan: Scan) -> int:
    """Return the bytes of the files of a scan, all of which were proven before they were read."""
    return sum(piece.proven.get(below(scan.root, path), 0) for path in scan.paths)
