"""The one transaction after which a run's commits may be in the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from remint.errors import PublishConflict
from remint.model.dataset import DatasetName
from remint.model.run import RunState, StepKind
from remint.store import ledger, runs, tables
from remint.store.values import UnitKey


def intend(
    connection: Connection,
    run_id: str,
    payload: Mapping[str, Any],
    fence: Mapping[UnitKey, int | None],
    newest: Mapping[DatasetName, int],
) -> None:
    """Write down what a run will publish, if nothing that it started from has moved.

    Args:
        connection: holds the write lock, so of two runs that want to publish to the same dataset one is refused here.
        run_id: the run.
        payload: of the journal's step.
        fence: head of each unit that it started from.
        newest: newest record of each dataset of which every unit matters to it.
    """
    for name, seq in sorted(newest.items()):
        _check_newest(connection, run_id, name, seq)
    ledger.check_fence(connection, fence)
    runs.append_step(connection, run_id, StepKind.PUBLISH_INTENT, payload)
    runs.move(connection, runs.exact(connection, run_id), RunState.PUBLISHING)


def _check_newest(connection: Connection, run_id: str, name: DatasetName, seq: int) -> None:
    of_dataset = select(func.max(tables.heads.c.seq)).where(tables.heads.c.dataset == name)
    found = connection.scalar(of_dataset) or 0
    said = ""
    if found != seq:
        said = f"{name}: another run added to it since this one looked what is there already"
    for other in runs.outstanding(connection):
        if other.state is not RunState.PUBLISHING:
            continue
        intents = [e.payload for e in runs.journal(connection, other.run_id) if e.kind is StepKind.PUBLISH_INTENT]
        if other.run_id != run_id and name in {table["dataset"] for table in intents[-1]["tables"]}:
            said = f"{name}: run {other.run_id} is publishing to it"
    if said:
        raise PublishConflict(
            said, hint=f"remint resume {run_id}    # when the other one has ended: looks again and goes on"
        )
