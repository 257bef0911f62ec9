"""A project's tables as the library of their format sees them: nothing here goes through remint."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile, read_manifest_list, write_manifest, write_manifest_list
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.types import TimestamptzType

from remint.workspace.catalogs import catalog_of
from tests.masks import mask_delta, mask_iceberg


class Lakehouse(Protocol):
    """The tables of one format below a folder, or a prefix of a bucket."""

    settings: str
    """What the project's settings say of the format."""

    def version(self, table: str) -> int | None:
        """Return the table's newest version, None where there is none."""
        ...

    def files(self, table: str) -> set[str]:
        """Return the table's live files, absolute."""
        ...

    def rows(self, table: str) -> pa.Table:
        """Return the rows of the newest version."""
        ...

    def cut(self, table: str) -> str:
        """Return the column by which the table is cut."""
        ...

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        ...

    def overwrite(self, table: str, rows: pa.Table, key: str) -> None:
        """Put rows in the place of a partition, which is a day."""
        ...

    def delete(self, table: str, key: str) -> None:
        """Delete the rows of a partition, which is a day."""
        ...

    def mask(self, table: str, key: str, positions: Sequence[int]) -> None:
        """Delete rows of the one file of a partition, which is a day, beside that file."""
        ...

    def moved(self, before: str) -> None:
        """Mend what these tables, which are a copy of those below ``before``, say of places."""
        ...


class Delta:
    """Delta Lake, by delta-rs."""

    settings = ""

    def __init__(self, top: str, options: dict[str, str] | None) -> None:
        self._top, self._options = top, options

    def version(self, table: str) -> int | None:
        return self._table(table).version() if DeltaTable.is_deltatable(self._place(table), self._options) else None

    def files(self, table: str) -> set[str]:
        return set(self._table(table).file_uris())

    def rows(self, table: str) -> pa.Table:
        held = self._table(table)
        is_masked = "deletionVectors" in (held.protocol().reader_features or ())
        return pa.table(held.scan()) if is_masked else held.to_pyarrow_table()

    def cut(self, table: str) -> str:
        return str(self._table(table).metadata().partition_columns[0])

    def append(self, table: str, rows: pa.Table) -> None:
        write_deltalake(self._place(table), rows, mode="append", storage_options=self._options)

    def overwrite(self, table: str, rows: pa.Table, key: str) -> None:
        where, place = f"{self.cut(table)} = '{key}'", self._place(table)
        write_deltalake(place, rows, mode="overwrite", predicate=where, storage_options=self._options)

    def delete(self, table: str, key: str) -> None:
        self._table(table).delete(f"{self.cut(table)} = '{key}'")

    def mask(self, table: str, key: str, positions: Sequence[int]) -> None:
        mask_delta(self._place(table), f"{self.cut(table)}={key}/", positions)

    def moved(self, before: str) -> None:
        """Nothing: a log says where files lie below its table."""

    def _table(self, table: str) -> DeltaTable:
        return DeltaTable(self._place(table), storage_options=self._options)

    def _place(self, table: str) -> str:
        return f"{self._top}/{table.replace('.', '/')}"


class Iceberg:
    """Apache Iceberg, by pyiceberg."""

    settings = '[tables]\nformat = "iceberg"\n'

    def __init__(self, top: str, options: dict[str, str] | None) -> None:
        del options
        self._top = Path(top)

    def version(self, table: str) -> int | None:
        if not (self._top / "catalog.db").exists() or not self.catalog().table_exists(table):
            return None
        snapshot = self.table(table).current_snapshot()
        return (snapshot.sequence_number or 0) if snapshot else 0

    def files(self, table: str) -> set[str]:
        return {task.file.file_path for task in self.table(table).scan().plan_files()}

    def rows(self, table: str) -> pa.Table:
        return self.table(table).scan().to_arrow()

    def cut(self, table: str) -> str:
        held = self.table(table)
        return str(held.schema().find_column_name(held.spec().fields[0].source_id))

    def append(self, table: str, rows: pa.Table) -> None:
        self.table(table).append(rows)

    def overwrite(self, table: str, rows: pa.Table, key: str) -> None:
        self.table(table).overwrite(rows, self._day(table, key))

    def delete(self, table: str, key: str) -> None:
        self.table(table).delete(self._day(table, key))

    def _day(self, table: str, key: str) -> BooleanExpression:
        column = self.cut(table)
        if not isinstance(self.table(table).schema().find_type(column), TimestamptzType):
            return EqualTo(column, key)
        first = datetime.fromisoformat(key).replace(tzinfo=UTC)
        return And(
            GreaterThanOrEqual(column, first.isoformat()), LessThan(column, (first + timedelta(days=1)).isoformat())
        )

    def mask(self, table: str, key: str, positions: Sequence[int]) -> None:
        (place,) = [p for p in self.files(table) if f"/{self.cut(table)}={key}/" in p]
        mask_iceberg(self.table(table), place, positions)

    def moved(self, before: str) -> None:
        """Write all metadata of the copy anew: Iceberg names every file by its absolute place."""
        after = self._top
        if not (after / "catalog.db").exists():
            return
        for path in after.rglob("*.metadata.json"):
            path.write_text(path.read_text().replace(f"{before}/", f"{after}/"))
        with closing(sqlite3.connect(after / "catalog.db")) as named:
            for column in ("metadata_location", "previous_metadata_location"):
                named.execute(f"UPDATE iceberg_tables SET {column} = replace({column}, '{before}/', '{after}/')")
            named.commit()
        catalog = self.catalog()
        for identifier in [t for n in catalog.list_namespaces() for t in catalog.list_tables(n)]:
            metadata = catalog.load_table(identifier).metadata
            done: dict[str, ManifestFile] = {}
            for snapshot in metadata.snapshots:
                held = [_moved(m, metadata, (before, str(after)), done) for m in _listed(snapshot.manifest_list)]
                number, parent = snapshot.snapshot_id, snapshot.parent_snapshot_id
                place = PyArrowFileIO().new_output(snapshot.manifest_list)
                Path(snapshot.manifest_list).unlink()
                with write_manifest_list(2, place, number, parent, snapshot.sequence_number, "null") as writer:
                    writer.add_manifests(held)

    def table(self, table: str) -> Table:
        return self.catalog().load_table(table)

    def catalog(self) -> Catalog:
        return catalog_of("sql", "remint", f"sqlite:///{self._top}/catalog.db").library


def _listed(place: str) -> list[ManifestFile]:
    return list(read_manifest_list(PyArrowFileIO().new_input(place)))


def _moved(
    manifest: ManifestFile, metadata: TableMetadata, places: tuple[str, str], done: dict[str, ManifestFile]
) -> ManifestFile:
    """Return a manifest of the copy, written anew once."""
    before, after = (f"{place}/" for place in places)
    place = manifest.manifest_path.replace(before, after)
    if place not in done:
        manifest[0] = place
        entries = manifest.fetch_manifest_entry(PyArrowFileIO(), discard_deleted=False)
        spec = metadata.specs()[manifest.partition_spec_id]
        Path(place).unlink()
        output = PyArrowFileIO().new_output(place)
        with write_manifest(2, spec, metadata.schema(), output, manifest.added_snapshot_id, "null") as writer:
            for entry in entries:
                entry.data_file[1] = entry.data_file.file_path.replace(before, after)
                writer.add_entry(entry)
        manifest[1] = Path(place).stat().st_size
        done[place] = manifest
    return done[place]


LAKEHOUSES: dict[str, Callable[[str, dict[str, str] | None], Lakehouse]] = {"delta": Delta, "iceberg": Iceberg}
