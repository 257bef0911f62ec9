"""A transform that is a Python function: given Arrow tables, read back as a relation.

Rules: the function is given rows alone, in an order that files and threads do not decide. What it returns is read to
its end, and refused where DuckDB would change a value without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from remint.engines.base import StageWork, UserFunction, quoted
from remint.errors import SchemaMismatch, TransformFailed

RETURNED = "__returned"
"""Relation of what the function returned."""


def call_function(con: duckdb.DuckDBPyConnection, function: UserFunction, work: StageWork) -> None:
    """Call the function on the rows of the bound inputs, and register its rows as ``RETURNED``.

    Raises:
        TransformFailed: it raised, or returned what is no table.
        SchemaMismatch: a column is there twice, or holds values that its column type cannot.
    """
    con.register(RETURNED, returned_table(function, work, {alias: _rows_of(con, alias) for alias in work.inputs}))


def returned_table(function: UserFunction, work: StageWork, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return what the function makes of the rows of its inputs; raises as ``call_function`` does."""
    place = f"{work.dataset.name}: {function.place}"
    return _settled(function.run(tables, lambda made: _table(made, place)), place)


def _rows_of(con: duckdb.DuckDBPyConnection, alias: str) -> pa.Table:
    """Return the rows of an input, sorted by all of their columns: so rows in equal places are equal rows."""
    return con.sql(f"SELECT * FROM {quoted(alias)} ORDER BY ALL").to_arrow_table()


def _table(made: Any, place: str) -> pa.Table:
    """Return a function's result as a table of its own.

    Raises:
        TransformFailed: it is no table.
    """
    if isinstance(made, pa.Table):
        return made
    kind = "nothing" if made is None else f"a {type(made).__name__}"
    hint = "return a pyarrow.Table, or anything with __arrow_c_stream__: a data frame of polars or pandas"
    if not hasattr(made, "__arrow_c_stream__") or isinstance(made, type):
        raise TransformFailed(f"{place}: the function returned {kind}; it returns a table", hint=hint)
    try:
        return pa.RecordBatchReader.from_stream(made).read_all()
    except pa.ArrowInvalid as error:
        words = str(error).split("\n", 1)[0]
        raise TransformFailed(
            f"{place}: the function returned {kind}, which is no table: {words}", hint=hint
        ) from error


def _settled(table: pa.Table, place: str) -> pa.Table:
    """Return the table with times in microseconds, the precision of every table.

    Raises:
        SchemaMismatch: a column is there twice, or holds times between microseconds.
    """
    twice = sorted(name for name, times in Counter(n.lower() for n in table.column_names).items() if times > 1)
    if twice:
        raise SchemaMismatch(
            f"{place}: the function returned {', '.join(twice)} twice; case tells no columns apart",
            hint="name each column once in the function",
        )
    fields = []
    for field in table.schema:
        is_time = pa.types.is_timestamp(field.type) and field.type.unit != "us"
        fields.append(field.with_type(pa.timestamp("us", field.type.tz)) if is_time else field)
    try:
        return table.cast(pa.schema(fields))
    except pa.ArrowInvalid as error:
        raise SchemaMismatch(
            f"{place}: the function returned times that are no whole microseconds: {error}",
            hint="round them in the function",
        ) from error
