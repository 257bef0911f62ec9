"""DuckDB rows: connections, scans of pinned files, content digests and partitioned Parquet files.

Rules: every column is cast to its declared type on the way in and out, because DuckDB writes what it finds; a file
counts as written when its bytes are hashed and synced.
"""

from __future__ import annotations

import atexit
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from remint.engines.base import Names, Scan, Target, literal, quoted
from remint.engines.iceberg_bucket import define_bucket
from remint.engines.portable_digest import PORTABLE_SCHEME, double_text
from remint.errors import InvalidKey
from remint.model.calendar import UTC_ZONE, column_value
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionKey, PartitionSet, PartitionSpec, key_at
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below
from remint.storage.local import LOCAL

FAST_SCHEME = "duckdb-hash-1"
"""DuckDB's own row hash; it changed between releases, so ``digest_scheme`` proves it first."""

_KNOWN_HASHES = (
    ("hash('abc')", 1924864467101078684),
    ("hash(1, 2)", 6530802887144669425),
    (
        "hash('abc', NULL::VARCHAR, DATE '2026-10-14', TIMESTAMPTZ '2026-10-14 01:02:03.456789+00', "
        "12.34::DECIMAL(10,2), 1.5::DOUBLE, true, 7::BIGINT, NULL::DOUBLE, 12345678901234567890.12::DECIMAL(38,2))",
        480716667283972779,
    ),
)
_STAT_CHARACTERS = 32
"""Text statistics are cut here: enough to prune files, and no long value of a subject in a table's log."""
_EXACT_DIGITS = 15
"""Decimal digits that a JSON number survives in readers that hold it as a double."""
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class UnusablePartition(ValueError):
    """Rows were written under partition values that no unit can have: NULL, not of the grain, not in the calendar."""

    def __init__(self, column: str, rows: Mapping[str, int]) -> None:
        shown = ", ".join(f"{value} ({count} rows)" for value, count in sorted(rows.items())[:5])
        super().__init__(f"partition column {column}: expected a usable value, found {shown}")
        self.column = column
        self.rows = rows
        """By value as text, ``NULL`` for NULL."""


def open_connection(
    memory_limit: str,
    threads: int,
    temp_directory: Path,
    storage: Storage = LOCAL,
    *,
    preserve_insertion_order: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection in UTC that spills below ``temp_directory`` and loads no extension by itself.

    Args:
        memory_limit: as DuckDB spells it, ``4GB``; empty leaves DuckDB's own.
        threads: 0 leaves DuckDB's own.
        temp_directory: created when absent.
        storage: where the files lie that it reads and writes.
        preserve_insertion_order: costs memory in large writes; for queries whose order without ORDER BY matters.
    """
    temp_directory.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "temp_directory": str(temp_directory),
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "preserve_insertion_order": str(preserve_insertion_order).lower(),
    }
    if memory_limit:
        settings["memory_limit"] = memory_limit
    if threads:
        settings["threads"] = threads
    con = duckdb.connect(":memory:", config=settings)
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    if storage.filesystem is not None:
        con.register_filesystem(storage.filesystem)
        # DuckDB lists on standard error what a connection that Python's end finds open still holds.
        atexit.register(_let_go, weakref.ref(con), storage.filesystem.protocol)
    return con


def _let_go(held: weakref.ref[duckdb.DuckDBPyConnection], protocol: str | Sequence[str]) -> None:
    con = held()
    if con is not None:
        con.unregister_filesystem(protocol if isinstance(protocol, str) else protocol[0])


def fetched(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return column names and rows; by way of Arrow, because DuckDB itself needs pytz for TIMESTAMPTZ."""
    table = con.sql(sql).to_arrow_table()
    columns = [column.to_pylist() for column in table.columns]
    return tuple(table.column_names), list(zip(*columns, strict=True))


def confine(con: duckdb.DuckDBPyConnection, folders: Sequence[str | Path]) -> None:
    """Let a connection touch what lies below these folders, and nothing else, for as long as it lives."""
    con.execute(f"SET allowed_directories = [{', '.join(literal(f'{folder}/') for folder in folders)}]")
    con.execute("SET enable_external_access = false")


def digest_scheme(con: duckdb.DuckDBPyConnection) -> str:
    """Return the fast scheme when this build computes the hashes that the scheme's name stands for."""
    answers = con.execute(f"SELECT {', '.join(sql for sql, _ in _KNOWN_HASHES)}").fetchall()[0]
    return FAST_SCHEME if answers == tuple(known for _, known in _KNOWN_HASHES) else PORTABLE_SCHEME


def digest_aggregates(columns: Sequence[Column], scheme: str) -> tuple[str, str, str]:
    """Return the SQL aggregates of a content digest: row count, sum and exclusive or of the 64-bit row hashes.

    The sum is a HUGEINT to be reduced modulo 2**64. Column order counts, row order does not; doubles count to 12
    significant digits, so that the order of an addition cannot fake a change.
    """
    if not columns:
        row = "0"  # a consumer that only counts rows sees the row count
    elif scheme == FAST_SCHEME:
        row = f"hash({', '.join(_hashed(c) for c in columns)})"
    else:
        row = f"CAST('0x' || left(md5(concat_ws('|', {', '.join(_canonical(c) for c in columns)})), 16) AS UBIGINT)"
    return "count(*)", f"coalesce(sum({row}), 0)", f"coalesce(bit_xor({row}), 0)"


def _hashed(column: Column) -> str:
    value = f"CAST({quoted(column.name)} AS {column.type})"
    return _rounded(value) if column.type == "DOUBLE" else value


def _rounded(value: str) -> str:
    """Return a double as text of 12 significant digits, with one zero and one NaN; NULL stays NULL."""
    return f"CASE WHEN isnan({value}) THEN 'nan' WHEN {value} = 0 THEN '0' ELSE format('{{:.11e}}', {value}) END"


def _canonical(column: Column) -> str:
    """Return a value as the text that the portable scheme hashes."""
    value = f"CAST({quoted(column.name)} AS {column.type})"
    match column.type:
        case "VARCHAR":
            text = rf"replace(replace(replace({value}, '\', '\\'), '|', '\p'), '~', '\n')"
        case "DOUBLE":
            text = double_text(value, "VARCHAR")
        case "BOOLEAN":
            text = f"CAST(CAST({value} AS INTEGER) AS VARCHAR)"
        case "DATE":
            text = f"CAST({value} - DATE '1970-01-01' AS VARCHAR)"
        case "TIMESTAMPTZ":
            text = f"CAST(epoch_us({value}) AS VARCHAR)"
        case _:
            text = f"CAST({value} AS VARCHAR)"
    return f"coalesce({text}, '~')"


_KEY_FORMS = {Grain.HOUR: "%Y-%m-%dT%H", Grain.WEEK: "%G-W%V", Grain.MONTH: "%Y-%m"}


def key_sql(spec: PartitionSpec) -> str:
    """Return the SQL that spells a row's partition key canonically."""
    begins = begin_sql(spec)
    text = f"CAST({begins} AS VARCHAR)"  # of a date, three times as fast as strftime
    if spec.grain in _KEY_FORMS:
        text = f"strftime({begins}, {literal(_KEY_FORMS[spec.grain])})"
    return f"{text} || '/' || {quoted(spec.label)}" if spec.label else text


def begin_sql(spec: PartitionSpec) -> str:
    """Return the SQL of where a row's partition begins, or of its value."""
    return period_sql(spec, quoted(spec.column)) if spec.is_hidden else quoted(spec.column)


def parts_sql(spec: PartitionSpec) -> tuple[str, ...]:
    """Return the SQL of what tells a row's partition: one value a column of the cut."""
    return (begin_sql(spec), *(quoted(name) for name in spec.columns[1:]))


def event_key_sql(column: str, label: str | None, grain: Grain) -> str:
    """Return the SQL that spells the event partition of a Bronze row canonically."""
    text = f"CAST(CAST({quoted(column)} AS DATE) AS VARCHAR)"
    if grain in _KEY_FORMS:
        text = f"strftime({quoted(column)}, {literal(_KEY_FORMS[grain])})"
    return f"{text} || '/' || {quoted(label)}" if label else text


def period_sql(spec: PartitionSpec, moment: str) -> str:
    """Return the SQL of what the partition column holds for an instant: the start of its hour, or a first day."""
    if spec.grain is Grain.HOUR:
        return f"date_trunc('hour', {moment})"
    local = moment if spec.zone == UTC_ZONE else f"({moment} AT TIME ZONE {literal(spec.zone)})"
    day = f"CAST({local} AS DATE)"
    return day if spec.grain is Grain.DAY else f"CAST(date_trunc('{spec.grain}', {day}) AS DATE)"


def scan_sql(scan: Scan) -> str:
    """Return a SELECT of the declared columns, in their declared types, over the scan's files."""
    casts = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in scan.columns)
    return f"SELECT {casts} FROM ({files_sql(scan)})"


def files_sql(scan: Scan, *, with_filename: bool = False) -> str:
    """Return a SELECT of whatever columns the scan's files hold, beside the declared ones; the filter sits inside.

    Args:
        scan: files, declared columns and filter.
        with_filename: add the column ``filename``, ``<root>/<path>``.
    """
    # The empty relation in front gives a column that no file has (added to the contract later) its type and NULLs.
    nulls = ", ".join(f"CAST(NULL AS {c.type}) AS {quoted(c.name)}" for c in scan.columns)
    empty = f"SELECT {nulls} WHERE false"
    if not scan.paths:
        return empty
    found = f"SELECT * FROM {_read(scan, scan.paths, with_filename=with_filename)}"
    if scan.only is not None:
        found += f" WHERE {_within(scan, scan.only)}"
    if scan.rivals:
        found += f" UNION ALL BY NAME {rivals_sql(scan, with_filename=with_filename)}"
    return f"{empty} UNION ALL BY NAME {found}"


def rivals_sql(scan: Scan, *, with_filename: bool = False) -> str:
    """Return a SELECT of the rows outside of the scan's filter whose key occurs within it; it has both."""
    assert scan.only is not None  # noqa: S101 - without a filter every row is within
    types = {c.name: c.type for c in scan.columns}
    within = _within(scan, scan.only)
    others = f"SELECT * FROM {_read(scan, scan.rivals, with_filename=with_filename)} WHERE NOT ({within})"
    key = ", ".join(quoted(name) for name in scan.key)
    mine = f"SELECT {key} FROM {_read(scan, scan.paths)} WHERE {within}"
    same = " AND ".join(f"CAST(r.{quoted(n)} AS {types[n]}) = CAST(k.{quoted(n)} AS {types[n]})" for n in scan.key)
    return f"SELECT r.* FROM ({others}) r SEMI JOIN ({mine}) k ON {same}"


def _read(scan: Scan, paths: Sequence[str], *, with_filename: bool = False) -> str:
    """Return what reads files; the values of their partition are in the folders of their paths, or in the files.

    Others name the folders of an Iceberg table as they like, and their files hold every column.
    """
    alike: dict[tuple[bool, Names], list[str]] = {}
    renamed = dict(scan.renamed)
    for path in paths:
        is_named = all(f"/{column}=" in f"/{path}" for column in scan.partition.folders)
        alike.setdefault((is_named, renamed.get(path, ())), []).append(path)
    reads = [
        (names, _read_parquet(scan, group, is_named=is_named, with_filename=with_filename))
        for (is_named, names), group in alike.items()
    ]
    if len(reads) == 1 and not reads[0][0]:
        return reads[0][1]
    return f"({' UNION ALL BY NAME '.join(f'SELECT {_columns(names)} FROM {read}' for names, read in reads)})"


def _columns(names: Names) -> str:
    """Return what selects the columns of a file by their declared names."""
    if not names:
        return "*"
    other = ", ".join(quoted(name) for name in sorted({there or name for name, there in names}))
    own = [f"{quoted(there)} AS {quoted(name)}" for name, there in names if there]
    return ", ".join([f"* EXCLUDE ({other})", *own])


def _read_parquet(scan: Scan, paths: Sequence[str], *, is_named: bool, with_filename: bool) -> str:
    files = ", ".join(literal(os.path.join(scan.root, path)) for path in paths)
    types = ", ".join(f"{quoted(c.name)}: {c.type}" for c in scan.columns if c.name in scan.partition.folders)
    # Files of a hidden cut hold the column, and others than remint spell its parts in the folders' names as they like.
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if types and is_named else "hive_partitioning = false"
    by_name = "true" if len(paths) > 1 else "false"
    return f"read_parquet([{files}], {hive}, union_by_name = {by_name}, filename = {str(with_filename).lower()})"


def _within(scan: Scan, only: PartitionSet) -> str:
    """Return the condition that a row's event falls in ``only``."""
    is_instant = any(c.name == scan.only_column and c.type == "TIMESTAMPTZ" for c in scan.columns)
    return keys_condition(only, scan.only_column, scan.only_label, is_instant=is_instant)


def keys_condition(keys: PartitionSet, column: str, label: str | None, *, is_instant: bool) -> str:
    """Return the condition that ``column`` falls in the time of ``keys`` and ``label`` has their value."""
    name = quoted(column)
    if keys.grain is Grain.IDENTITY:
        return f"{name} IN ({', '.join(literal(v) for v in keys.values)})" if keys else "false"
    conditions = []
    for value, spans in keys.lanes:
        ranges = " OR ".join(
            f"({name} >= {_bound(keys.grain, start, is_instant)} AND {name} < {_bound(keys.grain, end, is_instant)})"
            for start, end in spans
        )
        conditions.append(f"({quoted(label)} = {literal(value)} AND ({ranges}))" if label and value else ranges)
    return " OR ".join(conditions) or "false"


def _bound(grain: Grain, position: int, is_instant: bool) -> str:
    begins = column_value(grain, key_at(grain, position))
    if grain is Grain.HOUR:
        return f"TIMESTAMPTZ {literal(begins)}"
    return f"TIMESTAMPTZ {literal(f'{begins} 00:00:00+00')}" if is_instant else f"DATE {literal(begins)}"


def copy_partitioned(
    con: duckdb.DuckDBPyConnection, select_sql: str, target: Target, storage: Storage = LOCAL
) -> list[DataFile]:
    """Write a SELECT as Parquet files below the target, one folder a partition, and return the files by path.

    Nothing that is there is touched. The files are hashed and synced to disk, their folders too.

    Returns:
        One entry a file; none when the SELECT gives no rows.

    Raises:
        UnusablePartition: rows have a partition value that no unit can have; all files stay where they were written.
    """
    root, spec, ids = target.root, target.spec, target.layout.field_ids
    types = {row[0]: row[1] for row in con.execute(f"DESCRIBE {select_sql}").fetchall()}
    is_aside = spec.folders != spec.columns
    if is_aside:
        named = zip(parts_sql(spec), spec.folders, strict=True)
        parts = ", ".join(f"{value} AS {quoted(folder)}" for value, folder in named)
        select_sql = f"SELECT *, {parts} FROM ({select_sql})"
    if spec.buckets:
        bucket = define_bucket(con, types[spec.buckets[0]], spec.buckets[1])
        hashed = f"{bucket}({quoted(spec.buckets[0])}) AS {quoted(spec.bucket_folder)}"
        select_sql = f"SELECT *, {hashed} FROM ({select_sql})"
    folders = (*spec.folders, *([spec.bucket_folder] if spec.buckets else []))
    options = (
        f"FORMAT parquet, COMPRESSION zstd, PARTITION_BY ({', '.join(map(quoted, folders))}), "
        "APPEND, RETURN_STATS, "
        f"FILENAME_PATTERN {literal(f'part-{target.token}-{{uuidv7}}')}"
    )
    if ids:
        numbered = ", ".join(f"{quoted(name)}: {ids[name]}" for name in types)
        kept = str(not is_aside).lower()  # what the files are written by is no column of the table then
        options += f", WRITE_PARTITION_COLUMNS {kept}, FIELD_IDS {{{numbered}}}"
    place = below(root, target.layout.folder) if target.layout.folder else root
    written = con.execute(f"COPY ({select_sql}) TO {literal(place)} ({options})").fetchall()
    keys = [_partition_key(spec, row[5]) for row in written]
    unusable: dict[str, int] = {}
    for key, row in zip(keys, written, strict=True):
        if key is None:
            shown = ", ".join("NULL" if value is None else repr(value) for value in row[5].values())
            unusable[shown] = unusable.get(shown, 0) + int(row[1])
    if unusable:
        raise UnusablePartition(spec.column, unusable)
    sealed = storage.seal([row[0] for row in written], root)
    files = (
        DataFile(
            path=row[0].removeprefix(f"{root}/"),
            key=key,
            rows=int(row[1]),
            size_bytes=int(row[2]),
            sha256=seal.sha256,
            etag=seal.etag,
            stats=delta_stats(int(row[1]), row[4], types, ids),
        )
        for key, row, seal in zip(keys, written, sealed, strict=True)
        if key is not None
    )
    return sorted(files, key=lambda f: f.path)


def _partition_key(spec: PartitionSpec, values: Mapping[str, str | None]) -> PartitionKey | None:
    """Return the canonical key; None for a value that no unit can have."""
    by_name = {name.removeprefix('"').removesuffix('"').replace('""', '"'): value for name, value in values.items()}
    try:
        return spec.key_of([by_name[name] for name in spec.folders])
    except InvalidKey:
        return None


def delta_stats(
    rows: int, columns: Mapping[str, Mapping[str, str]], types: Mapping[str, str], field_ids: Mapping[str, int]
) -> str:
    """Return Delta's statistics; a bound that is not certain is left out, which only prunes less."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for quoted_name, found in columns.items():
        name = quoted_name[1:-1].replace('""', '"')
        if "null_count" in found:
            nulls[name] = int(found["null_count"])
        if "min" not in found or "max" not in found or found.get("has_nan", "false") != "false":
            continue
        bounds = (_bound_value(found["min"], types[name]), _bound_value(found["max"], types[name]))
        if types[name] == "VARCHAR":
            bounds = (found["min"][:_STAT_CHARACTERS], _upper_bound(found["max"]))
        if bounds[0] is not None:
            low[name] = bounds[0]
        if bounds[1] is not None:
            high[name] = bounds[1]
    stats = {"numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls}
    if field_ids:
        stats["fieldIds"] = {name: field_ids[name] for name in types}
    return json.dumps(stats, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _bound_value(text: str, type_name: str) -> Any:
    """Return a statistic as the JSON value that Delta readers expect for its type; None when it has none."""
    match type_name.partition("(")[0]:
        case "INTEGER" | "BIGINT":
            return int(text)
        case "DOUBLE":
            value = float(text)
            return value if abs(value) != float("inf") else None
        case "DECIMAL":
            exact = Decimal(text)
            return float(exact) if len(exact.as_tuple().digits) <= _EXACT_DIGITS else None
        case "DATE":
            return text if text[:4].isdecimal() and len(text) == len("YYYY-MM-DD") else None
        case "TIMESTAMP WITH TIME ZONE":
            return _instant(text)
        case _:
            return None


def _instant(text: str) -> str | None:
    moment, zone, rest = text.partition("+00")
    day, _, clock = moment.partition(" ")
    if not zone or rest or len(day) != len("YYYY-MM-DD"):
        return None
    seconds, _, fraction = clock.partition(".")
    return f"{day}T{seconds}.{fraction:0<6}Z"


def _upper_bound(text: str) -> str | None:
    """Return a short text that no value exceeds: the text itself, or its beginning with the last character raised."""
    if len(text) <= _STAT_CHARACTERS:
        return text
    for end in range(_STAT_CHARACTERS, 0, -1):
        following = ord(text[end - 1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return text[: end - 1] + chr(following)
    return None
