"""Record consent to a plan, and say how a plan stands with policy and approvals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from remint.errors import PolicyRefused, UsageError
from remint.model.approval import Approval
from remint.model.plan import Plan
from remint.model.run import RUNNING
from remint.planner.policy import Policy, Rule, judge, judge_start, plan_used, unjudged
from remint.publishing.tools import Tools, timestamp
from remint.store.values import Admission, AuditEntry, AuditStatus

LONGEST = timedelta(days=30)
"""An approval speaks of data as they are; after a month they are others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How a plan stands now: what it waits for before it can be applied."""

    needs_approval: tuple[str, ...]
    approvals: tuple[Approval, ...]
    refused: PolicyRefused | None
    """Why it could not be started at this moment."""
    notes: tuple[str, ...]
    """Limits that could not be judged."""


def refuse_used(tools: Tools, plan: Plan) -> None:
    """Refuse a plan that was applied before.

    Raises:
        PlanUsed: names the run.
    """
    used = tools.store.run_of_plan(plan.plan_id)
    if used:
        raise plan_used(used)


def approve(tools: Tools, plan: Plan, approval: Approval) -> None:
    """Record somebody's consent to ``plan``.

    Raises:
        UsageError: it says no reason, or is good for no time or for too long.
        PlanUsed: the plan was applied already.
    """
    if not approval.reason.strip() or not approval.approver.strip():
        raise UsageError("an approval needs a name and a reason in words", hint='add --as NAME --reason "..."')
    good_for = datetime.fromisoformat(approval.expires_at) - datetime.fromisoformat(approval.granted_at)
    if not timedelta() < good_for <= LONGEST:
        raise UsageError(
            f"an approval is good for more than 0 hours and at most {LONGEST.days} days, not for {good_for}",
            hint="add --expires 24h",
        )
    refuse_used(tools, plan)
    asked = plan.request
    entry = AuditEntry(
        at=approval.granted_at,
        action="approve",
        actor=approval.approver,
        run_id=None,
        reason=approval.reason,
        status=AuditStatus.SUCCESS,
        mode=asked.mode,
        type=asked.type or "",
        override_state=bool(asked.override_state),
        trigger=asked.trigger,
        datasets=tuple(sorted({a.dataset for a in plan.actions})),
        detail={
            "plan_id": plan.plan_id,
            "approval_id": approval.approval_id,
            "requested_by": approval.requested_by,
            "expires_at": approval.expires_at,
            "needs_approval": plan.needs_approval,
        },
    )
    tools.store.grant(approval, entry)


def admission(tools: Tools, plan: Plan, policy: Policy, now: datetime) -> Admission:
    """Return what must hold for a run of ``plan`` that starts at ``now``.

    Raises:
        PolicyRefused: a rule that does not ask refuses it.
    """
    running = sum(run.state in RUNNING for run in tools.store.outstanding())
    why = (*plan.needs_approval, *judge(plan, policy), *judge_start(plan, policy, now, running))
    quota = None if Rule.MAX_RUNNING in policy.ask else policy.max_running
    return Admission(needs_approval=tuple(dict.fromkeys(why)), max_running=quota)


def readiness(tools: Tools, plan: Plan, policy: Policy, now: datetime) -> Readiness:
    """Return how ``plan`` stands now; writes nothing."""
    refused, needed = None, plan.needs_approval
    try:
        needed = admission(tools, plan, policy, now).needs_approval
    except PolicyRefused as error:
        refused = error
    given = tuple(tools.store.approvals_of(plan.plan_id))
    return Readiness(needs_approval=needed, approvals=given, refused=refused, notes=unjudged(plan, policy))


def new_approval(plan: Plan, approver: str, reason: str, approval_id: str, span: tuple[datetime, datetime]) -> Approval:
    """Return the approval that ``approver`` gives.

    Raises:
        ApprovalBySamePerson: the approver asked for the plan.
    """
    return Approval(
        approval_id=approval_id,
        plan_id=plan.plan_id,
        requested_by=plan.request.requested_by,
        approver=approver,
        reason=reason,
        granted_at=timestamp(span[0]),
        expires_at=timestamp(span[1]),
    )
