"""Leases of runs: claimed, renewed, checked in the transaction of every write for a run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from remint.errors import RunAtWork, Superseded
from remint.model.lease import Holder, Lease
from remint.store.tables import leases
from remint.store.values import Claim


def every(connection: Connection) -> dict[str, Lease]:
    """Return the lease of every run that somebody holds, by run."""
    return {row.run_id: _lease(row) for row in connection.execute(select(leases).order_by(leases.c.run_id))}


def _lease(row: Row[Any]) -> Lease:
    return Lease(**{**row._mapping, "holder": Holder.parse(row.holder)})


def epoch(connection: Connection, run_id: str) -> int:
    """Return the number of the newest holder of a run; 0 where it never had one."""
    return connection.scalar(select(leases.c.epoch).where(leases.c.run_id == run_id)) or 0


def take(connection: Connection, run_id: str, claim: Claim) -> int:
    """Make the claimant the newest holder of a run and return its number.

    Raises:
        RunAtWork: somebody else took it since the claimant looked.
    """
    before = epoch(connection, run_id)
    if before != claim.after_epoch:
        raise RunAtWork(
            f"another process took run {run_id} over just now", hint=f"remint show {run_id}    # how it goes on"
        )
    connection.execute(delete(leases).where(leases.c.run_id == run_id))
    row = {"run_id": run_id, "epoch": before + 1, "holder": str(claim.holder)}
    times = {"taken_at": claim.at, "renewed_at": claim.at, "until": claim.until}
    connection.execute(insert(leases), {**row, **times})
    return before + 1


def renew(connection: Connection, run_id: str, held: int, at: str, until: str) -> bool:
    """Prolong the lease of the holder ``held``; return whether it is still the newest one."""
    mine = (leases.c.run_id == run_id, leases.c.epoch == held)
    return connection.execute(update(leases).where(*mine).values(renewed_at=at, until=until)).rowcount == 1


def end(connection: Connection, run_id: str) -> None:
    """Let the lease of a run lapse: nobody is at work on it any more."""
    connection.execute(update(leases).where(leases.c.run_id == run_id).values(until=leases.c.renewed_at))


def require(connection: Connection, run_id: str, held: int) -> None:
    """Refuse the writes of everybody but the newest holder of a run.

    Raises:
        Superseded: another process has taken the run over.
    """
    newest = epoch(connection, run_id)
    if newest != held:
        raise Superseded(
            f"another process has taken run {run_id} over: this is holder {held}, the newest one is {newest}",
            hint=f"remint show {run_id}    # how it went on",
        )
