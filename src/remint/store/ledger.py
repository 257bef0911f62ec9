"""The append-only ledger: what each unit holds since which run, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from remint.errors import PublishConflict, StoreError
from remint.model.dataset import DatasetName, Logic, LogicVersion
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import DataFile, Head, LogicRecord, ProvenanceRecord
from remint.store import tables
from remint.store.database import chunks, next_number
from remint.store.tables import ledger
from remint.store.values import InputDigests, StoredRecord, Totals, UnitKey

_SHOWN = 20
_FEW = 20_000
"""Units that are looked up one by one; for more of them the dataset's heads are read through."""
_OF_FILE = tuple(field.name for field in fields(DataFile))
_OF_HEAD = tuple(column.name for column in tables.heads.c)
_MOVE_HEAD = (
    update(tables.heads)
    .where(*[column == bindparam(f"to_{column.name}") for column in tables.heads.primary_key])
    .values({name: bindparam(f"to_{name}") for name in _OF_HEAD})
)


def heads(
    connection: Connection, datasets: Collection[DatasetName], only: Mapping[DatasetName, PartitionSet] | None
) -> dict[DatasetName, dict[PartitionKey, Head]]:
    """Return the newest record of each unit, by dataset and key."""
    found: dict[DatasetName, dict[PartitionKey, Head]] = {}
    for name in sorted(datasets):
        keys = None if only is None else only.get(name)
        is_none = only is not None and not keys
        found[name] = {} if is_none else _heads_of(connection, name, keys)
    return found


def _heads_of(connection: Connection, name: DatasetName, keys: PartitionSet | None) -> dict[PartitionKey, Head]:
    whole = select(*(c for c in tables.heads.c if c.name != "dataset")).where(tables.heads.c.dataset == name)
    is_some = keys is not None and len(keys) <= _FEW
    wanted = [whole.where(tables.heads.c.partition.in_(part)) for part in chunks(keys)] if is_some and keys else [whole]
    found = {}
    for statement in wanted:
        for key, seq, run_id, made_from, logic, digest, rows, size_bytes in connection.execute(statement):
            if keys is None or is_some or key in keys:
                found[key] = Head(
                    seq=seq,
                    key=key,
                    run_id=run_id,
                    fingerprint=made_from,
                    logic=logic,
                    digest=digest,
                    rows=rows,
                    size_bytes=size_bytes,
                )
    return found


def totals(connection: Connection) -> dict[DatasetName, Totals]:
    """Return the units, rows and bytes of each dataset, and the run that recorded last."""
    head = tables.heads.c
    summed = (head.dataset, func.count(), func.sum(head.rows), func.sum(head.size_bytes), func.max(head.seq))
    found = connection.execute(select(*summed).where(head.fingerprint != "").group_by(head.dataset)).all()
    newest = select(ledger.c.seq, ledger.c.run_id).where(ledger.c.seq.in_([row[4] for row in found]))
    runs = {row.seq: row.run_id for row in connection.execute(newest)}
    return {
        name: Totals(units=units, rows=int(rows), size_bytes=int(size), last_run=runs[last])
        for name, units, rows, size, last in found
    }


def inputs(connection: Connection, seqs: Collection[int]) -> dict[int, InputDigests]:
    """Return what records were made from, by sequence number."""
    found: dict[int, InputDigests] = {}
    for part in chunks(sorted(seqs)):
        rows = connection.execute(select(ledger.c.seq, ledger.c.inputs).where(ledger.c.seq.in_(part)))
        found.update((seq, json.loads(text)) for seq, text in rows)
    return found


def records(
    connection: Connection,
    dataset: DatasetName,
    keys: Collection[PartitionKey] | None,
    as_of_seq: int | None,
) -> dict[PartitionKey, ProvenanceRecord]:
    """Return the newest record of each unit, at or before ``as_of_seq`` when given."""
    return {key: found.record for key, found in stored(connection, dataset, keys, as_of_seq).items()}


def stored(
    connection: Connection,
    dataset: DatasetName,
    keys: Collection[PartitionKey] | None,
    as_of_seq: int | None,
) -> dict[PartitionKey, StoredRecord]:
    """Return the same with the place of each record in the ledger."""
    newest = _newest(dataset) if as_of_seq is None else _newest_as_of(dataset, as_of_seq)
    wanted = [newest] if keys is None else [newest.where(ledger.c.partition.in_(k)) for k in chunks(sorted(keys))]
    found = (_stored(row) for statement in wanted for row in connection.execute(statement))
    return {entry.record.key: entry for entry in found}


_UNTIL = ledger.alias("until")


def _newest(dataset: DatasetName) -> Select[Any]:
    return select(ledger).join_from(tables.heads, ledger).where(tables.heads.c.dataset == dataset)


def _newest_as_of(dataset: DatasetName, seq: int) -> Select[Any]:
    until = _UNTIL.c
    newest = select(func.max(until.seq)).where(until.dataset == dataset, until.seq <= seq).group_by(until.partition)
    return select(ledger).where(ledger.c.seq.in_(newest))


def paths_ever(connection: Connection, dataset: DatasetName) -> set[str]:
    """Return the path of every file that any record of the dataset names."""
    rows = connection.scalars(select(ledger.c.files).where(ledger.c.dataset == dataset))
    return {file["path"] for text in rows for file in json.loads(text)}


def of_run(connection: Connection, run_id: str) -> list[StoredRecord]:
    """Return the records of a run in ledger order."""
    rows = connection.execute(select(ledger).where(ledger.c.run_id == run_id).order_by(ledger.c.seq))
    return [_stored(row) for row in rows]


def after(connection: Connection, seq: int, dataset: DatasetName | None) -> list[StoredRecord]:
    """Return every record after ``seq`` in ledger order, only those of one dataset when given."""
    wanted = select(ledger).where(ledger.c.seq > seq).order_by(ledger.c.seq)
    if dataset is not None:
        wanted = wanted.where(ledger.c.dataset == dataset)
    return [_stored(row) for row in connection.execute(wanted)]


def at(connection: Connection, seqs: Collection[int]) -> dict[int, StoredRecord]:
    """Return records by their sequence numbers."""
    found = {}
    for part in chunks(sorted(seqs)):
        found.update(
            {row.seq: _stored(row) for row in connection.execute(select(ledger).where(ledger.c.seq.in_(part)))}
        )
    return found


def first_seqs(connection: Connection) -> dict[str, int]:
    """Return the first record of every run that recorded any."""
    first = select(ledger.c.run_id, func.min(ledger.c.seq).label("seq")).group_by(ledger.c.run_id)
    return {row.run_id: row.seq for row in connection.execute(first)}


def previous(connection: Connection, dataset: DatasetName, key: PartitionKey, before_seq: int) -> StoredRecord | None:
    """Return the newest record of a unit before ``before_seq``."""
    unit = (ledger.c.dataset == dataset, ledger.c.partition == key, ledger.c.seq < before_seq)
    row = connection.execute(select(ledger).where(*unit).order_by(ledger.c.seq.desc()).limit(1)).first()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredRecord:
    record = ProvenanceRecord(
        dataset=row.dataset,
        key=row.partition,
        run_id=row.run_id,
        fingerprint=row.fingerprint,
        logic=row.logic,
        inputs=json.loads(row.inputs),
        digest=row.digest,
        files=tuple(DataFile(**file) for file in json.loads(row.files)),
        table_version=row.table_version,
        published=row.published,
    )
    return StoredRecord(seq=row.seq, recorded_at=row.recorded_at, record=record)


def check_fence(connection: Connection, fence: Mapping[UnitKey, int | None]) -> None:
    """Refuse to go on when a unit's head is not the expected one.

    Raises:
        PublishConflict: names the units and what was expected and found.
    """
    found = _head_seqs(connection, fence)
    moved = sorted((unit, seq, found.get(unit)) for unit, seq in fence.items() if found.get(unit) != seq)
    if not moved:
        return
    lines = [f"{name} {key}: expected {_in_words(a)}, found {_in_words(b)}" for (name, key), a, b in moved[:_SHOWN]]
    if len(moved) > _SHOWN:
        lines.append(f"... and {len(moved) - _SHOWN} more")
    raise PublishConflict(
        f"{len(moved)} partition(s) were recorded by another run meanwhile\n  " + "\n  ".join(lines),
        hint="remint status    # shows which run",
    )


def _in_words(seq: int | None) -> str:
    return "no record" if seq is None else f"ledger record {seq}"


def _head_seqs(connection: Connection, units: Iterable[UnitKey]) -> dict[UnitKey, int]:
    keys: dict[DatasetName, list[PartitionKey]] = {}
    for dataset, key in units:
        keys.setdefault(dataset, []).append(key)
    head = tables.heads.c
    found: dict[UnitKey, int] = {}
    for dataset, wanted in keys.items():
        for part in chunks(wanted):
            rows = connection.execute(
                select(head.partition, head.seq).where(head.dataset == dataset, head.partition.in_(part))
            )
            found.update(((dataset, key), seq) for key, seq in rows)
    return found


def append(connection: Connection, records: Sequence[ProvenanceRecord], at: str) -> None:
    """Append records in their order and make each the head of its unit."""
    if not records:
        return
    first = next_number(connection, ledger.c.seq)
    rows = [_row(record, seq, at) for seq, record in enumerate(records, first)]
    connection.execute(insert(ledger), rows)
    _move_heads(connection, {(row["dataset"], row["partition"]): row for row in rows})


def _row(record: ProvenanceRecord, seq: int, at: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "dataset": record.dataset,
        "partition": record.key,
        "run_id": record.run_id,
        "fingerprint": record.fingerprint,
        "logic": record.logic,
        "digest": record.digest,
        "rows": record.rows,
        "size_bytes": record.size_bytes,
        "table_version": record.table_version,
        "published": record.published,
        "recorded_at": at,
        "inputs": json.dumps({a: dict(read) for a, read in record.inputs.items()}, sort_keys=True),
        "files": json.dumps([{name: getattr(file, name) for name in _OF_FILE} for file in record.files]),
    }


def _move_heads(connection: Connection, rows: Mapping[UnitKey, Mapping[str, Any]]) -> None:
    known = _head_seqs(connection, rows)
    moved = [{f"to_{name}": row[name] for name in _OF_HEAD} for unit, row in rows.items() if unit in known]
    if moved:
        connection.execute(_MOVE_HEAD, moved)
    added = [{name: row[name] for name in _OF_HEAD} for unit, row in rows.items() if unit not in known]
    if added:
        connection.execute(insert(tables.heads), added)


def logics(connection: Connection, datasets: Collection[DatasetName]) -> dict[DatasetName, tuple[LogicRecord, ...]]:
    """Return the logics of each dataset in order of number."""
    found: dict[DatasetName, tuple[LogicRecord, ...]] = dict.fromkeys(sorted(datasets), ())
    for names in chunks(found):
        wanted = select(tables.logic).where(tables.logic.c.dataset.in_(names)).order_by(tables.logic.c.number)
        for row in connection.execute(wanted):
            found[row.dataset] += (LogicRecord(**row._mapping),)
    return found


def record_logics(
    connection: Connection, published: Mapping[DatasetName, tuple[Logic, LogicVersion]], run_id: str, at: str
) -> None:
    """Enter each version that was never published before into the registry of versions.

    Raises:
        StoreError: a version was published with another logic; nothing is written.
    """
    known = {(name, r.number): r for name, held in logics(connection, published).items() for r in held}
    added = []
    for dataset, (logic, version) in sorted(published.items()):
        held = known.get((dataset, version.number))
        if held and held.digest != logic.digest:
            raise StoreError(f"{dataset}: version {version.number} was published with another logic meanwhile")
        if held is None:
            added.append(
                {
                    "dataset": dataset,
                    "number": version.number,
                    "digest": logic.digest,
                    "sql": logic.canonical,
                    "canonicaliser": logic.canonicaliser,
                    "old": version.old.value,
                    "recorded_at": at,
                    "run_id": run_id,
                }
            )
    if added:
        connection.execute(insert(tables.logic), added)
