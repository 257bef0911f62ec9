"""What sources were asked for and what they delivered, run by run; a window without rows is kept like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from remint.model.dataset import DatasetName
from remint.store import tables
from remint.store.database import next_number
from remint.store.values import Coverage, CoverageKind


def of(connection: Connection, dataset: DatasetName) -> list[Coverage]:
    """Return all that was asked for, oldest first."""
    shown = [tables.coverage.c[f.name] for f in fields(Coverage)]
    wanted = select(*shown).where(tables.coverage.c.dataset == dataset).order_by(tables.coverage.c.seq)
    return [Coverage(**{**row._mapping, "kind": CoverageKind(row.kind)}) for row in connection.execute(wanted)]


def append(connection: Connection, found: Sequence[Coverage]) -> None:
    """Append what a run was given."""
    if found:
        first = next_number(connection, tables.coverage.c.seq)
        connection.execute(insert(tables.coverage), [{"seq": n, **asdict(c)} for n, c in enumerate(found, first)])
