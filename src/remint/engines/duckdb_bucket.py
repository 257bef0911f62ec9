"""The bucket of a value, by the hash that the Iceberg specification gives (appendix B), as a function of DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
from duckdb import func, sqltypes

from remint.errors import TransformFailed


def define_bucket(con: duckdb.DuckDBPyConnection, kind: str, count: int) -> str:
    """Make the function known to a connection, and return its name.

    Args:
        con: connection.
        kind: DuckDB's type of the values.
        count: number of buckets.

    Raises:
        TransformFailed: what computes the hash is not installed.
    """
    try:
        from pyiceberg_core import transform  # noqa: PLC0415 - an extra
    except ImportError:
        raise TransformFailed(
            "pyiceberg-core, which computes the buckets of Iceberg, is not installed",
            hint='pip install "remint[iceberg]"',
        ) from None
    name = f"iceberg_bucket_{count}_{''.join(c if c.isalnum() else '_' for c in kind.lower())}"
    known = con.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [name]).fetchall()
    if not known[0][0]:

        def bucket(values: Any) -> Any:
            chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
            return pa.chunked_array([transform.bucket(chunk, count) for chunk in chunks], pa.int32())

        special = func.SPECIAL  # NULL has the bucket NULL
        con.create_function(
            name, bucket, [sqltypes.DuckDBPyType(kind)], sqltypes.INTEGER, type=func.ARROW, null_handling=special
        )
    return name
