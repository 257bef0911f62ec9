"""The one transaction that ends a successful run."""

from __future__ import annotations

from sqlalchemy import Connection

from remint.errors import StoreError
from remint.model.provenance import Release
from remint.model.run import RunState
from remint.store import arrivals, audit_log, coverage, ledger, projections, releases, runs, watermarks
from remint.store.values import Outcome


def finish(connection: Connection, outcome: Outcome) -> Release:
    """Write everything that the success of a run changes, or find that it was written before.

    Args:
        connection: holds the write lock; what is raised undoes the transaction.
        outcome: what to write.
    """
    run = runs.exact(connection, outcome.run_id)
    if run.state is RunState.SUCCEEDED:
        return _release_of(connection, run.run_id)
    ledger.check_fence(connection, outcome.fence)
    runs.move(connection, run, RunState.SUCCEEDED, summary=outcome.summary, ended_at=outcome.ended_at, error=None)
    ledger.append(connection, outcome.records, outcome.ended_at)
    runs.record_reading(connection, run.run_id, outcome.read_seq)
    ledger.record_logics(connection, outcome.logics, run.run_id, outcome.ended_at)
    projections.append(connection, outcome.projections)
    arrivals.declare_countings(connection, outcome.countings, run.run_id)
    for dataset, arrived in sorted(outcome.arrivals.items()):
        arrivals.append(connection, dataset, arrived, run.run_id)
    arrivals.append_source_files(connection, outcome.source_files)
    releases.see(connection, outcome.tables_seen)
    coverage.append(connection, outcome.coverage)
    watermarks.advance(connection, run, outcome.watermarks, outcome.ended_at)
    watermarks.set_cursors(connection, run, outcome.cursors, outcome.ended_at)
    for entry in outcome.rolled_back:
        runs.move(connection, runs.exact(connection, entry.run_id or ""), RunState.ROLLED_BACK)
        audit_log.append(connection, entry)
    audit_log.append(connection, outcome.audit)
    return releases.append(connection, outcome)


def _release_of(connection: Connection, run_id: str) -> Release:
    release = releases.of_run(connection, run_id)
    if release is None:
        raise StoreError(f"run {run_id} succeeded but has no release; the state database was changed by hand")
    return release
