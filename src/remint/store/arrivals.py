"""What arrived in Bronze: rows by file and event key, their running totals, and the source files they came from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from remint.errors import StoreError
from remint.model.dataset import DatasetName
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import Arrival, ArrivedContent
from remint.store import tables
from remint.store.database import chunks, next_number
from remint.store.tables import arrived
from remint.store.values import SourceFileRecord


def content(
    connection: Connection, dataset: DatasetName, only: PartitionSet | None
) -> dict[PartitionKey, ArrivedContent]:
    """Return all that has arrived, by event key; only for some of them when given.

    What was counted under several digest schemes is added up all the same: the sum of the row hashes, each of its own
    scheme, tells one content from another as well, under a name of its own.
    """
    whole = select(arrived).where(arrived.c.dataset == dataset)
    parts = [whole] if only is None else [whole.where(arrived.c.event_key.in_(part)) for part in chunks(only)]
    found: dict[PartitionKey, ArrivedContent] = {}
    for row in sorted((row for part in parts for row in connection.execute(part)), key=lambda row: row.scheme):
        more = _content(row)
        found[row.event_key] = _added(found[row.event_key], more) if row.event_key in found else more
    return found


def _added(one: ArrivedContent, other: ArrivedContent) -> ArrivedContent:
    """Return two contents, counted under different schemes, as one."""
    scheme = f"{one.digest.scheme}+{other.digest.scheme}"
    digests = [replace(content.digest, scheme=scheme) for content in (one, other)]
    return ArrivedContent(digest=digests[0] + digests[1], files=one.files + other.files)


def _content(row: Row[Any]) -> ArrivedContent:
    digest = ContentDigest(row.scheme, row.rows, int(row.total, 16), int(row.parity, 16))
    return ArrivedContent(digest=digest, files=row.files)


def files(
    connection: Connection, dataset: DatasetName, event_keys: Collection[PartitionKey], *, rivals: bool
) -> list[str]:
    """Return the files that hold rows of any of the event keys, or else rivals of such rows, sorted."""
    found: set[str] = set()
    arrival = tables.arrivals.c
    for keys in chunks(sorted(event_keys)):
        wanted = select(arrival.file).distinct().where(arrival.dataset == dataset, arrival.is_rival == rivals)
        wanted = wanted.where(arrival.event_key.in_(keys))
        found.update(connection.scalars(wanted))
    return sorted(found)


def append(connection: Connection, dataset: DatasetName, new: Sequence[Arrival], run_id: str) -> None:
    """Append arrivals and add them to the running totals of their event keys."""
    if not new:
        return
    rows = [
        {
            "dataset": dataset,
            "file": a.file,
            "event_key": a.event_key,
            "is_rival": a.is_rival,
            "run_id": run_id,
            **_bits(a.digest),
        }
        for a in new
    ]
    connection.execute(insert(tables.arrivals), rows)
    by_scheme: dict[str, list[Arrival]] = {}
    for arrival in new:
        by_scheme.setdefault(arrival.digest.scheme, []).append(arrival)
    for scheme, group in sorted(by_scheme.items()):
        _add_to_totals(connection, dataset, scheme, group)


def _bits(digest: ContentDigest) -> dict[str, Any]:
    return {
        "scheme": digest.scheme,
        "rows": digest.rows,
        "total": f"{digest.total:016x}",
        "parity": f"{digest.parity:016x}",
    }


def _add_to_totals(connection: Connection, dataset: DatasetName, scheme: str, new: Iterable[Arrival]) -> None:
    added: dict[PartitionKey, ArrivedContent] = {}
    for arrival in new:
        before = added.get(arrival.event_key, ArrivedContent(digest=ContentDigest.empty(scheme), files=0))
        files_more = before.files + (not arrival.is_rival)
        added[arrival.event_key] = ArrivedContent(digest=before.digest + arrival.digest, files=files_more)
    known = _totals(connection, dataset, scheme, added)
    grown = [
        {
            "key": key,
            **_bits(known[key].digest + more.digest),
            "files": known[key].files + more.files,
        }
        for key, more in added.items()
        if key in known
    ]
    if grown:
        total = (arrived.c.dataset == dataset, arrived.c.scheme == scheme, arrived.c.event_key == bindparam("key"))
        connection.execute(update(arrived).where(*total), grown)
    first = [
        {"dataset": dataset, "event_key": key, **_bits(more.digest), "files": more.files}
        for key, more in added.items()
        if key not in known
    ]
    if first:
        connection.execute(insert(arrived), first)


def _totals(
    connection: Connection, dataset: DatasetName, scheme: str, keys: Iterable[PartitionKey]
) -> dict[PartitionKey, ArrivedContent]:
    found: dict[PartitionKey, ArrivedContent] = {}
    of_scheme = select(arrived).where(arrived.c.dataset == dataset, arrived.c.scheme == scheme)
    for part in chunks(keys):
        for row in connection.execute(of_scheme.where(arrived.c.event_key.in_(part))):
            found[row.event_key] = _content(row)
    return found


def countings(connection: Connection) -> dict[DatasetName, str]:
    """Return in which way the arrivals of each dataset are counted, in words."""
    return dict(connection.execute(select(tables.countings.c.dataset, tables.countings.c.counted)).all())


def declare_countings(connection: Connection, declared: Mapping[DatasetName, str], run_id: str) -> None:
    """Note in which way arrivals are counted, where that was not noted before.

    Raises:
        StoreError: they were counted in another way, so that the two would be added up.
    """
    known = countings(connection)
    for dataset, counted in sorted(declared.items()):
        if known.get(dataset, counted) != counted:
            raise StoreError(f"arrivals of {dataset} are counted {known[dataset]}, not {counted}")
        if dataset not in known:
            connection.execute(insert(tables.countings).values(dataset=dataset, counted=counted, run_id=run_id))


def source_files(connection: Connection, dataset: DatasetName) -> dict[str, SourceFileRecord]:
    """Return the newest record of each source file, by URI."""
    shown = [tables.source_files.c[f.name] for f in fields(SourceFileRecord)]
    wanted = select(*shown).where(tables.source_files.c.dataset == dataset).order_by(tables.source_files.c.seq)
    return {row.uri: SourceFileRecord(**row._mapping) for row in connection.execute(wanted)}


def append_source_files(connection: Connection, records: Sequence[SourceFileRecord]) -> None:
    """Append what an ingest found; a file that was ingested again has several records."""
    if not records:
        return
    first = next_number(connection, tables.source_files.c.seq)
    rows = [{"seq": seq, **asdict(record)} for seq, record in enumerate(records, first)]
    connection.execute(insert(tables.source_files), rows)
