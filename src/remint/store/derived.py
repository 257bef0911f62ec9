"""What is derived from the append-only tables: whether it says what they say, and how it is made again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select

from remint.model.dataset import DatasetName
from remint.model.digest import ContentDigest
from remint.store import tables
from remint.store.database import chunks
from remint.store.tables import arrived, heads, ledger
from remint.store.values import Difference

_COPIED = ("seq", "run_id", "fingerprint", "logic", "digest", "rows", "size_bytes")
_AT_ONCE = 10_000


def differences(connection: Connection) -> list[Difference]:
    """Return where derived tables do not say what the tables say that they are derived from."""
    return [*_heads_that_differ(connection), *_totals_that_differ(connection), *_unknown_contents(connection)]


def _newest(connection: Connection) -> Iterator[Row[Any]]:
    """Yield the newest ledger record of every unit, without its long columns."""
    last = select(func.max(ledger.c.seq)).group_by(ledger.c.dataset, ledger.c.partition)
    shown = (ledger.c.dataset, ledger.c.partition, *(ledger.c[name] for name in _COPIED))
    wanted = select(*shown).where(ledger.c.seq.in_(last))
    yield from connection.execute(wanted, execution_options={"yield_per": _AT_ONCE})


def _heads_that_differ(connection: Connection) -> Iterator[Difference]:
    copied = [heads.c[name] == ledger.c[name] for name in _COPIED]
    same = and_(heads.c.dataset == ledger.c.dataset, heads.c.partition == ledger.c.partition, *copied)
    last = select(func.max(ledger.c.seq)).group_by(ledger.c.dataset, ledger.c.partition)
    lacking = select(ledger.c.dataset, ledger.c.partition).outerjoin(heads, same)
    lacking = lacking.where(ledger.c.seq.in_(last), heads.c.seq.is_(None))
    unit = and_(heads.c.dataset == ledger.c.dataset, heads.c.partition == ledger.c.partition)
    more = select(heads.c.dataset, heads.c.partition).outerjoin(ledger, unit).where(ledger.c.seq.is_(None))
    found = {(dataset, key) for wanted in (lacking, more) for dataset, key in connection.execute(wanted)}
    for dataset, key in sorted(found):
        yield Difference(table="heads", dataset=dataset, key=key)


def _totals_that_differ(connection: Connection) -> Iterator[Difference]:
    summed = {key: _bits(total) for key, total in _summed(connection).items()}
    held = {
        (row.dataset, row.scheme, row.event_key): (row.rows, row.total, row.parity, row.files)
        for row in connection.execute(select(arrived))
    }
    for dataset, scheme, key in sorted(k for k in {*summed, *held} if summed.get(k) != held.get(k)):
        yield Difference(table="arrived", dataset=dataset, key=f"{key} ({scheme})")


def _summed(connection: Connection) -> dict[tuple[str, str, str], tuple[ContentDigest, int]]:
    """Return the sums of all arrivals by dataset, scheme and event key, and how many files each is of."""
    found: dict[tuple[str, str, str], tuple[ContentDigest, int]] = {}
    rows = connection.execute(select(tables.arrivals), execution_options={"yield_per": _AT_ONCE})
    for row in rows:
        key = (row.dataset, row.scheme, row.event_key)
        digest, files = found.get(key, (ContentDigest.empty(row.scheme), 0))
        more = ContentDigest(row.scheme, row.rows, int(row.total, 16), int(row.parity, 16))
        found[key] = (digest + more, files + (not row.is_rival))
    return found


def _bits(total: tuple[ContentDigest, int]) -> tuple[int, str, str, int]:
    digest, files = total
    return digest.rows, f"{digest.total:016x}", f"{digest.parity:016x}", files


def _unknown_contents(connection: Connection) -> Iterator[Difference]:
    made = and_(tables.projections.c.dataset == ledger.c.dataset, tables.projections.c.content == ledger.c.digest)
    wanted = select(tables.projections.c.dataset, tables.projections.c.content).outerjoin(ledger, made)
    found = connection.execute(wanted.where(ledger.c.seq.is_(None)).distinct()).all()
    for dataset, content in sorted((row.dataset, row.content) for row in found):
        yield Difference(table="projections", dataset=dataset, key=content)


def remake(connection: Connection) -> None:
    """Make every derived table again from what it is derived from; what was learned of contents is forgotten."""
    for table in (tables.standings, tables.projections, heads, arrived):
        connection.execute(delete(table))
    for part in chunks(_newest(connection)):
        connection.execute(insert(heads), [dict(row._mapping) for row in part])
    for sums in chunks(_summed(connection).items()):
        rows = []
        for (dataset, scheme, key), total in sums:
            count, added, parity, files = _bits(total)
            row = {"dataset": dataset, "scheme": scheme, "event_key": key, "files": files}
            rows.append({**row, "rows": count, "total": added, "parity": parity})
        connection.execute(insert(arrived), rows)


def hashed_files(connection: Connection, dataset: DatasetName) -> dict[str, str]:
    """Return when each file of a dataset was last hashed."""
    known = tables.hashed_files.c
    return dict(connection.execute(select(known.path, known.hashed_at).where(known.dataset == dataset)).all())


def note_hashed(connection: Connection, dataset: DatasetName, paths: Collection[str], at: str) -> None:
    """Note that files were hashed now."""
    known = tables.hashed_files.c
    for part in chunks(sorted(paths)):
        connection.execute(delete(tables.hashed_files).where(known.dataset == dataset, known.path.in_(part)))
        rows = [{"dataset": dataset, "path": path, "hashed_at": at} for path in part]
        connection.execute(insert(tables.hashed_files), rows)
