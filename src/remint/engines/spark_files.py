"""Partitioned Parquet files that Spark writes, named and laid out as DuckDB's.

Rules: a file counts as written when Spark committed the task that wrote it, and its bytes are hashed and synced. What
Spark wrote and did not commit is removed.
"""

from __future__ import annotations

import posixpath
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow.parquet as pq

from remint.engines.base import Target
from remint.engines.duckdb_rows import UnusablePartition, delta_stats
from remint.engines.iceberg_bucket import with_bucket
from remint.engines.spark_rows import name_sql, parts_text, spark_uri
from remint.errors import InvalidKey
from remint.model.partition import PartitionKey, PartitionSpec
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PART = "remint_part_{}"
"""Column, and so folder, of the value of a partition column, in hex: no file system nor locale changes it."""
_NULL = "__HIVE_DEFAULT_PARTITION__"
_FIELD_ID = "parquet.field.id"
"""Metadata of a column by which Spark names it in a file."""


def write_partitioned(
    frame: DataFrame, target: Target, storage: Storage, settle: Callable[[], object] = lambda: None
) -> list[DataFile]:
    """Write rows as Parquet files below the target, one folder a partition, and return the files by path.

    Spark writes into a folder of its own and commits there, so that what it holds afterwards is of exactly one attempt
    of every task; from there the files are moved to where DuckDB would have written them.

    Returns:
        One entry a file; none when there are no rows.

    Raises:
        UnusablePartition: rows have a partition value that no unit can have; nothing was written.
    """
    spec, ids = target.spec, target.layout.field_ids
    aside = below(target.root, f"part-{target.token}-spark")  # of the run, as the names of its files
    values = parts_text(spec)
    kinds = frame.selectExpr(*values).dtypes
    texts = [_part_sql(kind, value) for value, (_, kind) in zip(values, kinds, strict=True)]
    rows = [name_sql(name) for name in frame.columns if ids or name not in spec.columns]
    if spec.buckets:
        frame = with_bucket(frame, *spec.buckets, spec.bucket_folder)
        texts.append(name_sql(spec.bucket_folder))
    parts = [f"{text} AS {_PART.format(i)}" for i, text in enumerate(texts)]
    for name in ids:
        frame = frame.withMetadata(name, {_FIELD_ID: ids[name]}) if name in frame.columns else frame
    names = [_PART.format(i) for i in range(len(parts))]
    storage.clear(aside)  # of an attempt that was killed
    try:
        (
            frame.selectExpr(*rows, *parts)
            .write.mode("error")
            .partitionBy(*names)
            .option("compression", "zstd")
            .option("mapreduce.fileoutputcommitter.algorithm.version", "1")
            .option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            .parquet(spark_uri(aside))
        )
        settle()
        return _moved(aside, target, storage)
    finally:
        storage.clear(aside)


def _part_sql(kind: str, value: str) -> str:
    """Return the SQL of a partition value as a folder's name: a date, else ``n`` for NULL or ``x`` and UTF-8 in hex.

    A date is left as it is, so that Spark sees that rows which are ordered by it need not be sorted once more.
    """
    if kind == "date":
        return value
    text = f"CAST({value} AS STRING)"
    if kind == "timestamp":
        text = f"concat({text}, '+00')"
    return f"coalesce(concat('x', hex(encode({text}, 'UTF-8'))), 'n')"


def _moved(aside: str, target: Target, storage: Storage) -> list[DataFile]:
    root, spec, ids = target.root, target.spec, target.layout.field_ids
    # What it commits is not hidden, whatever it is called; a checksum or a mark of success is.
    found_there = (f for f in storage.files(aside) if not posixpath.basename(f.path).startswith((".", "_")))
    sizes = {f.path: f.size_bytes for f in sorted(found_there, key=lambda f: f.path)}
    written = list(sizes)
    values = [[_value(folder.partition("=")[2]) for folder in path.split("/")[:-1]] for path in written]
    keys = [_key(spec, found[: len(spec.folders)]) for found in values]
    reached = storage.filesystem if "://" in root else None
    footers = [pq.read_metadata(below(aside, path), filesystem=reached) for path in written]
    unusable: dict[str, int] = {}
    for key, found, footer in zip(keys, values, footers, strict=True):
        if key is None:
            shown = ", ".join("NULL" if value is None else repr(value) for value in found)
            unusable[shown] = unusable.get(shown, 0) + footer.num_rows
    if unusable:
        raise UnusablePartition(spec.column, unusable)
    paths = []
    above = [target.layout.folder] if target.layout.folder else []
    named = (*spec.folders, *([spec.bucket_folder] if spec.buckets else []))
    for found in values:
        held = (_NULL if value is None else value for value in found)
        folders = (f"{quote(c, safe='')}={quote(v, safe='')}" for c, v in zip(named, held, strict=True))
        paths.append("/".join([*above, *folders, f"part-{target.token}-{uuid.uuid4()}.parquet"]))
    places = [below(root, path) for path in paths]
    storage.move([(below(aside, path), place) for path, place in zip(written, places, strict=True)])
    files = [
        DataFile(
            path=path,
            key=key,
            rows=footer.num_rows,
            size_bytes=size,
            sha256=seal.sha256,
            etag=seal.etag,
            stats=_stats(footer, ids),
        )
        for path, key, footer, size, seal in zip(
            paths, keys, footers, sizes.values(), storage.seal(places, root), strict=True
        )
        if key is not None
    ]
    return sorted(files, key=lambda f: f.path)


def _value(folder: str) -> str | None:
    """Return the value that a folder names; None for NULL."""
    if folder.startswith("x"):
        return bytes.fromhex(folder[1:]).decode()
    return None if folder in ("n", _NULL) else folder


def _key(spec: PartitionSpec, values: Sequence[str | None]) -> PartitionKey | None:
    """Return the canonical key; None for a value that no unit can have."""
    try:
        return spec.key_of(values)
    except InvalidKey:
        return None


def _stats(footer: pq.FileMetaData, field_ids: Mapping[str, int]) -> str:
    """Return Delta's statistics from a file's footer."""
    found: dict[str, dict[str, str]] = {}
    types: dict[str, str] = {}
    for index in range(footer.num_columns):
        chunks = [footer.row_group(g).column(index).statistics for g in range(footer.num_row_groups)]
        name = footer.schema.column(index).name
        about: dict[str, str] = {}
        if all(c is not None and c.has_null_count for c in chunks):
            about["null_count"] = str(sum(c.null_count for c in chunks))
        held = [c for c in chunks if c is not None and c.has_min_max]
        empty = [c for c in chunks if c is not None and not c.has_min_max and c.num_values == 0]
        if held and len(held) + len(empty) == len(chunks):
            low, high = min(c.min for c in held), max(c.max for c in held)
            if low == low and high == high:  # noqa: PLR0124 - a bound that is no number bounds nothing
                about |= {"min": _stat_text(low), "max": _stat_text(high)}
                types[name] = _stat_type(low)
        found[f'"{name.replace(chr(34), chr(34) * 2)}"'] = about
    return delta_stats(footer.num_rows, found, types, field_ids)


def _stat_type(value: Any) -> str:
    """Return the type of a statistic as DuckDB calls it."""
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "BIGINT"
        case float():
            return "DOUBLE"
        case Decimal():
            return "DECIMAL"
        case datetime():
            return "TIMESTAMP WITH TIME ZONE"
        case date():
            return "DATE"
        case _:
            return "VARCHAR"


def _stat_text(value: Any) -> str:
    """Return a statistic as DuckDB writes it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return str(value)
