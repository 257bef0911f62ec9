"""Waive a run: say, with a reason, that it needs no end. Its staged files stay until a clean-up takes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from remint.errors import HalfPublished, WaiveRefused
from remint.model.dataset import DatasetName
from remint.model.graph import DatasetGraph
from remint.model.run import OUTSTANDING, Run, RunState
from remint.publishing.publish import (
    bar_from,
    committed_tables,
    hindrances,
    intended,
    is_withdrawing,
    kept_tables,
    stuck_tables,
    withdraw,
)
from remint.publishing.record import Scope, audit_entry
from remint.publishing.tools import Tools
from remint.store.values import AuditStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """A run that was let be, and what became of its commits."""

    run: Run
    taken_back: tuple[DatasetName, ...]
    """Tables from which its commit was taken back."""
    live_in: tuple[DatasetName, ...]
    """Tables that hold some of it still, because somebody wrote over the rest; that is foreign now."""


def check_waive(tools: Tools, graph: DatasetGraph, run: Run) -> None:
    """Refuse to waive a run that has ended, or that can still be brought to its end.

    Raises:
        WaiveRefused: names what ends it.
    """
    if run.state not in OUTSTANDING:
        raise WaiveRefused(f"run {run.run_id} is {run.state}: there is nothing to waive", hint="remint status")
    if run.state is not RunState.PUBLISHING or stuck_tables(tools, run.run_id) or is_withdrawing(tools, run.run_id):
        return
    changes = intended(tools, graph, run.run_id)
    lacks = hindrances(tools, run.run_id, changes)
    if not lacks:
        raise WaiveRefused(
            f"run {run.run_id} was interrupted while it published, and can be brought to its end",
            hint=f"remint resume {run.run_id}",
        )
    if kept := kept_tables(tools, run.run_id, changes):
        raise WaiveRefused(
            f"run {run.run_id} has added rows to {', '.join(kept)}, which nothing is taken out of, and it lacks what "
            "belongs to them:\n  " + "\n  ".join(lacks),
            hint=f"remint resume {run.run_id}    # makes it again from the source, or else restore it first",
        )


def waive(tools: Tools, graph: DatasetGraph, run: Run, by: str, reason: str) -> Waived:
    """Let a run that this process holds be, for a reason that somebody gives.

    What a run had committed is taken back, as far as that goes; what is live of it then is foreign.
    """
    check_waive(tools, graph, run)
    had: tuple[DatasetName, ...] = ()
    left: tuple[DatasetName, ...] = ()
    if run.state is RunState.PUBLISHING:
        changes = intended(tools, graph, run.run_id)
        had = committed_tables(tools, run.run_id, changes)
        with suppress(HalfPublished):
            withdraw(tools, run.run_id, changes)
        left = stuck_tables(tools, run.run_id)
        if left:
            bar_from(tools, run.run_id, changes)
    now, back = tools.now(), tuple(name for name in had if name not in left)
    scope = Scope(datasets=left, detail={"was": run.state, "live_in": list(left), "taken_back": list(back)})
    entry = replace(audit_entry(run, scope, AuditStatus.WAIVED, now), action="waive", actor=by, reason=reason)
    tools.store.set_state(run.run_id, RunState.WAIVED, error=run.error, ended_at=now, audit=entry)
    return Waived(run=tools.store.run(run.run_id), taken_back=back, live_in=left)
