"""What runs recorded, as folding reads it, and the standings it gave, kept so that nothing is folded twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from remint.model.dataset import DatasetName
from remint.model.partition import Grain, PartitionKey, PartitionSet
from remint.model.standing import RunChanges, Standing
from remint.store import tables
from remint.store.tables import ledger, runs

_KEPT = tables.standings
_AT_ONCE = 10_000
"""Rows that are fetched at a time."""


def last_record(connection: Connection) -> tuple[int, str]:
    """Return the newest ledger record's number and run."""
    row = connection.execute(select(ledger.c.seq, ledger.c.run_id).order_by(ledger.c.seq.desc()).limit(1)).first()
    return (0, "") if row is None else (row.seq, row.run_id)


def run_at(connection: Connection, seq: int) -> str:
    """Return the run that wrote a ledger record."""
    return connection.scalar(select(ledger.c.run_id).where(ledger.c.seq == seq)) or ""


def changes(connection: Connection, after_seq: int) -> Iterator[RunChanges]:
    """Yield what each run recorded after a ledger record, in order; one run is held in memory at a time."""
    shown = (
        ledger.c.seq,
        ledger.c.dataset,
        ledger.c.partition,
        ledger.c.run_id,
        ledger.c.fingerprint,
        ledger.c.logic,
        ledger.c.published,
    )
    wanted = select(*shown).where(ledger.c.seq > after_seq).order_by(ledger.c.seq)
    gathered: _Gathered | None = None
    for seq, dataset, key, run_id, made_from, logic, is_published in connection.execute(
        wanted, execution_options={"yield_per": _AT_ONCE}
    ):
        if gathered is not None and gathered.run_id != run_id:
            yield gathered.closed(connection)
            gathered = None
        gathered = gathered or _Gathered(run_id, seq)
        gathered.add(seq, dataset, key, logic, is_missing=not made_from, is_published=is_published)
    if gathered is not None:
        yield gathered.closed(connection)


class _Gathered:
    """Records of one run, while they are read."""

    def __init__(self, run_id: str, first_seq: int) -> None:
        self.run_id = run_id
        self.first_seq = self.last_seq = first_seq
        self.made: dict[DatasetName, dict[str, list[PartitionKey]]] = {}
        self.withdrawn: dict[DatasetName, list[PartitionKey]] = {}
        self.changed: dict[DatasetName, list[PartitionKey]] = {}

    def add(
        self, seq: int, dataset: DatasetName, key: PartitionKey, logic: str, *, is_missing: bool, is_published: bool
    ) -> None:
        self.last_seq = seq
        if is_missing:
            self.withdrawn.setdefault(dataset, []).append(key)
        else:
            self.made.setdefault(dataset, {}).setdefault(logic, []).append(key)
        if is_published:
            self.changed.setdefault(dataset, []).append(key)

    def closed(self, connection: Connection) -> RunChanges:
        arrived: dict[DatasetName, list[PartitionKey]] = {}
        of_run = select(tables.arrivals.c.dataset, tables.arrivals.c.event_key).distinct()
        for dataset, key in connection.execute(of_run.where(tables.arrivals.c.run_id == self.run_id)):
            arrived.setdefault(dataset, []).append(key)
        return RunChanges(
            run_id=self.run_id,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            read_seq=connection.scalar(select(runs.c.read_seq).where(runs.c.run_id == self.run_id)),
            made={name: {logic: tuple(keys) for logic, keys in by.items()} for name, by in self.made.items()},
            withdrawn={name: tuple(keys) for name, keys in self.withdrawn.items()},
            changed={name: tuple(keys) for name, keys in self.changed.items()},
            arrived={name: tuple(keys) for name, keys in arrived.items()},
        )


def saved(connection: Connection) -> dict[DatasetName, Standing]:
    """Return the standings that were kept."""
    return {
        row.dataset: _standing(row.through_seq, json.loads(row.folded)) for row in connection.execute(select(_KEPT))
    }


def save(connection: Connection, found: Mapping[DatasetName, Standing]) -> None:
    """Keep standings; one that is kept as of a later record stays."""
    kept = connection.execute(select(_KEPT.c.dataset, _KEPT.c.through_seq))
    known = {row.dataset: row.through_seq for row in kept}
    for dataset, standing in sorted(found.items()):
        row = {"through_seq": standing.through_seq, "folded": json.dumps(_folded(standing), sort_keys=True)}
        if dataset not in known:
            connection.execute(insert(_KEPT).values(dataset=dataset, **row))
        elif known[dataset] <= standing.through_seq:
            connection.execute(update(_KEPT).where(_KEPT.c.dataset == dataset).values(**row))


def _folded(standing: Standing) -> dict[str, Any]:
    return {
        "grain": standing.withdrawn.grain.value,
        "event_grain": standing.arrived.grain.value,
        "made_by": {logic: keys.as_ranges() for logic, keys in standing.made_by.items()},
        "withdrawn": standing.withdrawn.as_ranges(),
        "suspects": standing.suspects.as_ranges(),
        "arrived": standing.arrived.as_ranges(),
        "edges": standing.edges,
    }


def _standing(through_seq: int, folded: Mapping[str, Any]) -> Standing:
    grain = Grain(folded["grain"])
    return Standing(
        through_seq=through_seq,
        made_by={logic: PartitionSet.from_ranges(grain, keys) for logic, keys in folded["made_by"].items()},
        withdrawn=PartitionSet.from_ranges(grain, folded["withdrawn"]),
        suspects=PartitionSet.from_ranges(grain, folded["suspects"]),
        arrived=PartitionSet.from_ranges(Grain(folded["event_grain"]), folded["arrived"]),
        edges=folded["edges"],
    )
