"""Releases: consistent cuts over all tables; and the table versions that the ledger accounts for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from remint.model.dataset import DatasetName
from remint.model.provenance import RELEASE_PREFIX, Release, TableState
from remint.store.database import next_number
from remint.store.tables import ledger, releases, tables_seen
from remint.store.values import Outcome


def every(connection: Connection) -> list[Release]:
    """Return all releases, oldest first."""
    return [_release(row) for row in connection.execute(select(releases).order_by(releases.c.number))]


def of_run(connection: Connection, run_id: str) -> Release | None:
    """Return the release that a run made."""
    row = connection.execute(select(releases).where(releases.c.run_id == run_id)).first()
    return None if row is None else _release(row)


def named(connection: Connection, release_id: str) -> Release | None:
    """Return the release of this name."""
    row = connection.execute(select(releases).where(releases.c.release_id == release_id)).first()
    return None if row is None else _release(row)


def newest(connection: Connection) -> Release | None:
    """Return the last release."""
    row = connection.execute(select(releases).order_by(releases.c.number.desc()).limit(1)).first()
    return None if row is None else _release(row)


def _release(row: Row[Any]) -> Release:
    return Release(
        release_id=row.release_id,
        run_id=row.run_id,
        last_seq=row.last_seq,
        versions=json.loads(row.versions),
        created_at=row.created_at,
    )


def append(connection: Connection, outcome: Outcome) -> Release:
    """Append the release of a run: the last one, with the tables that the run published moved on."""
    number = next_number(connection, releases.c.number)
    text = connection.scalar(select(releases.c.versions).where(releases.c.number == number - 1))
    before = json.loads(text or "{}")
    # Another run may have recorded the table that began again by now: then its version is compared as ever.
    lost = {name for name, version in outcome.began_again.items() if before.get(name) == version}
    release = Release(
        release_id=f"{RELEASE_PREFIX}{number}",
        run_id=outcome.run_id,
        last_seq=connection.scalar(select(func.max(ledger.c.seq))) or 0,
        versions=_moved_on({n: v for n, v in before.items() if n not in lost}, outcome.versions),
        created_at=outcome.ended_at,
    )
    row = {
        "number": number,
        "release_id": release.release_id,
        "run_id": release.run_id,
        "last_seq": release.last_seq,
        "versions": json.dumps(release.versions, sort_keys=True),
        "created_at": release.created_at,
    }
    connection.execute(insert(releases), row)
    return release


def _moved_on(before: Mapping[DatasetName, int], after: Mapping[DatasetName, int]) -> dict[DatasetName, int]:
    # A run on other partitions of the same table may have committed later and finished sooner: never step back.
    return {name: max(before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})}


def seen(connection: Connection) -> dict[DatasetName, TableState]:
    """Return the last table state that the ledger accounts for, by dataset."""
    rows = connection.execute(select(tables_seen).order_by(tables_seen.c.dataset))
    return {row.dataset: TableState(version=row.version, table_id=row.table_id, mark=row.mark) for row in rows}


def see(connection: Connection, states: Mapping[DatasetName, TableState]) -> None:
    """Account for table states. Of runs that end at once, an older one may be kept: the table is looked at then."""
    if states:
        connection.execute(delete(tables_seen).where(tables_seen.c.dataset.in_(sorted(states))))
        rows = [{"dataset": d, **asdict(s)} for d, s in sorted(states.items())]
        connection.execute(insert(tables_seen), rows)
