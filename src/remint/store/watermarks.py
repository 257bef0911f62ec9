"""Watermarks: pipeline state, the last event key fully processed in incremental mode.

Rules: only ``advance`` moves one; a backfill moves none unless it declared override_state; a move back needs that too.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, insert, select

from remint.errors import StoreError
from remint.model.dataset import DatasetName
from remint.model.request import Mode
from remint.model.run import Run
from remint.store.base import WatermarkMove
from remint.store.database import next_number
from remint.store.tables import watermarks


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
    if values and run.mode != Mode.INCREMENTAL and not run.override_state:
        raise StoreError(f"run {run.run_id} is a {run.mode} without override_state; it may not move watermarks")
    standing = current(connection)
    seq = next_number(connection, watermarks.c.seq)
    moves = [
        {"dataset": name, "value": value, "run_id": run.run_id, "moved_at": at}
        for name, value in sorted(values.items())
        if value != standing.get(name) and (run.override_state or value > standing.get(name, ""))
    ]
    if moves:
        connection.execute(insert(watermarks), [{"seq": n, **move} for n, move in enumerate(moves, seq)])
