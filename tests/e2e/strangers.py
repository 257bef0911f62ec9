"""Writers that are not remint: what they do to a table through its own library or to its files on disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.transaction import RemoveAction

from tests.e2e.projects import Project


def append(project: Project, table: str, *, like: str, to: str | None = None) -> None:
    """Append copies of the rows of partition ``like``, under the partition ``to`` when that is given."""
    column = partition_column(project, table)
    held = project.lakehouse.rows(table)
    rows = held.filter(pc.equal(held[column], date.fromisoformat(like)))
    assert rows.num_rows, f"{table} has no partition {like}"
    if to is not None:
        place = rows.column_names.index(column)
        rows = rows.set_column(place, column, pa.array([date.fromisoformat(to)] * rows.num_rows))
    project.lakehouse.append(table, rows)


def overwrite(project: Project, table: str, key: str) -> None:
    """Replace a partition by its own rows, the first one left out."""
    column = partition_column(project, table)
    held = project.lakehouse.rows(table)
    rows = held.filter(pc.equal(held[column], date.fromisoformat(key))).slice(1)
    project.lakehouse.overwrite(table, rows, key)


def delete(project: Project, table: str, key: str) -> None:
    """Delete every row of a partition."""
    project.lakehouse.delete(table, key)


def partition_column(project: Project, table: str) -> str:
    """Return the column by which a table is cut."""
    return project.lakehouse.cut(table)


def files_of(project: Project, table: str, key: str) -> list[Path]:
    """Return the files on disk that the table names for one partition."""
    return [Path(p) for p in project.lakehouse.files(table) if f"={key}" in p]


def append_null(project: Project, table: str, *, like: str) -> None:
    """Append copies of the rows of a partition whose partition value is NULL."""
    column = partition_column(project, table)
    held = project.lakehouse.rows(table)
    rows = held.filter(pc.equal(held[column], date.fromisoformat(like)))
    place = rows.column_names.index(column)
    nulls = pa.array([None] * rows.num_rows, rows.schema.field(column).type)
    project.lakehouse.append(table, rows.set_column(place, column, nulls))


def take_out(project: Project, table: str, key: str) -> None:
    """Remove the files of a partition from the table, past the flag that forbids it."""
    project.delta(table).alter.set_table_properties({"delta.appendOnly": "false"})
    held = project.delta(table)
    column = partition_column(project, table)
    removes = [
        RemoveAction(str(p.relative_to(project.folder(table))), True, 0, p.stat().st_size, {column: key})
        for p in files_of(project, table, key)
    ]
    held.create_write_transaction(list(removes), "append", held.schema(), partition_by=[column])


def exchange_in_place(project: Project, table: str, key: str, other: str) -> None:
    """Put the file of one partition in the place of another's, behind the back of the table's log."""
    (victim,), (source,) = files_of(project, table, key), files_of(project, table, other)
    victim.write_bytes(source.read_bytes())
