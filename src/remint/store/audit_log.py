"""The audit log: append-only, who did what to which data, when and why; each entry chained to the one before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Integer, Row, insert, select, type_coerce

from remint.errors import StoreError
from remint.model.chain import GENESIS, Link, entry_hash
from remint.model.digest import canonical_json
from remint.store.tables import audit_log
from remint.store.values import AuditEntry, AuditRecord, AuditStatus

_BOOLEANS = {0: False, 1: True}


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
    seq, run_id, _ = columns.pop("seq"), columns.pop("reprocessing_id"), columns.pop("hash")
    try:
        columns["status"] = AuditStatus(row.status)
        columns["datasets"] = tuple(json.loads(row.datasets))
        columns["detail"] = json.loads(row.detail)
    except (ValueError, TypeError) as error:
        raise StoreError(f"entry {seq} of the audit log was changed: {error}", hint="remint audit verify") from error
    return AuditRecord(seq=seq, entry=AuditEntry(run_id=run_id, **columns))


def append(connection: Connection, entry: AuditEntry) -> None:
    """Append an entry; the caller holds the write lock, so nobody else chains to the same one."""
    columns = asdict(entry)
    columns["reprocessing_id"] = columns.pop("run_id")
    columns["datasets"] = json.dumps(entry.datasets)
    columns["detail"] = canonical_json(entry.detail)
    last = connection.execute(select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1))
    seq, previous = last.one_or_none() or (0, GENESIS)
    columns["seq"] = seq + 1
    connection.execute(insert(audit_log), {**columns, "hash": entry_hash(previous, columns)})


def chain(connection: Connection) -> Iterator[Link]:
    """Yield every entry as it is stored, in order."""
    # As a number: read as a boolean, a 2 that somebody put there would pass for true.
    forced = type_coerce(audit_log.c.override_state, Integer).label("override_state")
    shown = [forced if c.name == forced.name else c for c in audit_log.c if c.name != "hash"]
    names = [column.name for column in shown]
    wanted = select(*shown, audit_log.c.hash).order_by(audit_log.c.seq)
    with connection.execution_options(yield_per=1000).execute(wanted) as stored:
        for *values, found in stored:
            columns = dict(zip(names, values, strict=True))
            columns["override_state"] = _BOOLEANS.get(columns["override_state"], columns["override_state"])
            yield Link(columns, found)
