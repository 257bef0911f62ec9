"""DuckDB: one set-based query a batch, Parquet out, digests and checks read back from the files themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from remint.checks.judge import UNIQUE_KEY
from remint.checks.run_now import bind_run_now
from remint.engines.base import Comparison, Ingested, IngestWork, Rows, Scan, StageWork, Target, literal, quoted
from remint.engines.duckdb_compare import compare
from remint.engines.duckdb_function import RETURNED, call_function
from remint.engines.duckdb_ingest import ingest_file, measured, row_event_key
from remint.engines.duckdb_parse import REASON, parsed_sql, rejected_columns, valid_columns
from remint.engines.duckdb_rows import (
    UnusablePartition,
    confine,
    copy_partitioned,
    digest_aggregates,
    digest_scheme,
    fetched,
    key_sql,
    open_connection,
    parts_sql,
    scan_sql,
)
from remint.engines.duckdb_versions import repeated_reads, rival_arrivals, rival_partitions
from remint.engines.duckdb_views import define, undefine, write_views
from remint.engines.promised_columns import check_columns
from remint.engines.staging import (
    Count,
    Measured,
    Staging,
    meets,
    parsed_scan,
    refuse_tie,
    transform_of,
    version_key,
    written_scan,
)
from remint.errors import RefusedQuery, TransformFailed
from remint.failures import machine_failure
from remint.model.dataset import Column, Dataset
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey
from remint.model.provenance import Arrival, DataFile
from remint.storage.base import Storage
from remint.storage.local import LOCAL

_GIVEN = "__given"
"""Relation of the rows that ``write`` is given."""


class DuckDBEngine(Staging[str]):
    """Embedded engine; one connection for the life of a command."""

    name = "duckdb"

    def __init__(
        self,
        *,
        memory_limit: str,
        threads: int,
        folder: Path,
        allowed: Sequence[str | Path],
        scheme: str = "",
        storage: Storage = LOCAL,
    ) -> None:
        """Prepare an engine that may touch files below ``allowed``, spills below ``folder``, digests by ``scheme``."""
        self._scheme = scheme
        self._storage = storage
        self._memory_limit, self._threads = memory_limit, threads
        self._folder = folder
        self._allowed = tuple(allowed)
        self._parsed: dict[tuple[Any, ...], str] = {}

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        con = open_connection(self._memory_limit, self._threads, self._folder / "spill", self._storage)
        confine(con, (*self._allowed, self._folder))
        # DuckDB 2.0.0: CAST(timestamptz AS DATE) beside row_number() ... = 1 stops with "unimplemented type for cast".
        con.execute("SET disabled_optimizers = 'top_n_window_elimination'")
        return con

    @cached_property
    def digest_scheme(self) -> str:
        """Name of the row hash: the one asked for, else the fastest that this build of DuckDB proves to compute."""
        return self._scheme or digest_scheme(self._con)

    def maker_of(self, work: StageWork) -> str:
        """Return the name of the engine that does a piece of work: its own."""
        del work
        return self.name

    def start_for(self, works: Iterable[StageWork]) -> None:
        """Do nothing: it is there."""

    def digests(self, scan: Scan, columns: Sequence[str] | None = None) -> Mapping[PartitionKey, ContentDigest]:
        """Return the digest of each partition of published files, over some columns or all."""
        key = key_sql(scan.partition)
        over = [c for c in scan.columns if columns is None or c.name in columns]
        return self._digest_rows(f"SELECT {key} AS k, {self._sums(over)} FROM ({scan_sql(scan)}) GROUP BY 1")

    def file_digests(
        self, dataset: Dataset, scan: Scan, *, by_event: bool
    ) -> Mapping[tuple[str, PartitionKey], ContentDigest]:
        """Return the digest of each file, by path and partition or event key."""
        part = row_event_key(dataset) if by_event else key_sql(scan.partition)
        try:
            return measured(self._con, self.digest_scheme, scan, part)
        except duckdb.Error as error:
            raise TransformFailed(f"{dataset.name}: its files cannot be read: {_first_line(error)}") from error

    def ingest(self, work: IngestWork) -> Ingested:
        """Turn one source file into Bronze and quarantine files."""
        return ingest_file(self._con, self.digest_scheme, work, self._storage)

    def write(self, rows: Any, columns: Sequence[Column], target: Target) -> list[DataFile]:
        """Write Arrow rows as files, each value cast to its column's type."""
        casts = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in columns)
        self._storage.prepare(target.root)
        self._con.register(_GIVEN, rows)
        try:
            return copy_partitioned(self._con, f"SELECT {casts} FROM {_GIVEN}", target, self._storage)
        except (duckdb.Error, UnusablePartition) as error:
            raise machine_failure(error) or TransformFailed(f"rows cannot be written: {_first_line(error)}") from error
        finally:
            self._con.unregister(_GIVEN)

    def rivals(self, dataset: Dataset, known: Scan, new: Scan) -> tuple[Arrival, ...]:
        """Return which rows count for other event partitions than their own, now that Bronze holds ``new`` too."""
        return rival_arrivals(self._con, self.digest_scheme, dataset, known, new)

    def compare(self, before: Scan, after: Scan, key: Sequence[str], sample: int) -> Comparison:
        """Return what differs between two states of a table, matched by ``key`` (by whole rows without one)."""
        return compare(self._con, before, after, key, sample)

    def query(self, sql: str, scans: Mapping[str, Scan], limit: int) -> Rows:
        """Run one read-only SELECT over relations named ``layer.name`` (or bare)."""
        with self._defined(sql, scans) as select:
            names, rows = fetched(self._con, f"SELECT * FROM ({select}\n) LIMIT {limit + 1}")
        return Rows(columns=names, rows=rows[:limit], truncated=len(rows) > limit)

    def arrow(self, sql: str, scans: Mapping[str, Scan]) -> Any:
        """Run one read-only SELECT and return all of its rows as an Arrow table."""
        with self._defined(sql, scans) as select:
            return self._con.sql(select).to_arrow_table()

    def connection(self, scans: Mapping[str, Scan]) -> Any:
        """Return a connection of its own, in which every scan is a view."""
        con = open_connection(
            self._memory_limit, self._threads, self._folder / "spill", self._storage, preserve_insertion_order=True
        )
        try:
            define(con, scans)
        except duckdb.Error as error:
            raise RefusedQuery(f"the views cannot be made: {_first_line(error)}") from None
        return con

    def write_views(self, path: Path, scans: Mapping[str, Scan], about: Mapping[str, str]) -> None:
        """Write the scans as views to a new file: a database where its name ends in ``.duckdb``, else a script."""
        write_views(path, scans, about)

    @contextmanager
    def _defined(self, sql: str, scans: Mapping[str, Scan]) -> Iterator[str]:
        """Yield the one SELECT that ``sql`` is, while every scan is a view."""
        statements = self._statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise RefusedQuery("only one SELECT is run here, and nothing that writes")
        try:
            define(self._con, scans)
            yield statements[0].query.rstrip().rstrip(";")
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise RefusedQuery(f"the query cannot be run: {_first_line(error)}") from None
        except duckdb.Error as error:
            hint = "if the query is right, a file may be damaged: remint doctor --read-data"
            raise machine_failure(error) or RefusedQuery(f"the query failed: {_first_line(error)}", hint=hint) from None
        finally:
            undefine(self._con, scans)

    def forget(self) -> None:
        """Drop parsed inputs that were kept for the other datasets of a batch."""
        for table in self._parsed.values():
            self._con.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
        self._parsed.clear()

    def _statements(self, sql: str) -> list[Any]:
        try:
            return self._con.extract_statements(sql)
        except duckdb.Error as error:
            raise RefusedQuery(f"the query does not parse: {_first_line(error)}") from None

    @contextmanager
    def _prepared(self, work: StageWork) -> Iterator[str]:
        """Bind the inputs, check the transform's columns and yield its SELECT in table order and types."""
        transform = transform_of(work.dataset)
        try:
            self._bind(work)
            # Adding floating point numbers on several threads gives another last digit every time.
            self._con.execute(f"SET threads = {1 if transform.single_thread else self._threads or _cores()}")
            yield f"SELECT {', '.join(_casts(work.dataset))} FROM ({self._made_by(work)}\n)"
        except duckdb.Error as error:
            raise TransformFailed(
                f"{work.dataset.name} {work.keys.describe()}: {_first_line(error)}",
                hint=f"the transform of {work.dataset.name} does not run on this data; correct it and plan again",
            ) from error
        finally:
            if work.function is not None:
                self._con.unregister(RETURNED)

    def _bind(self, work: StageWork) -> None:
        parse = work.dataset.parse
        for alias, scan in work.inputs.items():
            if parse is None or parse.alias != alias:
                self._con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(alias)} AS {scan_sql(scan)}")
                continue
            table = self._parsed_table(work, scan)
            valid, rejected = valid_columns(parse, scan.columns), rejected_columns(parse, scan.columns)
            self._con.execute(
                f"CREATE OR REPLACE TEMP VIEW {quoted(alias)} AS SELECT {valid} FROM {table} WHERE {REASON} IS NULL"
            )
            self._con.execute(
                f"CREATE OR REPLACE TEMP VIEW {quoted(alias + '_rejected')} AS "
                f"SELECT {rejected} FROM {table} WHERE {REASON} IS NOT NULL"
            )

    def _parsed_table(self, work: StageWork, scan: Scan) -> str:
        """Return the table that holds the parsed input, parsing it unless a dataset of this batch already did."""
        parse = work.dataset.parse
        assert parse is not None  # noqa: S101 - the caller looked
        place = (scan, parse)
        if place not in self._parsed:
            self.forget()
            name = f"__parsed_{len(self._parsed)}"
            self._con.execute(
                f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {parsed_sql(parse, scan_sql(scan), scan.columns)}"
            )
            self._parsed[place] = name
        return quoted(self._parsed[place])

    def _parse_counts(self, work: StageWork) -> tuple[int, int, int]:
        """Return the rows read, those rejected of them, and how often rows are read beyond once."""
        scan = parsed_scan(work)
        table = self._parsed_table(work, scan)
        total, rejected = self._con.execute(f"SELECT count(*), count({REASON}) FROM {table}").fetchall()[0]
        return total, rejected, repeated_reads(self._con, scan)

    def _rivals(self, work: StageWork) -> list[PartitionKey]:
        """Return the partitions of the rivals that are read."""
        return [key for scan in work.inputs.values() for key in rival_partitions(self._con, scan)]

    def _made_by(self, work: StageWork) -> str:
        """Return the transform's SELECT, or that of what its function returned, its columns checked."""
        transform, function = transform_of(work.dataset), work.function
        if transform.function:
            if function is None:
                raise TransformFailed(f"{work.dataset.name}: {transform.function} is not loaded")
            call_function(self._con, function, work)
            sql = f"SELECT * FROM {quoted(RETURNED)}"
        else:
            sql = bind_run_now(transform.sql, f"TIMESTAMPTZ {literal(work.now)}")
        rows = self._con.execute(f"DESCRIBE SELECT * FROM ({sql}\n)").fetchall()
        check_columns(work.dataset, {row[0]: row[1] for row in rows}, function.place if function else "")
        return sql

    def _latest(self, work: StageWork, rows: str) -> tuple[str, Count]:
        """Return a SELECT of the latest row of every key, reading only the keys that occur twice in full.

        Latest within a partition, or across all where an input brings every version of what it reads: so a unit alone
        and a unit in a batch come out the same.

        Returns:
            The SELECT, and how many rows it leaves out.
        """
        dataset = work.dataset
        names = version_key(work)
        parts = () if meets(work) else parts_sql(dataset.partition)
        key = ", ".join((*parts, *(quoted(c) for c in dataset.key)))
        order = ", ".join(f"{quoted(c)} DESC" for c in dataset.keep)
        whole = ", ".join(quoted(c.name) for c in dataset.columns)
        # Equal keys have equal hashes: a collision only sends a row through the slower path.
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE __twice AS "
            f"SELECT hash({key}) AS h FROM ({rows}) GROUP BY 1 HAVING count(*) > 1"
        )
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE __rivals AS "
            f"SELECT * FROM ({rows}) WHERE hash({key}) IN (SELECT h FROM __twice)"
        )
        ties = self._con.execute(
            f"SELECT {key}, count(DISTINCT hash({whole})) AS versions FROM (SELECT * FROM __rivals "
            f"QUALIFY rank() OVER (PARTITION BY {key} ORDER BY {order}) = 1) GROUP BY {key} "
            f"HAVING count(DISTINCT hash({whole})) > 1 ORDER BY {key} LIMIT 1"
        ).fetchall()
        if ties:
            refuse_tie(dataset, names, ties[0])
        lost = self._count("FROM __rivals") - self._count(f"SELECT DISTINCT {key} FROM __rivals")
        return (
            f"SELECT * FROM ({rows}) WHERE hash({key}) NOT IN (SELECT h FROM __twice) UNION ALL "
            f"SELECT * FROM __rivals QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}, hash({whole})) = 1"
        ), lambda: lost

    def _where(self, dataset: Dataset, rows: str, condition: str) -> str:
        """Return the SELECT of the rows that a condition holds of."""
        del dataset
        return f"SELECT * FROM ({rows}) WHERE {condition}"

    def _counted(self, dataset: Dataset, rows: str, condition: str) -> tuple[str, Count]:
        """Return the SELECT, and of how many of its rows a condition holds."""
        found = self._count(self._where(dataset, rows, condition))
        return rows, lambda: found

    def _count(self, rows: str) -> int:
        """Return how many rows a SELECT gives."""
        return int(self._con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0])

    def _write(self, work: StageWork, rows: str, settle: Callable[[], object]) -> list[DataFile]:
        """Write rows as partitioned files; a tie was refused before."""
        del settle
        self._storage.prepare(work.root)
        files = copy_partitioned(self._con, rows, work.target, self._storage)
        for table in ("__twice", "__rivals"):
            self._con.execute(f"DROP TABLE IF EXISTS {table}")
        return files

    def _sums(self, columns: Sequence[Column], suffix: str = "") -> str:
        rows, total, parity = digest_aggregates(columns, self.digest_scheme)
        return f"{rows} AS n{suffix}, {total} AS total{suffix}, {parity} AS parity{suffix}"

    def _digests(self, rows: str, dataset: Dataset) -> Mapping[PartitionKey, ContentDigest]:
        key = key_sql(dataset.partition)
        return self._digest_rows(f"SELECT {key} AS k, {self._sums(dataset.columns)} FROM ({rows}) GROUP BY 1")

    def _digest_rows(self, sql: str) -> dict[PartitionKey, ContentDigest]:
        return {
            k: _digest(self.digest_scheme, n, total, parity)
            for k, n, total, parity in self._con.execute(sql).fetchall()
        }

    def _measured(self, work: StageWork, files: Sequence[DataFile]) -> Measured:
        """Read the written files back: digests and every check, by partition, in one pass."""
        dataset, scan = work.dataset, written_scan(work, files)
        checks = {c.name: c.sql for c in dataset.checks}
        if dataset.key:
            key = ", ".join(quoted(c) for c in dataset.key)
            # Distinct hashes prove distinct keys; equal ones are settled by the exact count below.
            checks[UNIQUE_KEY] = f"count(*) - count(DISTINCT hash({key}))"
        named = "".join(f", {sql} AS {quoted(f'check_{i}')}" for i, sql in enumerate(checks.values()))
        over = [[c for c in dataset.columns if c.name in columns] for columns in dataset.read_as]
        named += "".join(f", {self._sums(columns, f'_{i}')}" for i, columns in enumerate(over))
        # Written files have one value a key, and grouping by it is a tenth cheaper than by the key's text.
        group = ", ".join(parts_sql(dataset.partition))
        rows = self._con.execute(
            f"SELECT {key_sql(dataset.partition)} AS k, {self._sums(dataset.columns)}{named} "
            f"FROM ({scan_sql(scan)}) GROUP BY {group} ORDER BY k"
        ).fetchall()
        digests = {r[0]: _digest(self.digest_scheme, *r[1:4]) for r in rows}
        first = 4 + len(checks)
        projections = {
            columns: {r[0]: _digest(self.digest_scheme, *r[first + 3 * i : first + 3 * i + 3]) for r in rows}
            for i, columns in enumerate(dataset.read_as)
        }
        violations: dict[str, dict[PartitionKey, int]] = {}
        for index, name in enumerate(checks):
            broken = {r[0]: int(r[4 + index] or 0) for r in rows if r[4 + index]}
            if name == UNIQUE_KEY and broken:
                broken = self._duplicates(scan, dataset)
            if broken:
                violations[name] = broken
        return Measured(digests=digests, projections=projections, violations=violations)

    def _duplicates(self, scan: Scan, dataset: Dataset) -> dict[PartitionKey, int]:
        key = ", ".join(quoted(c) for c in dataset.key)
        part = key_sql(dataset.partition)
        rows = self._con.execute(
            f"SELECT k, sum(n - 1) FROM (SELECT {part} AS k, count(*) AS n FROM ({scan_sql(scan)}) "
            f"GROUP BY {part}, {key} HAVING count(*) > 1) GROUP BY k ORDER BY k"
        ).fetchall()
        return {k: int(n) for k, n in rows}


def _digest(scheme: str, rows: int, total: int, parity: int) -> ContentDigest:
    return ContentDigest(scheme, int(rows), int(total) & ((1 << 64) - 1), int(parity) & ((1 << 64) - 1))


def _casts(dataset: Dataset) -> list[str]:
    """Return the table's columns, cast to their types; the version column holds the declared version."""
    version = dataset.version
    return [
        f"{literal(version.label)} AS {quoted(c.name)}"
        if c.name == version.column
        else f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}"
        for c in dataset.columns
    ]


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _cores() -> int:
    return os.cpu_count() or 1
