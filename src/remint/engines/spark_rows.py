"""Spark rows: scans of pinned files, partition keys and content digests.

Rules: partition values are read from the folders of a path as DuckDB writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from remint.checks.spark_sql import Relation, spark_expressions
from remint.engines.base import Names, Scan
from remint.engines.duckdb_rows import keys_condition
from remint.engines.portable_digest import double_text
from remint.model.dataset import Column
from remint.model.digest import ContentDigest
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.storage.base import below

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FILE = "remint file"
"""Column of the URI of the file that a row is from."""
_S3 = "s3://"
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


def _grouped(scan: Scan, paths: Sequence[str]) -> dict[tuple[str, bool, Names], list[str]]:
    """Return absolute paths by the folder above their partition folders, and by how values are spelled there.

    Files that hold every column have no such folder.

    Spark takes an encoded byte of a folder's name for a character, so what is not ASCII comes out wrong: such values
    are read as bytes and decoded.
    """
    groups: dict[tuple[str, bool, Names], list[str]] = {}
    renamed = dict(scan.renamed)
    for path in paths:
        whole = spark_uri(below(scan.root, path))
        if scan.is_whole:
            groups.setdefault(("", False, renamed.get(path, ())), []).append(whole)
            continue
        folders = whole.split("/")[: -1 - len(scan.partition.folders) - (scan.partition.buckets is not None)]
        inner = whole.split("/")[len(folders) : -1]
        place = ("/".join(folders), any(_ENCODED.search(name) for name in inner), renamed.get(path, ()))
        groups.setdefault(place, []).append(whole)
    return groups


def _read_group(
    session: SparkSession, scan: Scan, place: tuple[str, bool, Names], paths: Sequence[str], *, with_file: bool
) -> DataFrame:
    base, is_encoded, names = place
    there = dict(names)
    held = schema_sql(replace(c, name=there.get(c.name, c.name)) for c in scan.columns if there.get(c.name, c.name))
    # Without a base no folder is read for a value.
    where = ("basePath", base) if base else ("recursiveFileLookup", "true")
    reader = session.read.option(*where).option("__globPaths__", "false").schema(held)
    chosen = []
    for column in scan.columns:
        name = name_sql(column.name)
        if column.name in there:
            other = there[column.name]
            name = f"{name_sql(other) if other else f'CAST(NULL AS {type_sql(column.type)})'} AS {name}"
        elif is_encoded and column.name in scan.partition.folders and column.type == "VARCHAR":
            name = f"decode(encode({name}, 'ISO-8859-1'), 'UTF-8') AS {name}"
        chosen.append(name)
    if with_file:
        chosen.append(f"_metadata.file_path AS {name_sql(FILE)}")
    return reader.parquet(*paths).selectExpr(*chosen)


def spark_uri(place: str) -> str:
    """Return a path or URL as Spark reaches it: a bucket through the S3A file system."""
    return f"s3a://{place.removeprefix(_S3)}" if place.startswith(_S3) else place


def file_uri(place: str) -> str:
    """Return a path or URL as Spark names the file that a row is from."""
    scheme, _, rest = spark_uri(place).rpartition("://")
    return (f"{scheme}://" if scheme else "file:") + quote(rest, safe="/~!$&'()*+,;=:@")


def key_text(spec: PartitionSpec) -> str:
    """Return the SQL that spells a row's partition key canonically."""
    return _key_text(begin_text(spec), spec.label, spec.grain)


def begin_text(spec: PartitionSpec) -> str:
    """Return the SQL of where a row's partition begins, or of its value."""
    name = name_sql(spec.column)
    if not spec.is_hidden:
        return name
    begins = f"date_trunc('{spec.grain}', {name})"
    return begins if spec.grain is Grain.HOUR else f"CAST({begins} AS DATE)"


def parts_text(spec: PartitionSpec) -> tuple[str, ...]:
    """Return the SQL of what tells a row's partition: one value a column of the cut."""
    return (begin_text(spec), *(name_sql(name) for name in spec.columns[1:]))


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
    bits = f"CAST(conv(substring({row}, 1, 16), 16, -10) AS BIGINT)"
    return f"({bits} >>> 32) AS hi{suffix}", f"({bits} & 4294967295) AS lo{suffix}"


def digest_sums(suffix: str = "") -> tuple[str, ...]:
    """Return the five aggregates that ``digest_of`` reads."""
    hi, lo = f"hi{suffix}", f"lo{suffix}"
    return "count(*)", f"sum({hi})", f"sum({lo})", f"bit_xor({hi})", f"bit_xor({lo})"


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
