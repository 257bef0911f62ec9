"""What a run leaves in the log: the columns of the reprocessing audit, filled the same way by every kind of run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from remint.errors import (
    ChecksFailed,
    HalfPublished,
    PublishConflict,
    RemintError,
    RunError,
    SchemaMismatch,
    SourceRejected,
    StoreError,
    Superseded,
    TransformFailed,
    Unfinishable,
)
from remint.failures import machine_failure
from remint.model.dataset import DatasetName, Layer
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionKey, PartitionSet, days_of
from remint.model.run import Run, RunState, Stage
from remint.publishing.tools import Tools
from remint.store.values import AuditEntry, AuditStatus

_AS_RECORDED = "the last step is recorded as a whole or not at all; remint status says whether the run is outstanding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run touched."""

    datasets: tuple[DatasetName, ...] = ()
    affected_start: str = ""
    """First day affected."""
    affected_end: str = ""
    """The day after the last one affected (half-open)."""
    record_count: int = 0
    """Rows that were published."""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: DatasetGraph,
        units: Iterable[tuple[DatasetName, PartitionKey]],
        record_count: int,
        detail: Mapping[str, Any],
    ) -> Scope:
        """Return the scope of ``units``: their datasets and the days that their time partitions span."""
        touched = sorted(set(units))
        by_name: dict[DatasetName, list[PartitionKey]] = {}
        for name, key in touched:
            by_name.setdefault(name, []).append(key)
        spanned = (days_of(PartitionSet.of(graph[name].partition.grain, keys)) for name, keys in by_name.items())
        days = [found for found in spanned if found]
        return cls(
            datasets=tuple(sorted({name for name, _ in touched})),
            affected_start=min(d[0] for d in days).isoformat() if days else "",
            affected_end=max(d[1] for d in days).isoformat() if days else "",
            record_count=record_count,
            detail=detail,
        )

    @property
    def layers(self) -> str:
        """Layers touched, upstream first, with commas."""
        found = {name.split(".", 1)[0] for name in self.datasets}
        return ",".join(layer.value for layer in Layer if layer.value in found)

    def summary(self) -> str:
        """Return the scope as it is kept with the run."""
        return json.dumps(
            {
                "layers": self.layers,
                "datasets": list(self.datasets),
                "affected_start": self.affected_start,
                "affected_end": self.affected_end,
                "record_count": self.record_count,
                **self.detail,
            },
            sort_keys=True,
        )


def audit_entry(run: Run, scope: Scope, status: AuditStatus, at: str) -> AuditEntry:
    """Return the log's line about ``run``."""
    return AuditEntry(
        at=at,
        action=run.kind.value,
        actor=run.requested_by,
        run_id=run.run_id,
        start_time=run.started_at,
        end_time=None if status is AuditStatus.STARTED else at,
        layer=scope.layers,
        reason=run.reason,
        affected_start=scope.affected_start,
        affected_end=scope.affected_end,
        record_count=scope.record_count,
        status=status,
        mode=run.mode,
        type=run.type,
        override_state=run.override_state,
        trigger=run.trigger,
        datasets=scope.datasets,
        detail={**scope.detail, **_consent(run)},
    )


def log_resumption(tools: Tools, run: Run, by: str) -> None:
    """Write down who goes on with a run, before anything of it is done; its end is logged by the run itself."""
    entry = audit_entry(run, Scope(detail={"state": run.state}), AuditStatus.STARTED, tools.now())
    tools.store.log(replace(entry, action="resume", actor=by))


def _consent(run: Run) -> dict[str, Any]:
    """Return who approved the run and why, where somebody had to."""
    return {"approved_by": run.approved_by, "approval_reason": run.approval_reason} if run.approved_by else {}


def _stage_of(run: Run, error: Exception) -> Stage:
    if run.state is RunState.PUBLISHING or isinstance(error, PublishConflict):
        return Stage.PUBLISH
    return Stage.AUDIT if isinstance(error, ChecksFailed) else Stage.STAGE


def stopped(tools: Tools, run_id: str, error: Exception) -> RemintError:
    """Record that a run stopped, so that it stays outstanding, and return the error to raise.

    Of a run that another process has taken over nothing is recorded. A run that had begun to commit keeps its state,
    so that resume finds what it committed; unless a conflict made it take everything back.
    """
    found = _said(run_id, error)
    again = f"when the state database can be used again: remint resume {run_id}"
    try:
        # Looked at first: what stopped a superseded process may be that its files are gone.
        tools.store.require_held(run_id)
        state = _recorded(tools, run_id, found)
    except Superseded as newer:
        return newer
    except StoreError as worse:
        # Where the state database fails too, the run is what it was when its last step was written down.
        told = found if isinstance(found, StoreError) else worse
        worse.message = f"{found.message}; and {worse.message}"
        told.hint, told.leaves = again, _AS_RECORDED
        return told
    tools.emit(Event(kind=EventKind.FAILED, run_id=run_id, detail=str(found)))
    if state is RunState.PUBLISHING and not isinstance(found, (HalfPublished, Unfinishable)):
        found.leaves = "some tables may hold the run's partitions already; the run is outstanding until it is resumed"
    elif found.leaves == RunError.leaves:
        found.leaves += "; staged files are kept for inspection"
    if isinstance(found, StoreError):
        found.hint = again
    if run_id not in f"{found.message} {found.hint} {found.leaves}":
        found.leaves += f"; run {run_id} is outstanding"
    return found


def _said(run_id: str, error: Exception) -> RemintError:
    """Return ``error`` as one of remint's, with the command that goes on."""
    found: RemintError | None = error if isinstance(error, RemintError) else None
    if found is None or isinstance(found, TransformFailed):
        # A library's error that says, somewhere in its chain, what the machine refused.
        found = machine_failure(error, f"remint resume {run_id}") or found
    if found is None:
        words = f"run {run_id} stopped: {type(error).__name__}: {error}"
        found = RunError(words, hint=f"mend the cause, then: remint resume {run_id}")
    found.hint = found.hint.replace("RUN", run_id) if found.hint else None
    if isinstance(found, SourceRejected) and "remint resume" not in (found.hint or ""):
        found.hint = f"{found.hint or 'correct it'}; or take it out of the source; then: remint resume {run_id}"
    elif isinstance(found, SchemaMismatch):
        found.hint = f'{found.hint or "correct it"}; then: remint rollback {run_id} --reason "..."; and plan again'
    return found


def _recorded(tools: Tools, run_id: str, error: RemintError) -> RunState:
    """Write down why the run stopped, and return its state from now on."""
    run = tools.store.run(run_id)
    now = tools.now()
    detail = {"error": str(error), "code": error.code, "stage": _stage_of(run, error)}
    entry = audit_entry(run, Scope(detail=detail), AuditStatus.FAILED, now)
    if run.state is RunState.STAGING or (run.state is RunState.PUBLISHING and isinstance(error, PublishConflict)):
        tools.store.set_state(run_id, RunState.FAILED, error=str(error), ended_at=now, audit=entry)
        return RunState.FAILED
    tools.store.log(entry)
    return run.state
