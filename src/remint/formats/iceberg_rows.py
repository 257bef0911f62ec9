"""Rows of an Iceberg table by the format's own rules, and which files cannot be read without them.

remint reads files by the names of columns. That is right for every file that it writes, and for a file of others
unless the table changed after it: Iceberg tells columns by ids, so that a renamed one has its old name there, and a
column that was dropped and added anew has its name for other values.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.table import Table as IcebergTable

from remint.formats.iceberg_files import relative
from remint.formats.iceberg_names import by_id, schema_in


def rows_of(loaded: IcebergTable, paths: Collection[str]) -> pa.RecordBatchReader:
    """Return the rows of the data files with these paths that are not deleted, in the columns of the newest schema."""
    scan = loaded.scan()
    tasks = [task for task in scan.plan_files() if relative(loaded.metadata, task.file.file_path) in paths]
    reading = ArrowScan(loaded.metadata, loaded.io, scan.projection(), AlwaysTrue())
    schema = schema_to_pyarrow(scan.projection(), include_field_ids=False)
    return pa.RecordBatchReader.from_batches(schema, (b.cast(schema) for b in reading.to_record_batches(tasks)))


def column_flaw(loaded: IcebergTable, place: str) -> str | None:
    """Return in words how a file holds a column of the newest schema otherwise than by its name and in its type.

    Of a file that cannot be read there is nothing to say.
    """
    held = schema_in(loaded, place)
    if held is None:
        return None
    ids = by_id(held)
    wanted = schema_to_pyarrow(loaded.schema(), include_field_ids=False)
    for field in loaded.schema().fields:
        there = ids.get(field.field_id)
        if there is None and ids and field.name in held.names:
            return f"column {field.name} is another one in {place}"
        if there is not None and there.name != field.name:
            return f"column {field.name} is called {there.name} in {place}"
        if there is not None and not _is_same(there.type, wanted.field(field.name).type):
            return f"column {field.name} is {there.type} in {place}"
    return None


def _is_same(held: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a file's type is that of the schema: texts are one, however long they may be."""
    if pa.types.is_string(held) or pa.types.is_large_string(held):
        return bool(pa.types.is_string(wanted) or pa.types.is_large_string(wanted))
    return bool(held.equals(wanted))
