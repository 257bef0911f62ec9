"""Pins of releases, and the files that retention removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, func, insert, select

from remint.errors import ExpireRefused, PinRefused
from remint.model.dataset import DatasetName
from remint.model.provenance import Pin
from remint.model.run import OUTSTANDING, StepKind
from remint.store import runs, tables
from remint.store.database import chunks, next_number
from remint.store.values import AuditEntry, RetentionBase


def pins(connection: Connection) -> list[Pin]:
    """Return every pin, oldest first."""
    columns = (c for c in tables.pins.c if c.name != "seq")
    given_up = (tables.unpins.c.unpinned_by, tables.unpins.c.unpinned_at)
    wanted = select(*columns, *given_up).join_from(tables.pins, tables.unpins, isouter=True)
    return [Pin(**row._mapping) for row in connection.execute(wanted.order_by(tables.pins.c.seq))]


def pin(connection: Connection, found: Pin, needs: Mapping[DatasetName, Collection[str]]) -> None:
    """Record a pin, if every file that it is to keep is still there."""
    for dataset, paths in sorted(needs.items()):
        removed = expired(connection, dataset)
        gone = sorted(path for path in paths if path in removed)
        if gone:
            raise PinRefused(
                f"{found.release_id} cannot be kept whole: {len(gone)} of its files in {dataset} were removed by "
                f"{removed[gone[0]]}, for example {gone[0]}",
                hint="remint releases    # lists the releases whose files are all there",
            )
    row = {name: getattr(found, name) for name in ("pin_id", "release_id", "reason", "pinned_by", "pinned_at")}
    connection.execute(insert(tables.pins), {"seq": next_number(connection, tables.pins.c.seq), **row})


def unpin(connection: Connection, pin_id: str, reason: str, audit: AuditEntry) -> bool:
    """Record that a pin is given up; return whether it was not before."""
    known = connection.scalar(select(tables.unpins.c.pin_id).where(tables.unpins.c.pin_id == pin_id))
    if known is None:
        row = {"pin_id": pin_id, "reason": reason, "unpinned_by": audit.actor, "unpinned_at": audit.at}
        connection.execute(insert(tables.unpins), row)
    return known is None


def expired(connection: Connection, dataset: DatasetName) -> dict[str, str]:
    """Return the removed files of a dataset with the run that removed each."""
    wanted = select(tables.expired.c.path, tables.expired.c.run_id).where(tables.expired.c.dataset == dataset)
    return {row.path: row.run_id for row in connection.execute(wanted)}


def base(connection: Connection, run_id: str) -> RetentionBase:
    """Return what a choice of files rests on."""
    others = select(tables.runs.c.run_id).where(
        tables.runs.c.state.in_(sorted(OUTSTANDING)), tables.runs.c.run_id != run_id
    )
    return RetentionBase(
        last_seq=connection.scalar(select(func.max(tables.ledger.c.seq))) or 0,
        outstanding=frozenset(connection.scalars(others)),
        pins=connection.scalar(select(func.count()).select_from(tables.pins)) or 0,
    )


def expire(
    connection: Connection, run_id: str, files: Mapping[DatasetName, Collection[str]], chosen_on: RetentionBase
) -> None:
    """Mark files as removed, for a choice that still holds.

    Runs that begin later find the marks and keep away from these files; those that began before are part of what the
    choice rests on. So no run is surprised.
    """
    if base(connection, run_id) != chosen_on:
        raise ExpireRefused(
            f"run {run_id}: other runs began, ended or pinned a release while the files were chosen",
            hint=f"remint resume {run_id}    # chooses again",
        )
    payload = {"files": {dataset: sorted(paths) for dataset, paths in files.items()}}
    runs.append_step(connection, run_id, StepKind.EXPIRE_INTENT, payload)
    for dataset, paths in sorted(files.items()):
        known = expired(connection, dataset)
        for part in chunks(sorted(set(paths) - known.keys())):
            rows = [{"dataset": dataset, "path": path, "run_id": run_id} for path in part]
            connection.execute(insert(tables.expired), rows)
