"""A project's tables as the library of their format sees them: nothing here goes through remint."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile, read_manifest_list, write_manifest, write_manifest_list
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from remint.formats.iceberg_catalog import opened


class Lakehouse(Protocol):
    """The tables of one format below a folder."""

    settings: str
    """What the project's settings say of the format."""

    def version(self, lake: Path, table: str) -> int | None:
        """Return the table's newest version, None where there is none."""
        ...

    def files(self, lake: Path, table: str) -> set[str]:
        """Return the table's live files, absolute."""
        ...

    def rows(self, lake: Path, table: str) -> pa.Table:
        """Return the rows of the newest version."""
        ...

    def cut(self, lake: Path, table: str) -> str:
        """Return the column by which the table is cut."""
        ...

    def append(self, lake: Path, table: str, rows: pa.Table) -> None:
        """Add rows."""
        ...

    def overwrite(self, lake: Path, table: str, rows: pa.Table, key: str) -> None:
        """Put rows in the place of a partition, which is a day."""
        ...

    def delete(self, lake: Path, table: str, key: str) -> None:
        """Delete the rows of a partition, which is a day."""
        ...

    def moved(self, before: Path, after: Path) -> None:
        """Mend what a copy of ``before`` in ``after`` says of places."""
        ...


class Delta:
    """Delta Lake, by delta-rs."""

    settings = ""

    def version(self, lake: Path, table: str) -> int | None:
        return self._table(lake, table).version() if (_folder(lake, table) / "_delta_log").exists() else None

    def files(self, lake: Path, table: str) -> set[str]:
        return set(self._table(lake, table).file_uris())

    def rows(self, lake: Path, table: str) -> pa.Table:
        return self._table(lake, table).to_pyarrow_table()

    def cut(self, lake: Path, table: str) -> str:
        return str(self._table(lake, table).metadata().partition_columns[0])

    def append(self, lake: Path, table: str, rows: pa.Table) -> None:
        write_deltalake(str(_folder(lake, table)), rows, mode="append")

    def overwrite(self, lake: Path, table: str, rows: pa.Table, key: str) -> None:
        where = f"{self.cut(lake, table)} = '{key}'"
        write_deltalake(str(_folder(lake, table)), rows, mode="overwrite", predicate=where)

    def delete(self, lake: Path, table: str, key: str) -> None:
        self._table(lake, table).delete(f"{self.cut(lake, table)} = '{key}'")

    def moved(self, before: Path, after: Path) -> None:
        """Nothing: a log says where files lie below its table."""

    def _table(self, lake: Path, table: str) -> DeltaTable:
        return DeltaTable(str(_folder(lake, table)))


class Iceberg:
    """Apache Iceberg, by pyiceberg."""

    settings = '[tables]\nformat = "iceberg"\n'

    def version(self, lake: Path, table: str) -> int | None:
        if not (lake / "catalog.db").exists() or not self.catalog(lake).table_exists(table):
            return None
        snapshot = self.table(lake, table).current_snapshot()
        return (snapshot.sequence_number or 0) if snapshot else 0

    def files(self, lake: Path, table: str) -> set[str]:
        return {task.file.file_path for task in self.table(lake, table).scan().plan_files()}

    def rows(self, lake: Path, table: str) -> pa.Table:
        return self.table(lake, table).scan().to_arrow()

    def cut(self, lake: Path, table: str) -> str:
        held = self.table(lake, table)
        return str(held.schema().find_column_name(held.spec().fields[0].source_id))

    def append(self, lake: Path, table: str, rows: pa.Table) -> None:
        self.table(lake, table).append(rows)

    def overwrite(self, lake: Path, table: str, rows: pa.Table, key: str) -> None:
        self.table(lake, table).overwrite(rows, EqualTo(self.cut(lake, table), key))

    def delete(self, lake: Path, table: str, key: str) -> None:
        self.table(lake, table).delete(EqualTo(self.cut(lake, table), key))

    def moved(self, before: Path, after: Path) -> None:
        """Write all metadata of the copy anew: Iceberg names every file by its absolute place."""
        if not (after / "catalog.db").exists():
            return
        for path in after.rglob("*.metadata.json"):
            path.write_text(path.read_text().replace(f"{before}/", f"{after}/"))
        with closing(sqlite3.connect(after / "catalog.db")) as named:
            for column in ("metadata_location", "previous_metadata_location"):
                named.execute(f"UPDATE iceberg_tables SET {column} = replace({column}, '{before}/', '{after}/')")
            named.commit()
        catalog = self.catalog(after)
        for identifier in [t for n in catalog.list_namespaces() for t in catalog.list_tables(n)]:
            metadata = catalog.load_table(identifier).metadata
            done: dict[str, ManifestFile] = {}
            for snapshot in metadata.snapshots:
                held = [_moved(m, metadata, (before, after), done) for m in _listed(snapshot.manifest_list)]
                number, parent = snapshot.snapshot_id, snapshot.parent_snapshot_id
                place = PyArrowFileIO().new_output(snapshot.manifest_list)
                Path(snapshot.manifest_list).unlink()
                with write_manifest_list(2, place, number, parent, snapshot.sequence_number, "null") as writer:
                    writer.add_manifests(held)

    def table(self, lake: Path, table: str) -> Table:
        return self.catalog(lake).load_table(table)

    def catalog(self, lake: Path) -> Catalog:
        return opened("remint", {"type": "sql", "uri": f"sqlite:///{lake}/catalog.db"})


def _listed(place: str) -> list[ManifestFile]:
    return list(read_manifest_list(PyArrowFileIO().new_input(place)))


def _moved(
    manifest: ManifestFile, metadata: TableMetadata, places: tuple[Path, Path], done: dict[str, ManifestFile]
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


def _folder(lake: Path, table: str) -> Path:
    return lake / table.replace(".", "/")


LAKEHOUSES: dict[str, Lakehouse] = {"delta": Delta(), "iceberg": Iceberg()}
