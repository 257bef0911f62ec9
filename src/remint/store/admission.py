"""The one transaction that begins a run: quota, approval, the run itself and what the log says of it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, func, select

from remint.model.approval import open_approval
from remint.model.request import BackfillType
from remint.model.run import BEGUN, RUNNING, Run
from remint.planner.policy import plan_used, too_many_runs
from remint.store import approvals, audit_log, leases, runs, tables
from remint.store.values import Admission, AuditEntry


def admit(
    connection: Connection, run: Run, plan_json: str | None, audit: AuditEntry | None, admission: Admission
) -> Run:
    """Record a new run if it may begin, and return it with its approver.

    Args:
        connection: holds the write lock, so of two runs that want the last place or the same approval one gets it.
        run: to be recorded.
        plan_json: what it applies.
        audit: what the log says of its start; a forced run's intent is logged before it.
        admission: what must hold.
    """
    if admission.max_running is not None:
        wanted = select(func.count()).select_from(tables.runs).where(tables.runs.c.state.in_(sorted(RUNNING)))
        running = connection.execute(wanted).scalar_one()
        if running >= admission.max_running:
            raise too_many_runs(running, admission.max_running)
    if admission.needs_approval:
        given = approvals.of_plan(connection, run.plan_id or "")
        approval = open_approval(run.plan_id or "", given, admission.needs_approval, run.started_at)
        run = replace(run, approved_by=approval.approver, approval_reason=approval.reason)
        _refuse_used(connection, run)
        runs.create(connection, run, plan_json)
        approvals.use(connection, approval, run)
    else:
        _refuse_used(connection, run)
        runs.create(connection, run, plan_json)
    if admission.claim is not None:
        leases.take(connection, run.run_id, admission.claim)
    if admission.begun is not None:
        runs.append_step(connection, run.run_id, BEGUN[run.kind], admission.begun)
    if audit is None:
        return run
    if run.approved_by:
        said = {"approved_by": run.approved_by, "approval_reason": run.approval_reason}
        audit = replace(audit, detail={**audit.detail, **said})
    if run.type == BackfillType.FORCED:
        audit_log.append(connection, replace(audit, action="intend"))
    audit_log.append(connection, audit)
    return run


def _refuse_used(connection: Connection, run: Run) -> None:
    """Refuse a second run of one plan: two processes may have looked at the same time."""
    used = runs.of_plan(connection, run.plan_id) if run.plan_id else None
    if used is not None:
        raise plan_used(used)
