"""Ingest of one fetched source file with DuckDB: nothing twice, bad rows kept apart, files out, everything counted.

Rules: every row of the file is added, a duplicate or rejected, and the three add up to an independent count; which of
two equal rows stays depends on the file's order alone, never on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from remint.engines.base import Ingested, IngestWork, Scan, Target, literal, quoted
from remint.engines.duckdb_intake import REJECTED, ROWS, Intake
from remint.engines.duckdb_rows import (
    UnusablePartition,
    copy_partitioned,
    digest_aggregates,
    event_key_sql,
    files_sql,
    period_sql,
    scan_sql,
)
from remint.errors import RunError, SourceRejected
from remint.model.dataset import Dataset
from remint.model.digest import ContentDigest
from remint.model.provenance import Arrival, DataFile
from remint.storage.base import Storage
from remint.storage.local import LOCAL

_MET = '"__ingest_met"'
"""Rows whose key is taken: ``__line``, ``__same`` (its content is equal too) and ``__reason``."""
_RAW_CHARACTERS = 64 * 1024


def ingest_file(con: duckdb.DuckDBPyConnection, scheme: str, work: IngestWork, storage: Storage = LOCAL) -> Ingested:
    """Return what one fetched source file became: Bronze and quarantine files, digests, arrivals and counts.

    Raises:
        SourceRejected: the file as a whole is not what its format says; files already written are named by nothing.
    """
    intake = Intake(con, work)
    try:
        rows_read = intake.read()
        duplicates = _settle_known(con, work) + _settle_within(con, work)
        files, rejected = _written(con, storage, work)
    finally:
        con.execute(f"DROP TABLE IF EXISTS {_MET}")
        intake.close()
    rows_added, rows_rejected = (sum(f.rows for f in made) for made in (files, rejected))
    if rows_read != rows_added + duplicates + rows_rejected:
        raise RunError(
            f"{work.uri}: {rows_read:,} rows were read, but {rows_added:,} added, {duplicates:,} duplicate and "
            f"{rows_rejected:,} rejected make {rows_added + duplicates + rows_rejected:,}"
        )
    parts = measured(con, scheme, _scan(work.dataset, work.root, files), row_event_key(work.dataset))
    kept_apart = measured(con, scheme, _scan(work.quarantine, work.quarantine_root, rejected), "''")
    digests: dict[str, ContentDigest] = {}
    for (path, _), digest in (*parts.items(), *kept_apart.items()):
        digests[path] = digests[path] + digest if path in digests else digest
    return Ingested(
        files=tuple(files),
        quarantine_files=tuple(rejected),
        digests=digests,
        arrivals=tuple(Arrival(file=path, event_key=key, digest=digest) for (path, key), digest in parts.items())
        if work.dataset.arrivals
        else (),
        rows_read=rows_read,
        rows_added=rows_added,
        rows_duplicate=duplicates,
        rows_rejected=rows_rejected,
    )


def _settle_known(con: duckdb.DuckDBPyConnection, work: IngestWork) -> int:
    """Take out the rows whose key Bronze already has, and return how many of them are duplicates."""
    if not work.dataset.key or not work.known.paths:
        return 0
    same_key = _equal(work.dataset.key)
    keys = ", ".join(f"CAST({quoted(c)} AS {work.dataset.column(c).type}) AS {quoted(c)}" for c in work.dataset.key)
    # Keys alone first: the content of Bronze is read only from the few files that hold one of them.
    hits = con.execute(
        f"SELECT DISTINCT filename FROM (SELECT filename, {keys} FROM ({files_sql(work.known, with_filename=True)})) k "
        f"WHERE EXISTS (FROM {ROWS} r WHERE {same_key})"
    ).fetchall()
    if not hits:
        return 0
    names = {name for (name,) in hits}
    paths = tuple(p for p in work.known.paths if f"{work.known.root}/{p}" in names)
    known = replace(work.known, paths=paths)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_MET} AS SELECT r.__line, bool_or({_same_content(work.dataset)}) AS __same, "
        f"{literal('key already ingested with different content')} AS __reason "
        f"FROM {ROWS} r JOIN ({scan_sql(known)}) k ON {same_key} GROUP BY r.__line"
    )
    return _take_out(con, work)


def _settle_within(con: duckdb.DuckDBPyConnection, work: IngestWork) -> int:
    """Keep the first row of every key of the file, and return how many of the others are duplicates of it."""
    if not work.dataset.key:
        return 0
    key = ", ".join(quoted(c) for c in work.dataset.key)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_MET} AS WITH firsts AS ("
        f"SELECT {key}, min(__line) AS __first FROM {ROWS} GROUP BY {key} HAVING count(*) > 1) "
        f"SELECT r.__line, {_same_content(work.dataset)} AS __same, "
        "format('same key as line {}, different content', f.__first) AS __reason "
        f"FROM firsts f JOIN {ROWS} k ON k.__line = f.__first "
        f"JOIN {ROWS} r ON {_equal(work.dataset.key)} WHERE r.__line > f.__first"
    )
    return _take_out(con, work)


def _take_out(con: duckdb.DuckDBPyConnection, work: IngestWork) -> int:
    columns = ", ".join(quoted(c) for c in work.dataset.column_names)
    con.execute(
        f"INSERT INTO {REJECTED} SELECT r.__line, m.__reason, "
        f"coalesce(r.__raw, CAST(to_json(struct_pack({columns})) AS VARCHAR)) "
        f"FROM {ROWS} r JOIN {_MET} m USING (__line) WHERE NOT m.__same"
    )
    con.execute(f"DELETE FROM {ROWS} WHERE __line IN (SELECT __line FROM {_MET})")
    return int(con.execute(f"SELECT count(*) FROM {_MET} WHERE __same").fetchall()[0][0])


def _equal(names: Sequence[str]) -> str:
    return " AND ".join(f"r.{quoted(c)} = k.{quoted(c)}" for c in names)


def _same_content(dataset: Dataset) -> str:
    """Return SQL that compares what the source said of a row: neither the partition nor the time remint filled in."""
    ours = {dataset.partition.column, dataset.source.ingested_at if dataset.source else None, *dataset.key}
    compared = (quoted(c) for c in dataset.column_names if c not in ours)
    return " AND ".join(f"r.{c} IS NOT DISTINCT FROM k.{c}" for c in compared) or "true"


def _written(
    con: duckdb.DuckDBPyConnection, storage: Storage, work: IngestWork
) -> tuple[list[DataFile], list[DataFile]]:
    columns = ", ".join(quoted(c) for c in work.dataset.column_names)
    bronze = f"SELECT {columns} FROM {ROWS}"
    storage.prepare(work.root)
    storage.prepare(work.quarantine_root)
    try:
        into = Target(root=work.root, spec=work.dataset.partition, token=work.token, layout=work.layout)
        files = copy_partitioned(con, bronze, into, storage)
        beside = Target(
            root=work.quarantine_root,
            spec=work.quarantine.partition,
            token=work.token,
            layout=work.quarantine_layout,
        )
        rejected = copy_partitioned(con, _rejected_sql(work), beside, storage)
    except UnusablePartition as error:
        raise SourceRejected(
            f"{work.uri}: {error}",
            hint="correct the partition column in the source, or leave it out to have it derived",
        ) from error
    return files, rejected


def _rejected_sql(work: IngestWork) -> str:
    """Return a SELECT of the quarantine's columns over the rejected rows."""
    moment = f"TIMESTAMPTZ {literal(work.ingested_at)}"
    values = {
        "reason": "__reason",
        "file": literal(work.uri),
        "line": "__line",
        "raw": f"left(__raw, {_RAW_CHARACTERS})",
        "ingested_at": moment,
        work.quarantine.partition.column: period_sql(work.quarantine.partition, moment),
    }
    made = (f"CAST({values.get(c.name, 'NULL')} AS {c.type}) AS {quoted(c.name)}" for c in work.quarantine.columns)
    return f"SELECT {', '.join(made)} FROM {REJECTED}"


def measured(
    con: duckdb.DuckDBPyConnection, scheme: str, scan: Scan, part: str
) -> dict[tuple[str, str], ContentDigest]:
    """Read written files back and return the digest of every part of every file; ``part`` is SQL over their columns."""
    if not scan.paths:
        return {}
    rows, total, parity = digest_aggregates(scan.columns, scheme)
    found = con.execute(
        f"SELECT filename, {part} AS part, {rows}, {total}, {parity} "
        f"FROM ({files_sql(scan, with_filename=True)}) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {
        (name.removeprefix(f"{scan.root}/"), key): ContentDigest(scheme, n, total % (1 << 64), parity)
        for name, key, n, total, parity in found
    }


def row_event_key(dataset: Dataset) -> str:
    """Return the SQL that gives the event key of a Bronze row; empty text where nobody reads it by arrival."""
    if dataset.arrivals is None:
        return "''"
    return event_key_sql(dataset.arrivals.column, dataset.arrivals.label, dataset.arrivals.grain)


def _scan(dataset: Dataset, root: str, files: Sequence[DataFile]) -> Scan:
    return Scan(root=root, paths=tuple(f.path for f in files), columns=dataset.columns, partition=dataset.partition)
