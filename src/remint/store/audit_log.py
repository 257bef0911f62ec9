"""The audit log: append-only, who did what to which data, when and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from remint.model.digest import canonical_json
from remint.store.database import next_number
from remint.store.tables import audit_log
from remint.store.values import AuditEntry, AuditRecord, AuditStatus


def newest(connection: Connection, limit: int) -> list[AuditRecord]:
    """Return the newest entries, newest first."""
    rows = connection.execute(select(audit_log).order_by(audit_log.c.seq.desc()).limit(limit))
    return [_record(row) for row in rows]


def of_run(connection: Connection, run_id: str) -> list[AuditRecord]:
    """Return the entries about a run, oldest first."""
    rows = connection.execute(select(audit_log).where(audit_log.c.reprocessing_id == run_id).order_by(audit_log.c.seq))
    return [_record(row) for row in rows]


def _record(row: Row[Any]) -> AuditRecord:
    columns = dict(row._mapping)
    seq, run_id = columns.pop("seq"), columns.pop("reprocessing_id")
    columns["status"] = AuditStatus(row.status)
    columns["datasets"] = tuple(json.loads(row.datasets))
    columns["detail"] = json.loads(row.detail)
    return AuditRecord(seq=seq, entry=AuditEntry(run_id=run_id, **columns))


def append(connection: Connection, entry: AuditEntry) -> None:
    """Append an entry."""
    columns = asdict(entry)
    columns["reprocessing_id"] = columns.pop("run_id")
    columns["datasets"] = json.dumps(entry.datasets)
    columns["detail"] = canonical_json(entry.detail)
    connection.execute(insert(audit_log), {"seq": next_number(connection, audit_log.c.seq), **columns})
