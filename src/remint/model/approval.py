"""Approvals: recorded consent of a named person to one plan, given by somebody else than who asked for it.

Rules: an approval is bound to a plan id, so a new plan voids it; it expires; one run uses it up. Who a person is, is
what the operating system or ``REMINT_USER`` says: names are compared, nobody is authenticated here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from remint.errors import ApprovalBySamePerson, ApprovalExpired, ApprovalMissing, ApprovalUsed


class ApprovalState(StrEnum):
    """What an approval is still good for."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's consent to one plan."""

    approval_id: str
    plan_id: str
    requested_by: str
    """Who asked for the plan."""
    approver: str
    reason: str
    granted_at: str
    expires_at: str
    """UTC text; from this moment on it counts no more."""
    used_by: str | None = None
    """The run that used it up."""

    def __post_init__(self) -> None:
        if same_person(self.requested_by, self.approver):
            raise ApprovalBySamePerson(
                f"plan {self.plan_id} was asked for by {self.requested_by!r}; {self.approver!r} cannot approve it: "
                "that is the same person",
                hint=f'a second person runs: remint approve {self.plan_id} --as NAME --reason "..."',
            )

    def state(self, now: str) -> ApprovalState:
        """Return what it is good for at ``now``, UTC text."""
        if self.used_by:
            return ApprovalState.USED
        return ApprovalState.OPEN if now < self.expires_at else ApprovalState.EXPIRED


def same_person(one: str, other: str) -> bool:
    """Return whether two names differ in nothing but spelling: case, width, accents' encoding, spaces."""
    return normal_name(one) == normal_name(other)


def normal_name(name: str) -> str:
    """Return the spelling under which names are compared."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def open_approval(plan_id: str, given: Sequence[Approval], why: Sequence[str], now: str) -> Approval:
    """Return the approval that a run of the plan may use.

    Args:
        plan_id: what is to be applied.
        given: every approval of that plan, oldest first.
        why: what makes the plan need one, in words.
        now: UTC text.

    Raises:
        ApprovalMissing: nobody approved the plan.
        ApprovalExpired: all approvals ran out unused.
        ApprovalUsed: a run has used it up.
    """
    command = f'remint approve {plan_id} --as NAME --reason "..."; then: remint apply {plan_id}'
    for approval in given:
        if approval.state(now) is ApprovalState.OPEN:
            return approval
    used = [a for a in given if a.used_by]
    if used:
        raise ApprovalUsed(
            f"the approval of plan {plan_id} by {used[-1].approver} was used by run {used[-1].used_by}",
            hint="remint plan    # an approval is for one run; plan again and have that approved",
        )
    if given:
        last = max(given, key=lambda a: a.expires_at)
        raise ApprovalExpired(
            f"the approval of plan {plan_id} by {last.approver} ran out at {last.expires_at}; it is {now} now",
            hint=f"somebody else than who planned it runs: {command}",
        )
    reasons = "; ".join(why)
    raise ApprovalMissing(
        f"plan {plan_id} needs the approval of a second person: {reasons}",
        hint=f"somebody else than who planned it runs: {command}",
    )
