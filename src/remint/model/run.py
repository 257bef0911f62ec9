"""Runs: their states, the one table of allowed transitions, and the steps that the journal keeps.

Rule 1: every state change goes through ``advance``. Rule 2: this file knows nothing of tables or engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remint.errors import NotResumable


class RunKind(StrEnum):
    """What a run does."""

    INGEST = "ingest"
    APPLY = "apply"
    ROLLBACK = "rollback"
    ADOPT = "adopt"
    """Takes what somebody else wrote as it is."""
    EXPIRE = "expire"
    """Removes replaced files that nothing holds any more."""
    REPAIR = "repair"
    """Mends what doctor found."""


class RunState(StrEnum):
    """Where a run stands."""

    STAGING = "staging"
    """Files are being written and checked; nothing is visible."""
    PUBLISHING = "publishing"
    """Everything passed; table commits have begun or may have begun."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Stopped with nothing of it live; outstanding until resumed or abandoned."""
    ABANDONED = "abandoned"
    """Given up before any commit; staged files deleted."""
    ROLLED_BACK = "rolled_back"
    """A later run put back what was there before."""
    WAIVED = "waived"
    """Somebody said, with a reason, that it needs no end; what it left is kept or foreign."""


_ALLOWED: dict[RunState, frozenset[RunState]] = {
    RunState.STAGING: frozenset(
        {RunState.PUBLISHING, RunState.FAILED, RunState.SUCCEEDED, RunState.ABANDONED, RunState.WAIVED}
    ),
    RunState.PUBLISHING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.WAIVED}),
    RunState.FAILED: frozenset({RunState.STAGING, RunState.ABANDONED, RunState.WAIVED}),
    RunState.SUCCEEDED: frozenset({RunState.ROLLED_BACK}),
    RunState.ABANDONED: frozenset(),
    RunState.ROLLED_BACK: frozenset(),
    RunState.WAIVED: frozenset(),
}

RUNNING = frozenset({RunState.STAGING, RunState.PUBLISHING})
"""States of a run that is at work, or was when its process ended."""

OUTSTANDING = frozenset({RunState.STAGING, RunState.PUBLISHING, RunState.FAILED})
"""States that ``status`` shows until somebody ends them."""


def advance(run_id: str, state: RunState, to: RunState) -> RunState:
    """Return ``to`` where the table allows it.

    Raises:
        NotResumable: the step is not allowed; nothing is changed.
    """
    if to not in _ALLOWED[state]:
        raise NotResumable(
            f"run {run_id} is {state}; it cannot become {to}", hint=f"remint show {run_id}    # what happened to it"
        )
    return to


class StepKind(StrEnum):
    """Entries of a run's journal; each is durable before the next step begins."""

    STAGED = "staged"
    """Files of one dataset in one batch, with digests: the manifest to publish from."""
    PUBLISH_INTENT = "publish_intent"
    """Every file replacement of one table, written before its commit is sent."""
    PUBLISHED = "published"
    """The table version that holds the replacement, read back."""
    WITHDRAW_INTENT = "withdraw_intent"
    """The run met a conflict; what its attempt had committed is about to be taken back."""
    WITHDRAWN = "withdrawn"
    """Nothing of the attempt is live any more."""
    HALF_WITHDRAWN = "half_withdrawn"
    """What is left of the attempt cannot be taken back, because somebody else wrote over it; names the tables."""
    INGEST_BEGUN = "ingest_begun"
    """What an ingest was asked for: datasets, and the windows and cursors from which pages are read."""
    ROLLBACK_BEGUN = "rollback_begun"
    """Which part of a run a rollback undoes, and whether it takes along what was built on it."""
    EXPIRE_BEGUN = "expire_begun"
    """Of which datasets replaced files are to go, and how young a run must be to stay undoable."""
    EXPIRE_INTENT = "expire_intent"
    """Every file that is about to be removed; from here on none of them counts as there."""
    INGEST_STAGED = "ingest_staged"
    """Bronze and quarantine files of one source file, with arrivals and counts."""
    INGEST_RIVALS = "ingest_rivals"
    """What rows count for besides, since the ingest added versions of what Bronze holds; the newest entry counts."""
    INGEST_RESTAGED = "ingest_restaged"
    """Nothing that was staged before counts: its digests are of another scheme than this holder's."""
    REPAIRED = "repaired"
    """One act of a repair, done."""


BEGUN = {
    RunKind.INGEST: StepKind.INGEST_BEGUN,
    RunKind.ROLLBACK: StepKind.ROLLBACK_BEGUN,
    RunKind.EXPIRE: StepKind.EXPIRE_BEGUN,
}
"""The first step of a run that has no plan: what it was asked for."""


class Stage(StrEnum):
    """Where in its life a run spends time or fails."""

    STAGE = "stage"
    """Queries write files that nobody sees."""
    AUDIT = "audit"
    """Checks judge what was written."""
    PUBLISH = "publish"
    """Commits name the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of one plan, ingest or rollback."""

    run_id: str
    kind: RunKind
    state: RunState
    plan_id: str | None
    mode: str
    type: str = ""
    """Type of the backfill; empty for an incremental run."""
    override_state: bool
    trigger: str
    reason: str
    requested_by: str
    started_at: str
    ended_at: str | None = None
    summary: str = ""
    """JSON: layer, datasets, range, counts; the columns of the reprocessing audit."""
    error: str | None = None
    of_run: str | None = None
    """For a rollback, the run that it undoes, whole or in part."""
    approved_by: str | None = None
    """Who consented, where the run needed an approval."""
    approval_reason: str | None = None
