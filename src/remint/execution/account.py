"""What one run did and took: range, datasets, volume, duration and errors by stage, estimate against actual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remint.execution.alerts import ACTION, FAILED, seconds_of
from remint.model.cost import Estimate, Prices, Timing
from remint.model.dataset import DatasetName
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.run import Run, RunState, Stage, StepKind
from remint.store.base import StoreReader
from remint.store.values import AuditRecord, AuditStatus, JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """One run in figures."""

    range: DateRange | None
    """As it was asked for."""
    datasets: tuple[DatasetName, ...]
    """Staged by the run."""
    units: int
    rows_read: int
    rows_written: int
    bytes_scanned: int
    bytes_written: int
    seconds: float | None
    """From start to end, waits between attempts included; None while the run goes on."""
    seconds_by_stage: Mapping[str, float]
    errors_by_stage: Mapping[str, int]
    errors: tuple[Mapping[str, Any], ...]
    """Each stop of the run: when, in which stage, code and message."""
    alerts: tuple[Mapping[str, Any], ...]
    """Of an attempt that failed, with ``recovered`` where the run was resumed and ended well."""
    estimated: Estimate | None
    """What its plan expected; None for a run without a plan."""
    actual: Estimate
    """What staging took, at today's prices."""


def account(store: StoreReader, run: Run, plan: Plan | None, prices: Prices) -> RunAccount:
    """Return the figures of ``run`` from its journal, its timings and the audit log."""
    timings = store.timings_of(run.run_id)
    log = [record for record in store.audit_of(run.run_id) if record.entry.action != "intend"]
    failures = [r for r in log if r.entry.status is AuditStatus.FAILED and r.entry.action != ACTION]
    errors = tuple({"at": r.entry.at, **r.entry.detail} for r in failures)
    return RunAccount(
        range=plan.request.range if plan else None,
        datasets=tuple(sorted({t.dataset for t in timings})),
        units=sum(t.units for t in timings),
        rows_read=sum(t.rows_read for t in timings),
        rows_written=sum(t.rows_written for t in timings),
        bytes_scanned=sum(t.bytes_scanned for t in timings),
        bytes_written=sum(t.bytes_written for t in timings),
        seconds=seconds_of(run),
        seconds_by_stage=_seconds(store.journal(run.run_id)),
        errors_by_stage=dict(sorted(Counter(str(e["stage"]) for e in errors).items())),
        errors=errors,
        alerts=_alerts(log, is_recovered=run.state in (RunState.SUCCEEDED, RunState.ROLLED_BACK)),
        estimated=plan.estimate if plan else None,
        actual=_actual(timings, prices),
    )


def _seconds(journal: Sequence[JournalEntry]) -> dict[str, float]:
    found = {stage.value: 0.0 for stage in Stage}
    for entry in journal:
        if entry.kind is StepKind.STAGED:
            for stage, seconds in entry.payload["seconds"].items():
                found[stage] += seconds
        elif entry.kind is StepKind.PUBLISHED:
            found[Stage.PUBLISH.value] += entry.payload["seconds"]
    return {stage: round(seconds, 3) for stage, seconds in found.items()}


def _alerts(log: Sequence[AuditRecord], *, is_recovered: bool) -> tuple[Mapping[str, Any], ...]:
    raised = [{"at": r.entry.at, **r.entry.detail} for r in log if r.entry.action == ACTION]
    return tuple({**a, "recovered": is_recovered} if a["kind"] == FAILED else a for a in raised)


def _actual(timings: Sequence[Timing], prices: Prices) -> Estimate:
    if not timings:
        return Estimate(currency=prices.currency)
    seconds, scanned = round(sum(t.seconds for t in timings), 3), sum(t.bytes_scanned for t in timings)
    return Estimate(
        seconds=seconds,
        money=prices.money(seconds, scanned),
        currency=prices.currency,
        bytes_scanned=scanned,
        runs=1,
    )
