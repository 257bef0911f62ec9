"""Under which names the files of an Iceberg table hold its declared columns.

Rule: a file holds what was published under the names of when it was written, and is read by them. Only where it has no
column of a declared name does the id decide, by which Iceberg tells a column that was renamed since. So what somebody
does to a table's columns without the contract changes nothing that remint reads; ``doctor`` says what others read then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.table import Table as IcebergTable

from remint.formats.base import Table
from remint.model.provenance import DataFile
from remint.storage.base import below

_FIELD_ID = b"PARQUET:field_id"
_IDS = '"fieldIds":{'
"""How remint's own statistics of a file begin to say the ids of its columns; they end with them."""


class FileNames:
    """What was looked up in the footers of files: a file never changes."""

    def __init__(self) -> None:
        """Know nothing."""
        self._looked_up: dict[str, Mapping[str, int]] = {}

    def of(self, loaded: IcebergTable, table: Table, files: Iterable[DataFile]) -> dict[str, dict[str, str]]:
        """Return by path the declared columns that a file holds under another name; empty where that is another's now.

        Args:
            loaded: the table as it is now.
            table: the same as declared.
            files: of it, as recorded; the footer of one that remint did not write is read if the schema ever changed.
        """
        declared = {c.name for c in table.columns}
        now = {field.name: field.field_id for field in loaded.schema().fields if field.name in declared}
        ever = {(field.name, field.field_id) for schema in loaded.metadata.schemas for field in schema.fields}
        held = {file.path: self._held(loaded, table, file) for file in files}
        # A file of the table that was there before under this name has ids that mean other columns now.
        return {path: _renamed(ids, now) if ids.items() <= ever else {} for path, ids in held.items()}

    def _held(self, loaded: IcebergTable, table: Table, file: DataFile) -> Mapping[str, int]:
        if said := _said(file):
            return said
        if loaded.metadata.current_schema_id == 0:
            return {}
        place = file.path if "://" in file.path else below(table.location, file.path)
        if place not in self._looked_up:
            held = schema_in(loaded, place) or pa.schema([])
            found = {field.name: number for number, field in by_id(held).items()}
            self._looked_up[place] = found or _mapped(loaded, held)
        return self._looked_up[place]


def schema_in(loaded: IcebergTable, place: str) -> pa.Schema | None:
    """Return the columns of a file; None of one that is gone or no Parquet: who reads its rows next refuses it."""
    try:
        with loaded.io.new_input(place).open() as file:
            return parquet.read_schema(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def by_id(held: pa.Schema) -> dict[int, pa.Field]:
    """Return the columns of a file that have ids, by these."""
    return {int(field.metadata[_FIELD_ID]): field for field in held if _FIELD_ID in (field.metadata or {})}


def _mapped(loaded: IcebergTable, held: pa.Schema) -> dict[str, int]:
    """Return the ids that the table gives to columns of files without any (Iceberg specification, «Name mapping»)."""
    mapping = loaded.metadata.name_mapping()
    fields = [field for field in (mapping.root if mapping else ()) if field.field_id is not None]
    return {name: int(field.field_id or 0) for field in fields for name in field.names if name in held.names}


def are_named(table: Table, file: DataFile) -> bool:
    """Return whether remint wrote the file with every declared column under its name."""
    return {c.name for c in table.columns} <= _said(file).keys()


def _said(file: DataFile) -> Mapping[str, int]:
    """Return the ids of a file's columns as remint's own statistics say them; none of a file of somebody else."""
    at = file.stats.rfind(_IDS)
    ids: Mapping[str, int] = json.loads(f"{{{file.stats[at:]}")["fieldIds"] if at >= 0 else {}
    return ids


def _renamed(held: Mapping[str, int], now: Mapping[str, int]) -> dict[str, str]:
    there = {number: name for name, number in held.items()}
    found = {name: there[number] for name, number in now.items() if name not in held and number in there}
    # A column of a file that is told by its id is no longer there for the one that has its name now.
    taken = [name for name in found.values() if name in now]
    while taken:
        name = taken.pop()
        found[name] = there.get(now[name], "")
        taken += [found[name]] if found[name] in now and found[name] not in found else []
    return found
