"""Spark rows: scans of pinned files, content digests, and partitioned Parquet files named and laid out as DuckDB's.

Rules: partition values are read from the folders of a path as DuckDB writes them; a file counts as written when Spark
committed the task that wrote it, and its bytes are hashed and synced. What Spark wrote and did not commit is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow.parquet as pq

from remint.checks.spark_sql import Relation, spark_expressions
from remint.engines.base import Scan, Target
from remint.engines.duckdb_rows import UnusablePartition, delta_stats, keys_condition
from remint.engines.portable_digest import double_text
from remint.errors import InvalidKey
from remint.model.dataset import Column
from remint.model.digest import ContentDigest
from remint.model.partition import Grain, PartitionKey, PartitionSet, PartitionSpec
from remint.model.provenance import DataFile
from remint.storage.local import LOCAL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FILE = "remint file"
"""Column of the URI of the file that a row is from."""
_PART = "remint_part_{}"
_FIELD_ID = "parquet.field.id"
"""Metadata of a column by which Spark names it in a file."""
"""Column, and so folder, of the value of a partition column, in hex: no file system nor locale changes it."""
_HALF = 32
_SPARK_TYPES = {"INTEGER": "INT", "VARCHAR": "STRING", "TIMESTAMPTZ": "TIMESTAMP"}
_ENCODED = re.compile("%[89A-Fa-f][0-9A-Fa-f]")
_DAYS = {Grain.HOUR: "yyyy-MM-dd'T'HH", Grain.MONTH: "yyyy-MM"}


def name_sql(name: str) -> str:
    """Return ``name`` as a quoted identifier of Spark."""
    return "`" + name.replace("`", "``") + "`"


def text_sql(text: str) -> str:
    """Return ``text`` as a string literal of Spark, in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def type_sql(declared: str) -> str:
    """Return a declared type as Spark spells it."""
    return _SPARK_TYPES.get(declared, declared)


def schema_sql(columns: Iterable[Column]) -> str:
    """Return columns as Spark declares them."""
    return ", ".join(f"{name_sql(c.name)} {type_sql(c.type)}" for c in columns)


def relation(view: str, columns: Iterable[Column]) -> Relation:
    """Return what SQL must know of a view with these columns."""
    return Relation(view=view, columns={c.name: c.type for c in columns})


def scan_frame(session: SparkSession, scan: Scan, *, with_file: bool = False) -> DataFrame:
    """Return the declared columns, in their declared types, of the scan's files; the filter sits inside.

    Args:
        session: the session.
        scan: files, declared columns and filter.
        with_file: add the column ``FILE``.
    """
    frame = _read(session, scan, scan.paths, with_file=with_file)
    if scan.only is None:
        return frame
    within = within_sql(scan)
    mine = frame.where(within)
    return mine.unionByName(rivals_frame(session, scan, with_file=with_file)) if scan.rivals else mine


def within_sql(scan: Scan) -> str:
    """Return the condition, never NULL, that a row's event falls in the scan's filter."""
    assert scan.only is not None  # noqa: S101 - the caller looked
    is_instant = any(c.name == scan.only_column and c.type == "TIMESTAMPTZ" for c in scan.columns)
    return keys_sql(scan.only, (scan.only_column, scan.only_label), scan.columns, is_instant=is_instant)


def keys_sql(keys: PartitionSet, names: tuple[str, str | None], columns: Iterable[Column], *, is_instant: bool) -> str:
    """Return the condition, never NULL, that a row belongs to one of ``keys``; names are those of time and value."""
    condition = keys_condition(keys, *names, is_instant=is_instant)
    return spark_expressions([f"coalesce({condition}, false)"], relation("r", columns))[0]


def rivals_frame(session: SparkSession, scan: Scan, *, with_file: bool = False) -> DataFrame:
    """Return the rows outside of the scan's filter whose key occurs within it; it has both."""
    within = within_sql(scan)
    others = _read(session, scan, scan.rivals, with_file=with_file).where(f"NOT {within}")
    mine = _read(session, scan, scan.paths).where(within).select(*scan.key).distinct()
    return others.join(mine, on=list(scan.key), how="left_semi").select(*others.columns)


def _read(session: SparkSession, scan: Scan, paths: Sequence[str], *, with_file: bool = False) -> DataFrame:
    groups = sorted(_grouped(scan, paths).items())
    if not groups:
        return empty_frame(session, (*scan.columns, Column(name=FILE, type="VARCHAR")) if with_file else scan.columns)
    frames = [_read_group(session, scan, place, group, with_file=with_file) for place, group in groups]
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionByName(frame)
    return whole


def empty_frame(session: SparkSession, columns: Iterable[Column]) -> DataFrame:
    """Return a relation with these columns and no rows."""
    nulls = ", ".join(f"CAST(NULL AS {type_sql(c.type)}) AS {name_sql(c.name)}" for c in columns)
    return session.sql(f"SELECT {nulls} WHERE false")


def _grouped(scan: Scan, paths: Sequence[str]) -> dict[tuple[str, bool], list[str]]:
    """Return absolute paths by the folder above their partition folders, and by how values are spelled there.

    Spark takes an encoded byte of a folder's name for a character, so what is not ASCII comes out wrong: such values
    are read as bytes and decoded.
    """
    groups: dict[tuple[str, bool], list[str]] = {}
    for path in paths:
        whole = os.path.join(scan.root, path)
        folders = whole.split("/")[: -1 - len(scan.partition.columns)]
        inner = whole.split("/")[len(folders) : -1]
        place = ("/".join(folders), any(_ENCODED.search(name) for name in inner))
        groups.setdefault(place, []).append(whole)
    return groups


def _read_group(
    session: SparkSession, scan: Scan, place: tuple[str, bool], paths: Sequence[str], *, with_file: bool
) -> DataFrame:
    base, is_encoded = place
    reader = session.read.option("basePath", base).option("__globPaths__", "false").schema(schema_sql(scan.columns))
    chosen = []
    for column in scan.columns:
        name = name_sql(column.name)
        if is_encoded and column.name in scan.partition.columns and column.type == "VARCHAR":
            name = f"decode(encode({name}, 'ISO-8859-1'), 'UTF-8') AS {name}"
        chosen.append(name)
    if with_file:
        chosen.append(f"_metadata.file_path AS {name_sql(FILE)}")
    return reader.parquet(*paths).selectExpr(*chosen)


def file_uri(path: str) -> str:
    """Return a local path as Spark names the file that a row is from."""
    return "file:" + quote(path, safe="/~!$&'()*+,;=:@")


def key_text(spec: PartitionSpec) -> str:
    """Return the SQL that spells a row's partition key canonically."""
    return _key_text(name_sql(spec.column), spec.label, spec.grain)


def event_key_text(column: str, label: str | None, grain: Grain) -> str:
    """Return the SQL that spells the event partition of a Bronze row canonically."""
    day = f"CAST({name_sql(column)} AS DATE)" if grain not in _DAYS else name_sql(column)
    return _key_text(day, label, grain)


def _key_text(column: str, label: str | None, grain: Grain) -> str:
    text = f"CAST({column} AS STRING)"
    if grain in _DAYS:
        text = f"date_format({column}, {text_sql(_DAYS[grain])})"
    elif grain is Grain.WEEK:
        text = f"concat(extract(YEAROFWEEK FROM {column}), '-W', lpad(CAST(weekofyear({column}) AS STRING), 2, '0'))"
    return f"concat({text}, '/', {name_sql(label)})" if label else text


def digest_columns(columns: Sequence[Column], suffix: str = "") -> tuple[str, str]:
    """Return the SQL of the two halves of a row's 64-bit hash, as columns ``hi`` and ``lo`` with ``suffix``."""
    if not columns:
        return f"0L AS hi{suffix}", f"0L AS lo{suffix}"  # a consumer that only counts rows sees the row count
    row = f"md5(concat_ws('|', {', '.join(_canonical(c) for c in columns)}))"
    return (
        f"CAST(conv(substring({row}, 1, 8), 16, 10) AS BIGINT) AS hi{suffix}",
        f"CAST(conv(substring({row}, 9, 8), 16, 10) AS BIGINT) AS lo{suffix}",
    )


def digest_sums(suffix: str = "") -> str:
    """Return the five aggregates that ``digest_of`` reads."""
    hi, lo = f"hi{suffix}", f"lo{suffix}"
    return f"count(*), sum({hi}), sum({lo}), bit_xor({hi}), bit_xor({lo})"


def digest_of(scheme: str, found: Sequence[Any]) -> ContentDigest:
    """Return the digest that ``digest_sums`` found."""
    rows, high, low, parity_high, parity_low = (int(v or 0) for v in found)
    total = ((high << _HALF) + low) & ((1 << 2 * _HALF) - 1)
    return ContentDigest(scheme, rows, total, (parity_high << _HALF) | parity_low)


def _canonical(column: Column) -> str:
    """Return a value as the text that the portable scheme hashes; the same as ``duckdb_rows`` makes."""
    value = f"CAST({name_sql(column.name)} AS {type_sql(column.type)})"
    match column.type:
        case "VARCHAR":
            text = value
            for sign, spelled in (("\\", "\\\\"), ("|", "\\p"), ("~", "\\n")):
                text = f"replace({text}, {text_sql(sign)}, {text_sql(spelled)})"
        case "DOUBLE":
            text = double_text(value, "STRING")
        case "BOOLEAN":
            text = f"CAST(CAST({value} AS INT) AS STRING)"
        case "TIMESTAMPTZ":
            text = f"CAST(unix_micros({value}) AS STRING)"
        case "DATE":
            text = f"CAST(unix_date({value}) AS STRING)"
        case _:
            text = f"CAST({value} AS STRING)"
    return f"coalesce({text}, '~')"


def write_partitioned(frame: DataFrame, target: Target) -> list[DataFile]:
    """Write rows as Parquet files below the target, one folder a partition, and return the files by path.

    Spark writes into a folder of its own and commits there, so that what it holds afterwards is of exactly one attempt
    of every task; from there the files are moved to where DuckDB would have written them.

    Returns:
        One entry a file; none when there are no rows.

    Raises:
        UnusablePartition: rows have a partition value that no unit can have; nothing was written.
    """
    spec, ids = target.spec, target.layout.field_ids
    aside = Path(target.root) / f"part-{target.token}-spark"  # of the run, as the names of its files
    parts = [f"{_part_sql(frame, name)} AS {_PART.format(i)}" for i, name in enumerate(spec.columns)]
    rows = [name_sql(name) for name in frame.columns if ids or name not in spec.columns]
    for name in ids:
        frame = frame.withMetadata(name, {_FIELD_ID: ids[name]}) if name in frame.columns else frame
    names = [_PART.format(i) for i in range(len(spec.columns))]
    shutil.rmtree(aside, ignore_errors=True)  # of an attempt that was killed
    try:
        (
            frame.selectExpr(*rows, *parts)
            .hint("rebalance", *names)
            .write.mode("error")
            .partitionBy(*names)
            .option("compression", "zstd")
            .option("mapreduce.fileoutputcommitter.algorithm.version", "1")
            .option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            .parquet(str(aside))
        )
        return _moved(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _part_sql(frame: DataFrame, name: str) -> str:
    """Return the SQL of a partition value as a folder's name: ``n`` for NULL, else ``x`` and its UTF-8 in hex."""
    text = f"CAST({name_sql(name)} AS STRING)"
    if dict(frame.dtypes)[name] == "timestamp":
        text = f"concat({text}, '+00')"
    return f"coalesce(concat('x', hex(encode({text}, 'UTF-8'))), 'n')"


def _moved(aside: Path, target: Target) -> list[DataFile]:
    root, spec = target.root, target.spec
    # What it commits is not hidden, whatever it is called; a checksum or a mark of success is.
    written = sorted(p for p in aside.rglob("*") if p.is_file() and not p.name.startswith((".", "_")))
    values = [[_value(folder.partition("=")[2]) for folder in p.relative_to(aside).parts[:-1]] for p in written]
    keys = [_key(spec, found) for found in values]
    footers = [pq.read_metadata(p) for p in written]
    unusable: dict[str, int] = {}
    for key, found, footer in zip(keys, values, footers, strict=True):
        if key is None:
            shown = ", ".join("NULL" if value is None else repr(value) for value in found)
            unusable[shown] = unusable.get(shown, 0) + footer.num_rows
    if unusable:
        raise UnusablePartition(spec.column, unusable)
    paths = []
    for place, found in zip(written, values, strict=True):
        folders = (f"{quote(c, safe='')}={quote(v or '', safe='')}" for c, v in zip(spec.columns, found, strict=True))
        path = Path(root, target.layout.folder, *folders, f"part-{target.token}-{uuid.uuid4()}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place, path)
        paths.append(str(path))
    files = [
        DataFile(
            path=os.path.relpath(path, root),
            key=key,
            rows=footer.num_rows,
            size_bytes=os.path.getsize(path),
            sha256=seal.sha256,
            stats=_stats(footer, target.layout.field_ids),
        )
        for path, key, footer, seal in zip(paths, keys, footers, LOCAL.seal(paths, root), strict=True)
        if key is not None
    ]
    return sorted(files, key=lambda f: f.path)


def _value(folder: str) -> str | None:
    return bytes.fromhex(folder[1:]).decode() if folder.startswith("x") else None


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
