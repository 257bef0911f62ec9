"""Runs, the states they go through, their plans and their journals."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from remint.errors import NotResumable, UnknownRun
from remint.model.digest import canonical_json
from remint.model.run import OUTSTANDING, RUNNING, Run, RunKind, RunState, StepKind, advance
from remint.store import leases, tables
from remint.store.tables import runs
from remint.store.values import JournalEntry

_COLUMNS = [runs.c[field.name] for field in fields(Run)]
_NEAR = 3


def _run(row: Row[Any]) -> Run:
    return Run(**{**row._mapping, "kind": RunKind(row.kind), "state": RunState(row.state)})


def exact(connection: Connection, run_id: str) -> Run:
    """Return the run with exactly this id.

    Raises:
        UnknownRun: there is none; the message names those that come near.
    """
    row = connection.execute(select(*_COLUMNS).where(runs.c.run_id == run_id)).first()
    if row is None:
        raise _unknown(connection, run_id)
    return _run(row)


def named(connection: Connection, typed: str) -> Run:
    """Return the run whose id is ``typed``, or begins with it when no other does.

    Raises:
        UnknownRun: none or several; the message names those that come near.
    """
    wanted = select(runs.c.run_id).where(runs.c.run_id.startswith(typed, autoescape=True)).order_by(runs.c.run_id)
    # SQLite's LIKE overlooks case, PostgreSQL's does not.
    ids = [run_id for run_id in connection.scalars(wanted) if run_id.startswith(typed)]
    if typed in ids or not ids or not typed:
        return exact(connection, typed)
    if len(ids) > 1:
        raise UnknownRun(f"{len(ids)} runs begin with {typed!r}: {_list(ids)}", hint="type more of the id")
    return exact(connection, ids[0])


def _unknown(connection: Connection, run_id: str) -> UnknownRun:
    ids = list(connection.scalars(select(runs.c.run_id).order_by(runs.c.started_at.desc()).limit(1000)))
    near = get_close_matches(run_id, ids, n=_NEAR, cutoff=0.3) or ids[:_NEAR]
    said = f"; the nearest are {_list(near)}" if near else "; there are no runs yet"
    return UnknownRun(f"no run {run_id!r}{said}", hint="remint runs    # lists all runs")


def _list(ids: list[str]) -> str:
    return ", ".join(ids[:_NEAR]) + (", ..." if len(ids) > _NEAR else "")


def newest(connection: Connection, limit: int, states: Collection[RunState] | None) -> list[Run]:
    """Return runs, newest first."""
    wanted = select(*_COLUMNS).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
    if states is not None:
        wanted = wanted.where(runs.c.state.in_(sorted(states)))
    return [_run(row) for row in connection.execute(wanted)]


def outstanding(connection: Connection) -> list[Run]:
    """Return the runs that somebody must end, oldest first."""
    wanted = select(*_COLUMNS).where(runs.c.state.in_(sorted(OUTSTANDING)))
    return [_run(row) for row in connection.execute(wanted.order_by(runs.c.started_at, runs.c.run_id))]


def of_plan(connection: Connection, plan_id: str) -> Run | None:
    """Return the newest run that applied a plan."""
    wanted = select(*_COLUMNS).where(runs.c.plan_id == plan_id).order_by(runs.c.started_at.desc()).limit(1)
    row = connection.execute(wanted).first()
    return None if row is None else _run(row)


def plan_json(connection: Connection, run_id: str) -> str | None:
    """Return the plan that a run applies."""
    exact(connection, run_id)
    text: str | None = connection.scalar(select(runs.c.plan_json).where(runs.c.run_id == run_id))
    return text


def create(connection: Connection, run: Run, plan: str | None) -> None:
    """Record a new run."""
    connection.execute(insert(runs), {**asdict(run), "plan_json": plan})


def move(connection: Connection, run: Run, to: RunState, **also: str | None) -> None:
    """Move ``run`` to another state, if it is still in the one that was read, and set the columns ``also`` names.

    Raises:
        NotResumable: the step is not allowed, or somebody else moved the run meanwhile.
    """
    state = advance(run.run_id, run.state, to)
    said = {name: value and value.replace("\x00", "\\x00") for name, value in also.items()}  # PostgreSQL takes no NUL
    as_read = (runs.c.run_id == run.run_id, runs.c.state == run.state)
    if connection.execute(update(runs).where(*as_read).values(state=state, **said)).rowcount != 1:
        raise NotResumable(f"run {run.run_id} is no longer {run.state}", hint=f"remint show {run.run_id}")
    if to not in RUNNING:
        leases.end(connection, run.run_id)


def require_outstanding(run: Run) -> None:
    """Refuse a run that has ended.

    Raises:
        NotResumable: says how it ended.
    """
    if run.state not in OUTSTANDING:
        raise NotResumable(f"run {run.run_id} is {run.state}: there is nothing to resume", hint="remint status")


def journal(connection: Connection, run_id: str) -> list[JournalEntry]:
    """Return the steps of a run in order."""
    wanted = select(tables.journal).where(tables.journal.c.run_id == run_id).order_by(tables.journal.c.seq)
    return [
        JournalEntry(seq=row.seq, kind=StepKind(row.kind), payload=json.loads(row.payload))
        for row in connection.execute(wanted)
    ]


def steps(connection: Connection, kinds: Collection[StepKind]) -> Iterator[tuple[str, JournalEntry]]:
    """Yield the steps of some kinds of all runs, one run after the other."""
    wanted = select(tables.journal).where(tables.journal.c.kind.in_(sorted(kinds)))
    for row in connection.execute(wanted.order_by(tables.journal.c.run_id, tables.journal.c.seq)):
        yield row.run_id, JournalEntry(seq=row.seq, kind=StepKind(row.kind), payload=json.loads(row.payload))


def append_step(connection: Connection, run_id: str, kind: StepKind, payload: Mapping[str, Any]) -> int:
    """Append a step to the journal of a run and return its number."""
    exact(connection, run_id)
    last = select(tables.journal.c.seq).where(tables.journal.c.run_id == run_id)
    seq: int = (connection.scalar(last.order_by(tables.journal.c.seq.desc()).limit(1)) or 0) + 1
    row = {"run_id": run_id, "seq": seq, "kind": kind, "payload": canonical_json(payload)}
    connection.execute(insert(tables.journal), row)
    return seq


def record_reading(connection: Connection, run_id: str, read_seq: int | None) -> None:
    """Keep after which ledger record a run read its inputs."""
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(read_seq=read_seq))
