"""Parsing a raw JSON payload into typed columns: the body for Spark.

It runs in Spark's Python workers, over Arrow batches, and is DuckDB's own body there: one reading of JSON, numbers and
times for both engines, down to the words of a reason. Executors need a Python with remint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from remint.engines.base import quoted
from remint.engines.duckdb_parse import parsed_sql
from remint.engines.spark_rows import name_sql, type_sql
from remint.model.dataset import Column, Parse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

REASON = "reason"
_ROWS = "__batch"


def parsed_frame(
    frame: DataFrame, parse: Parse, columns: tuple[Column, ...], *, only_rejected: bool = False
) -> DataFrame:
    """Return raw columns, typed fields and ``reason``, as ``parsed_sql`` does, of all rows or those with a reason."""
    schema = ", ".join(f"{name_sql(name)} {type_sql(kind)}" for name, kind in _shape(parse, columns))
    return frame.mapInArrow(_parser(parse, columns, "reason IS NOT NULL" if only_rejected else "true"), schema)


def valid_names(parse: Parse, columns: tuple[Column, ...]) -> list[str]:
    """Return the columns that a transform sees of a valid row: raw ones but the payload, then the fields."""
    fields = [f.name for f in parse.fields]
    return [*(c.name for c in columns if c.name not in fields and c.name != parse.column), *fields]


def rejected_names(parse: Parse, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """Return the raw columns of a rejected row and the reason: their name here, and their own."""
    return [*((_raw_name(parse, c), c.name) for c in columns), (REASON, REASON)]


def _raw_name(parse: Parse, column: Column) -> str:
    return f"__raw_{column.name}" if any(f.name == column.name for f in parse.fields) else column.name


def _shape(parse: Parse, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    shape = [(_raw_name(parse, c), c.type) for c in columns]
    shape += [(f.name, f.type) for f in parse.fields]
    return [*shape, (REASON, "VARCHAR")]


def _parser(
    parse: Parse, columns: tuple[Column, ...], condition: str
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    casts = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in columns)
    made = parsed_sql(parse, f"SELECT {casts} FROM {quoted(_ROWS)}", columns)
    sql = f"SELECT {', '.join(quoted(name) for name, _ in _shape(parse, columns))} FROM ({made}) WHERE {condition}"

    def parsed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with duckdb.connect(":memory:", config={"threads": 1, "autoload_known_extensions": "false"}) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute("SET enable_progress_bar = false")
            for batch in batches:
                con.register(_ROWS, pa.Table.from_batches([batch]))
                yield from con.sql(sql).to_arrow_table().to_batches()
                con.unregister(_ROWS)

    return parsed
