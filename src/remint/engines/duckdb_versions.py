"""Versions of one thing that name several event partitions: found at ingest, counted at staging.

Rules: a row counts for every event partition that a version of its thing names, once for ever. So what has arrived for
a partition depends on the rows of Bronze alone: not on the order in which they came, nor on the files they came in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import duckdb

from remint.engines.base import Scan, quoted
from remint.engines.duckdb_rows import digest_aggregates, event_key_sql, files_sql, rivals_sql
from remint.model.dataset import Arrivals, Dataset
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey
from remint.model.provenance import Arrival

_SEEN = '"__versions_seen"'
"""Where the things of the new files lie: their key, ``_EVENT``, and ``_FILE`` where they were known, else empty."""
_MOVED = '"__versions_moved"'
"""Every event partition of the things that lie in several, and ``_KNOWN`` where it was known."""
# With a space, so that none of them is the name of a column.
_EVENT, _OTHER, _FILE, _KNOWN = '"event key"', '"other event key"', '"known file"', '"was known"'


def rival_arrivals(
    con: duckdb.DuckDBPyConnection, scheme: str, dataset: Dataset, known: Scan, new: Scan
) -> tuple[Arrival, ...]:
    """Return which rows count for other event partitions than their own, since ``new`` was added to ``known``.

    A new row counts for every other partition of its thing, a known one for those of them that were not known. Keys
    and event times are read from all files; content only if a thing moved, and of known files only from its own.
    """
    arrivals = dataset.arrivals
    assert arrivals is not None  # noqa: S101 - only asked of a dataset whose arrivals have a key
    names, placed = ", ".join(_key(new, arrivals.key)), _placed(new, arrivals)
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_SEEN} AS SELECT DISTINCT {placed}, '' AS {_FILE} FROM ({files_sql(new)})"
        )
        if known.paths:
            con.execute(
                f"INSERT INTO {_SEEN} SELECT DISTINCT * FROM "
                f"(SELECT {placed}, filename AS {_FILE} FROM ({files_sql(known, with_filename=True)})) "
                f"SEMI JOIN {_SEEN} USING ({names})"
            )
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_MOVED} AS SELECT {names}, {_EVENT}, bool_or({_FILE} <> '') AS {_KNOWN} "
            f"FROM {_SEEN} SEMI JOIN (SELECT {names} FROM {_SEEN} GROUP BY {names} "
            f"HAVING min({_EVENT}) <> max({_EVENT})) USING ({names}) GROUP BY ALL"
        )
        holding = con.execute(
            f"SELECT DISTINCT {_FILE} FROM {_SEEN} SEMI JOIN (FROM {_MOVED} WHERE NOT {_KNOWN}) USING ({names})"
        ).fetchall()
        held = {name.removeprefix(f"{known.root}/") for (name,) in holding}
        touched = replace(known, paths=tuple(p for p in known.paths if p in held))
        found = [*_counted(con, scheme, arrivals, new, "true")]
        found += _counted(con, scheme, arrivals, touched, f"NOT m.{_KNOWN}")
    finally:
        for table in (_SEEN, _MOVED):
            con.execute(f"DROP TABLE IF EXISTS {table}")
    return tuple(sorted(found, key=lambda a: (a.file, a.event_key)))


def _counted(
    con: duckdb.DuckDBPyConnection, scheme: str, arrivals: Arrivals, scan: Scan, when: str
) -> Iterable[Arrival]:
    """Yield the rows of moved things by file and by the other partitions that they count for."""
    if not scan.paths or not con.execute(f"SELECT 1 FROM {_MOVED} LIMIT 1").fetchall():
        return
    rows, total, parity = digest_aggregates(scan.columns, scheme)
    measured = con.execute(
        f"SELECT filename, {_OTHER}, {rows}, {total}, {parity} FROM (SELECT r.*, m.{_EVENT} AS {_OTHER} "
        f"FROM ({files_sql(scan, with_filename=True)}) r JOIN {_MOVED} m ON {_same_key(scan, arrivals.key)} "
        f"AND {_event(arrivals)} <> m.{_EVENT} AND {when}) GROUP BY ALL"
    ).fetchall()
    for name, key, n, total_, parity_ in measured:
        digest = ContentDigest(scheme, n, total_ % (1 << 64), parity_)
        yield Arrival(file=name.removeprefix(f"{scan.root}/"), event_key=key, digest=digest, is_rival=True)


def rival_partitions(con: duckdb.DuckDBPyConnection, scan: Scan) -> list[PartitionKey]:
    """Return the event partitions, outside of its filter, of the rivals that a scan reads."""
    if not scan.rivals:
        return []
    rows = con.execute(f"SELECT DISTINCT {_event(_arrivals(scan))} FROM ({rivals_sql(scan)})").fetchall()
    return sorted(key for (key,) in rows)


def repeated_reads(con: duckdb.DuckDBPyConnection, scan: Scan) -> int:
    """Return how often the rows of a scan count beyond once for the event partitions of its filter.

    Within the filter a row counts for its own and as a rival, outside of it as a rival only.
    """
    if not scan.rivals:
        return 0
    arrivals = _arrivals(scan)
    mine = f"SELECT DISTINCT {_placed(scan, arrivals)} FROM ({files_sql(replace(scan, rivals=()))})"
    counted = (
        f"SELECT count(*) FROM ({files_sql(scan)}) r JOIN ({mine}) m "
        f"ON {_same_key(scan, scan.key)} AND {_event(arrivals)} <> m.{_EVENT}"
    )
    found = con.execute(f"SELECT ({counted}) - (SELECT count(*) FROM ({rivals_sql(scan)}))").fetchall()
    return int(found[0][0])


def _arrivals(scan: Scan) -> Arrivals:
    assert scan.only is not None  # noqa: S101 - rivals are those of a filter
    return Arrivals(column=scan.only_column, label=scan.only_label or None, grain=scan.only.grain, key=scan.key)


def _event(arrivals: Arrivals) -> str:
    return event_key_sql(arrivals.column, arrivals.label, arrivals.grain)


def _key(scan: Scan, key: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of a key in their declared types, by the name that they have in the tables of this module."""
    types = {c.name: c.type for c in scan.columns}
    return {f'"key {i}"': f"CAST({quoted(name)} AS {types[name]})" for i, name in enumerate(key)}


def _same_key(scan: Scan, key: tuple[str, ...]) -> str:
    return " AND ".join(f"{value} = m.{name}" for name, value in _key(scan, key).items())


def _placed(scan: Scan, arrivals: Arrivals) -> str:
    """Return the SELECT list of a row's key and of its event partition."""
    key = ", ".join(f"{value} AS {name}" for name, value in _key(scan, arrivals.key).items())
    return f"{key}, {_event(arrivals)} AS {_EVENT}"
