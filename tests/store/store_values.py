"""Small runs, records and outcomes for the tests of the store."""

from __future__ import annotations

from remint.model.approval import Approval
from remint.model.cost import Timing
from remint.model.digest import ContentDigest
from remint.model.provenance import Arrival, DataFile, ProvenanceRecord
from remint.model.run import Run, RunKind, RunState
from remint.store.values import AuditEntry, AuditStatus, Outcome, SourceFileRecord

AT = "2026-10-14T08:30:00Z"
USAGE = "silver.api_usage"


def a_run(run_id="run-1", **changes):
    values = {
        "kind": RunKind.APPLY,
        "state": RunState.STAGING,
        "plan_id": f"plan-of-{run_id}",
        "mode": "incremental",
        "override_state": False,
        "trigger": "schedule",
        "reason": "bring stale partitions up to date",
        "requested_by": "ada",
        "started_at": AT,
    }
    return Run(run_id=run_id, **{**values, **changes})


def a_file(key, rows=10):
    return DataFile(path=f"day={key}/a.parquet", key=key, rows=rows, size_bytes=1000, sha256="ab" * 32, stats="{}")


def a_record(key="2026-10-14", run_id="run-1", **changes):
    values = {
        "dataset": USAGE,
        "fingerprint": "f" * 32,
        "logic": "l" * 32,
        "inputs": {"raw": {key: "scheme:10:" + "0" * 32}},
        "digest": "scheme:10:" + "1" * 32,
        "files": (a_file(key),),
        "table_version": 3,
    }
    return ProvenanceRecord(key=key, run_id=run_id, **{**values, **changes})


def an_arrival(file, event_key, total=1, scheme="s", **changes):
    return Arrival(file=file, event_key=event_key, digest=ContentDigest(scheme, 2, total, total), **changes)


def a_source_file(uri="inbox/a.jsonl", run_id="run-1", **changes):
    counts = {"rows_read": 4, "rows_added": 2, "rows_duplicate": 1, "rows_rejected": 1}
    values = {"dataset": "bronze.raw", "sha256": "cd" * 32, "size_bytes": 400, "mtime_ns": 2**62, **counts}
    return SourceFileRecord(uri=uri, run_id=run_id, **{**values, **changes})


def an_approval(plan_id="plan-of-run-1", **changes):
    values = {
        "approval_id": f"a-{plan_id}",
        "requested_by": "ada",
        "approver": "bea",
        "reason": "agreed",
        "granted_at": "2026-10-14T08:00:00Z",
        "expires_at": "2026-10-15T08:00:00Z",
    }
    return Approval(plan_id=plan_id, **{**values, **changes})


def a_timing(run_id="run-1", **changes):
    values = {
        "dataset": USAGE,
        "batch": 0,
        "units": 3,
        "rows_read": 2**40,
        "rows_written": 20,
        "bytes_scanned": 2**50,
        "bytes_written": 400,
        "seconds": 1.25,
        "engine": "duckdb",
        "recorded_at": AT,
    }
    return Timing(run_id=run_id, **{**values, **changes})


def an_entry(run_id="run-1", **changes):
    values = {
        "at": AT,
        "action": "apply",
        "actor": "ada",
        "start_time": AT,
        "end_time": AT,
        "layer": "silver",
        "reason": "late data",
        "affected_start": "2026-10-14",
        "affected_end": "2026-10-15",
        "record_count": 10,
        "status": AuditStatus.SUCCESS,
        "mode": "incremental",
        "trigger": "late_data",
        "datasets": (USAGE,),
        "detail": {"files": 3},
    }
    return AuditEntry(run_id=run_id, **{**values, **changes})


def an_outcome(run_id="run-1", **changes):
    return Outcome(run_id=run_id, ended_at=AT, audit=an_entry(run_id), **changes)


def succeed(store, run_id, *records, **changes):
    """Take a run from its creation to its release."""
    store.create_run(a_run(run_id))
    return store.finish(an_outcome(run_id, records=records, **changes))
