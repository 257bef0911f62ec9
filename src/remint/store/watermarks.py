"""Watermarks: pipeline state, the last event key processed, or the cursor at which a source is read on.

Rules: only ``advance`` and ``set_cursors`` move one; a backfill moves none unless it declared override_state; a move
back needs that too.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, insert, select

from remint.errors import StoreError
from remint.model.dataset import DatasetName
from remint.model.request import Mode
from remint.model.run import Run
from remint.store.database import next_number
from remint.store.tables import watermarks
from remint.store.values import CursorMove, WatermarkMove


def current(connection: Connection) -> dict[DatasetName, str]:
    """Return where each watermark stands."""
    last = select(func.max(watermarks.c.seq)).group_by(watermarks.c.dataset)
    wanted = select(watermarks.c.dataset, watermarks.c.value).where(watermarks.c.seq.in_(last))
    return {row.dataset: row.value for row in connection.execute(wanted.order_by(watermarks.c.dataset))}


def history(connection: Connection, dataset: DatasetName) -> list[WatermarkMove]:
    """Return the moves of a dataset's watermark, oldest first."""
    shown = [column for column in watermarks.c if column.name != "seq"]
    wanted = select(*shown).where(watermarks.c.dataset == dataset).order_by(watermarks.c.seq)
    return [WatermarkMove(**row._mapping) for row in connection.execute(wanted)]


def advance(connection: Connection, run: Run, values: Mapping[DatasetName, str], at: str) -> None:
    """Move watermarks to ``values``, compared as text; those that stand there or further on stay.

    With override_state they go exactly to ``values``, back as well.

    Raises:
        StoreError: the run's mode may not move watermarks.
    """
    _require_leave(run, values)
    standing = current(connection)
    further = {name: value for name, value in values.items() if run.override_state or value > standing.get(name, "")}
    _append(connection, run, {n: v for n, v in further.items() if v != standing.get(n)}, at)


def set_cursors(connection: Connection, run: Run, moves: Mapping[DatasetName, CursorMove], at: str) -> None:
    """Set watermarks that are cursors, which have no order; one that moved since the run began stays.

    With override_state they are set wherever they stand.

    Raises:
        StoreError: the run's mode may not move watermarks.
    """
    _require_leave(run, moves)
    standing = current(connection)
    due = {name: m.value for name, m in moves.items() if run.override_state or m.began_at == standing.get(name)}
    _append(connection, run, {n: v for n, v in due.items() if v != standing.get(n)}, at)


def _require_leave(run: Run, wanted: Mapping[DatasetName, object]) -> None:
    if wanted and run.mode != Mode.INCREMENTAL and not run.override_state:
        raise StoreError(f"run {run.run_id} is a {run.mode} without override_state; it may not move watermarks")


def _append(connection: Connection, run: Run, values: Mapping[DatasetName, str], at: str) -> None:
    seq = next_number(connection, watermarks.c.seq)
    moves = [
        {"dataset": name, "value": value, "run_id": run.run_id, "moved_at": at}
        for name, value in sorted(values.items())
    ]
    if moves:
        connection.execute(insert(watermarks), [{"seq": n, **move} for n, move in enumerate(moves, seq)])
