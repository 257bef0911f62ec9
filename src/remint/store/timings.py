"""Timings: what staging took, append-only; cost estimates are learned from the newest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import Connection, Row, insert, select

from remint.model.cost import Timing
from remint.model.dataset import DatasetName
from remint.store.database import next_number
from remint.store.tables import timings

_COLUMNS = [column for column in timings.c if column.name != "seq"]


def _timing(row: Row[tuple[object, ...]]) -> Timing:
    return Timing(**row._mapping)


def newest(
    connection: Connection, datasets: Collection[DatasetName], limit: int
) -> dict[DatasetName, tuple[Timing, ...]]:
    """Return, by dataset, its timings, newest first; datasets that never ran are absent."""
    found = {}
    for name in sorted(datasets):
        wanted = select(*_COLUMNS).where(timings.c.dataset == name).order_by(timings.c.seq.desc()).limit(limit)
        rows = tuple(_timing(row) for row in connection.execute(wanted))
        if rows:
            found[name] = rows
    return found


def of_run(connection: Connection, run_id: str) -> list[Timing]:
    """Return the timings of a run in the order in which they were taken."""
    wanted = select(*_COLUMNS).where(timings.c.run_id == run_id).order_by(timings.c.seq)
    return [_timing(row) for row in connection.execute(wanted)]


def append(connection: Connection, timing: Timing) -> None:
    """Append a timing."""
    connection.execute(insert(timings), {"seq": next_number(connection, timings.c.seq), **asdict(timing)})
