"""A transform that is a Python function, for Spark: it runs on the driver, over all rows of its inputs.

Rules: as for DuckDB. It is given the same tables, in the same order of rows; what it returns is judged, and brought to
the contract's types, by DuckDB, and only then given to Spark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from remint.engines.base import StageWork, UserFunction, quoted
from remint.engines.duckdb_function import RETURNED, returned_table
from remint.engines.promised_columns import check_columns
from remint.engines.spark_rows import empty_frame, name_sql
from remint.errors import TransformFailed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def returned_frame(
    session: SparkSession, function: UserFunction, work: StageWork, frames: Mapping[str, DataFrame]
) -> DataFrame:
    """Return the function's rows, with the contract's columns but for the version.

    Raises:
        TransformFailed: it raised, or returned what is no table.
        SchemaMismatch: its columns are not the contract's.
    """
    made = returned_table(function, work, {alias: _rows_of(frame) for alias, frame in frames.items()})
    version = work.dataset.version.column
    with duckdb.connect(":memory:") as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register(RETURNED, made)
        rows = con.execute(f"DESCRIBE SELECT * FROM {quoted(RETURNED)}").fetchall()
        check_columns(work.dataset, {row[0]: row[1] for row in rows}, function.place)
        columns = [c for c in work.dataset.columns if c.name != version]
        casts = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in columns)
        try:
            settled = con.sql(f"SELECT {casts} FROM {quoted(RETURNED)}").to_arrow_table()
        except duckdb.Error as error:
            words = str(error).partition("\n")[0]
            raise TransformFailed(f"{work.dataset.name} {work.keys.describe()}: {words}") from error
    return session.createDataFrame(settled) if settled.num_rows else empty_frame(session, columns)


def _rows_of(frame: DataFrame) -> pa.Table:
    """Return the rows, sorted by all of their columns, under the Arrow types that DuckDB gives them."""
    columns = frame.columns
    ordered = frame.selectExpr(*map(name_sql, columns)).toArrow()
    with duckdb.connect(":memory:") as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("given", ordered)
        return con.sql("SELECT * FROM given ORDER BY ALL").to_arrow_table()
