"""The bucket of a value, by the hash that the Iceberg specification gives (appendix B), for both engines."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from duckdb import func, sqltypes

from remint.errors import TransformFailed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def define_bucket(con: duckdb.DuckDBPyConnection, kind: str, count: int) -> str:
    """Make the function known to a connection of DuckDB, and return its name; NULL has the bucket NULL.

    Args:
        con: connection.
        kind: DuckDB's type of the values.
        count: number of buckets.

    Raises:
        TransformFailed: what computes the hash is not installed.
    """
    name = f"iceberg_bucket_{count}_{''.join(c if c.isalnum() else '_' for c in kind.lower())}"
    known = con.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [name]).fetchall()
    if not known[0][0]:
        bucket = _bucket(count)

        def buckets(values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
            chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
            return pa.chunked_array([bucket(chunk) for chunk in chunks], pa.int32())

        special = func.SPECIAL  # else NULL would not be asked about
        con.create_function(
            name, buckets, [sqltypes.DuckDBPyType(kind)], sqltypes.INTEGER, type=func.ARROW, null_handling=special
        )
    return name


def with_bucket(frame: DataFrame, column: str, count: int, name: str) -> DataFrame:
    """Return rows of Spark with the bucket of a column beside them; executors need a Python with pyiceberg-core.

    Raises:
        TransformFailed: what computes the hash is not installed here.
    """
    from pyspark.sql.types import IntegerType, StructType  # noqa: PLC0415 - an extra, and slow

    bucket = _bucket(count)

    def added(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.append_column(name, bucket(batch.column(column)))

    return frame.mapInArrow(added, StructType(list(frame.schema.fields)).add(name, IntegerType()))


def _bucket(count: int) -> Callable[[pa.Array], pa.Array]:
    try:
        importlib.import_module("pyiceberg_core")
    except ImportError:
        raise TransformFailed(
            "pyiceberg-core, which computes the buckets of Iceberg, is not installed",
            hint='pip install "remint[iceberg]"',
        ) from None

    def bucket(values: pa.Array) -> pa.Array:
        from pyiceberg_core import transform  # noqa: PLC0415 - it cannot be sent to where this runs

        if pa.types.is_decimal(values.type):
            # What comes from another process may lie at any eighth byte, and Rust reads these at every sixteenth only.
            values = values.take(pa.array(range(len(values)), pa.int64()))
        return transform.bucket(values, count)

    return bucket
