"""What keeps a plan from being made, approved or applied: RM3."""

from __future__ import annotations

from collections.abc import Sequence

from remint.errors.base import RemintError

_SHOWN = 5
"""Of what moved, so much is named in the message."""


class PlanError(RemintError):
    """A plan cannot be made or cannot be applied."""

    code = "RM300"
    exit_code = 2


class PlanOutdated(PlanError):
    """The plan's requirements no longer hold."""

    code = "RM301"
    exit_code = 6

    def __init__(self, plan_id: str, moved: Sequence[str], run_id: str = "") -> None:
        shown = "\n  ".join(moved[:_SHOWN])
        more = f"\n  ... and {len(moved) - _SHOWN:,} more; --json lists all" if len(moved) > _SHOWN else ""
        give_up = f'remint rollback {run_id} --reason "..."    # gives the run up; then plan again on what is there now'
        super().__init__(
            f"plan {plan_id} no longer fits; moved since it was made: {len(moved):,}\n  {shown}{more}",
            hint=give_up if run_id else "remint plan    # plan again on what is there now",
        )
        self.moved = tuple(moved)

    def as_dict(self) -> dict[str, object]:
        """Return the error with all that moved, in words."""
        return {**super().as_dict(), "moved": list(self.moved)}


class PlanUsed(PlanError):
    """A plan is applied once."""

    code = "RM302"
    exit_code = 6


class BronzeChanged(PlanError):
    """Something other than an append by remint happened to a Bronze table."""

    code = "RM303"
    exit_code = 6


class ArrivalsRedeclared(PlanError):
    """The rows of a Bronze dataset were counted by event partition in another way than it declares."""

    code = "RM305"


class PythonChanged(PlanError):
    """The Python function that makes a dataset is not the one that the plan was made for."""

    code = "RM306"
    exit_code = 6


class SourceAbsent(PlanError):
    """The range names days that a source never delivered: not empty days, but days that nobody knows of."""

    code = "RM304"


class VersionNotRaised(PlanError):
    """Logic changed under a version that was published, or the version went backwards."""

    code = "RM320"


class PolicyRefused(PlanError):
    """A rule of the project's policy refuses the plan, or its start at this time."""

    code = "RM310"
    exit_code = 4


class TooManySeconds(PolicyRefused):
    """The plan is expected to stage longer than ``[policy] max_seconds``."""

    code = "RM311"


class TooMuchMoney(PolicyRefused):
    """The plan is expected to cost more than ``[policy] max_money``."""

    code = "RM312"


class TooManyBytes(PolicyRefused):
    """The plan is expected to open more bytes than ``[policy] max_bytes_scanned``."""

    code = "RM313"


class TooManyRows(PolicyRefused):
    """The plan reads more rows than ``[policy] max_rows``."""

    code = "RM314"


class WindowTooLong(PolicyRefused):
    """The plan covers more days than ``[policy] largest_window_days``."""

    code = "RM315"


class WholeHistory(PolicyRefused):
    """A rebuild without a range covers everything that is selected, and nobody said that it is meant."""

    code = "RM316"
    exit_code = 2


class PeakHours(PolicyRefused):
    """A backfill would start in ``[policy] peak_hours``."""

    code = "RM317"
    retryable = True


class TooManyRuns(PolicyRefused):
    """As many runs are in progress as ``[policy] max_running`` allows."""

    code = "RM318"
    retryable = True


class ApprovalError(PlanError):
    """The plan needs the approval of a second person, and there is none that counts."""

    code = "RM330"
    exit_code = 4


class ApprovalMissing(ApprovalError):
    """Nobody approved the plan."""

    code = "RM331"


class ApprovalExpired(ApprovalError):
    """The approval ran out before the plan was applied."""

    code = "RM332"


class ApprovalUsed(ApprovalError):
    """The approval was used by an earlier run: it is good for one."""

    code = "RM333"


class ApprovalBySamePerson(ApprovalError):
    """The approver is the person who asked for the plan."""

    code = "RM334"
