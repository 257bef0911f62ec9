"""Alerts of a run: it failed, it took longer than its SLA, or a partition has an unusual number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime

from remint.errors import StoreError, Superseded
from remint.model.dataset import DatasetName
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import Grain, PartitionKey, end_day, split_key
from remint.model.plan import Plan
from remint.model.provenance import Head
from remint.model.run import Run
from remint.planner.volume import anomalies
from remint.publishing.record import Scope, audit_entry
from remint.publishing.tools import Tools
from remint.store.values import AuditStatus

ACTION = "alert"
"""What the audit log calls an alert."""
FAILED = "failed"
"""Kind of the alert that an attempt failed."""

_Heads = Mapping[DatasetName, Mapping[PartitionKey, Head]]


@contextmanager
def watched(tools: Tools, plan: Plan, run_id: str, sla_seconds: float | None) -> Iterator[None]:
    """Watch a run of ``plan`` and raise its alerts when it ends, well or not.

    An alert is an event and an audit entry; it changes nothing else and stops nothing.
    """
    graph = DatasetGraph.build(plan.datasets)
    names = [d.name for d in graph if d.transform]
    before = tools.store.heads(names)
    try:
        yield
    except Superseded:
        raise
    except Exception as error:
        words = f"run {run_id} failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        with suppress(StoreError):  # what failed the run is what must be said
            _raise(tools, tools.store.run(run_id), AuditStatus.FAILED, [{"kind": FAILED, "alert": words}])
        raise
    run = tools.store.run(run_id)
    found = list(_over_sla(run, sla_seconds))
    found += _unusual(graph, run, before, tools.store.heads(names))
    _raise(tools, run, AuditStatus.SUCCESS, found)


def _raise(tools: Tools, run: Run, status: AuditStatus, alerts: Iterable[Mapping[str, object]]) -> None:
    for detail in alerts:
        entry = audit_entry(run, Scope(detail=detail), status, tools.now())
        tools.store.log(replace(entry, action=ACTION))
        tools.emit(Event(kind=EventKind.ALERT, run_id=run.run_id, detail=str(detail["alert"])))


def _over_sla(run: Run, sla_seconds: float | None) -> Iterator[Mapping[str, object]]:
    took = seconds_of(run)
    if sla_seconds is not None and took is not None and took > sla_seconds:
        words = f"run {run.run_id} took {took:,.1f} s; [policy] sla_seconds is {sla_seconds:,}"
        yield {"kind": "sla", "alert": words, "seconds": took, "sla_seconds": sla_seconds}


def _unusual(graph: DatasetGraph, run: Run, before: _Heads, after: _Heads) -> Iterator[Mapping[str, object]]:
    """Yield the partitions whose rows this run changed to an unusual number; those that are not over yet are left."""
    today = datetime.fromisoformat(run.started_at).date()
    for name, heads in after.items():
        grain = graph[name].partition.grain
        if grain is Grain.IDENTITY:
            continue
        earlier = {key: h.rows for key, h in before[name].items() if not h.is_missing}
        made = {
            key: head.rows
            for key, head in heads.items()
            if head.run_id == run.run_id and earlier.get(key) != head.rows and _is_over(grain, key, today)
        }
        lanes = {split_key(grain, key)[1] for key in made}
        for lane in sorted(lanes):  # a tenant, or a version of the logic, is judged by its own days
            for found in anomalies(name, _of_lane(grain, made, lane), _of_lane(grain, earlier, lane)):
                yield {
                    "kind": "volume",
                    "alert": str(found),
                    "dataset": name,
                    "partition": found.key,
                    "rows": found.rows,
                    "usual": [found.low, found.high],
                }


def _of_lane(grain: Grain, rows: Mapping[PartitionKey, int], lane: str) -> dict[PartitionKey, int]:
    return {key: count for key, count in rows.items() if split_key(grain, key)[1] == lane}


def _is_over(grain: Grain, key: PartitionKey, today: date) -> bool:
    return end_day(grain, split_key(grain, key)[0]) <= today


def seconds_of(run: Run) -> float | None:
    """Return the seconds from a run's start to its end, waits between attempts included; None while it goes on."""
    if run.ended_at is None:
        return None
    return (datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)).total_seconds()
