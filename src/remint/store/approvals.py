"""Approvals: append-only; a grant is one row, its use by a run another, in the transaction that creates the run."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, Row, Select, insert, select

from remint.model.approval import Approval
from remint.model.run import Run
from remint.store.database import next_number
from remint.store.tables import approval_uses, approvals


def _all() -> Select[tuple[object, ...]]:
    shown = [column for column in approvals.c if column.name != "seq"]
    used = approvals.outerjoin(approval_uses, approvals.c.approval_id == approval_uses.c.approval_id)
    return select(*shown, approval_uses.c.run_id.label("used_by")).select_from(used)


def _approval(row: Row[tuple[object, ...]]) -> Approval:
    return Approval(**row._mapping)


def of_plan(connection: Connection, plan_id: str) -> list[Approval]:
    """Return the approvals of a plan, oldest first."""
    wanted = _all().where(approvals.c.plan_id == plan_id).order_by(approvals.c.seq)
    return [_approval(row) for row in connection.execute(wanted)]


def newest(connection: Connection, limit: int) -> list[Approval]:
    """Return approvals, newest first."""
    return [_approval(row) for row in connection.execute(_all().order_by(approvals.c.seq.desc()).limit(limit))]


def grant(connection: Connection, approval: Approval) -> None:
    """Record an approval."""
    columns = asdict(approval)
    del columns["used_by"]
    connection.execute(insert(approvals), {"seq": next_number(connection, approvals.c.seq), **columns})


def use(connection: Connection, approval: Approval, run: Run) -> None:
    """Record that a run, which is there already, uses an approval up."""
    row = {"approval_id": approval.approval_id, "run_id": run.run_id, "used_at": run.started_at}
    connection.execute(insert(approval_uses), row)
