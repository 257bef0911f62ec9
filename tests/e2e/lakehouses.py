"""A project's tables as the library of their format sees them: nothing here goes through remint."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
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
from s3fs import S3FileSystem

from remint.workspace.catalogs import catalog_of
from tests.masks import mask_delta, mask_iceberg

Step = Callable[[], object]


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

    def commits(self, table: str) -> int:
        """Return how many commits the table still knows of."""
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

    def runs(self, table: str) -> list[tuple[str, str]]:
        """Return the run and attempt of every commit of remint's."""
        ...

    def appending(self, table: str, key: str) -> Step:
        """Return the adding of the rows of a day once more, to the table as it is now."""
        ...

    def overwriting(self, table: str, key: str) -> Step:
        """Return the replacing of a day by its own rows without one, in the table as it is now."""
        ...

    def compacting(self, table: str, key: str) -> Step:
        """Return the writing anew of the files of a day, in the table as it is now."""
        ...

    def compact(self, table: str) -> None:
        """Write all rows into other files."""
        ...

    def vacuum(self, table: str) -> None:
        """Delete every file that the newest version does not name, and forget the other versions."""
        ...

    def make_anew(self, table: str, rows: pa.Table) -> None:
        """Drop a table that has one commit, and make one of the same columns and cut that has one commit, of rows."""
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

    def __init__(self, top: str, options: dict[str, str] | None, root: Path) -> None:
        del root
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

    def commits(self, table: str) -> int:
        return len(list(Path(self._place(table), "_delta_log").glob("*.json")))

    def append(self, table: str, rows: pa.Table) -> None:
        write_deltalake(self._place(table), rows, mode="append", storage_options=self._options)

    def overwrite(self, table: str, rows: pa.Table, key: str) -> None:
        where, place = f"{self.cut(table)} = '{key}'", self._place(table)
        write_deltalake(place, rows, mode="overwrite", predicate=where, storage_options=self._options)

    def delete(self, table: str, key: str) -> None:
        self._table(table).delete(f"{self.cut(table)} = '{key}'")

    def runs(self, table: str) -> list[tuple[str, str]]:
        notes = [json.loads(entry["remint"]) for entry in self._table(table).history() if "remint" in entry]
        return [(note["run_id"], str(note["attempt"])) for note in notes]

    def appending(self, table: str, key: str) -> Step:
        opened = self._table(table)
        rows = opened.to_pyarrow_table(filters=[(self.cut(table), "=", date.fromisoformat(key))])
        return lambda: write_deltalake(opened, rows, mode="append")

    def overwriting(self, table: str, key: str) -> Step:
        opened, cut = self._table(table), self.cut(table)
        rows = opened.to_pyarrow_table(filters=[(cut, "=", date.fromisoformat(key))]).slice(1)
        return lambda: write_deltalake(opened, rows, mode="overwrite", predicate=f"{cut} = '{key}'")

    def compacting(self, table: str, key: str) -> Step:
        opened, cut = self._table(table), self.cut(table)
        return lambda: opened.optimize.z_order(["tenant"], partition_filters=[(cut, "=", key)])

    def compact(self, table: str) -> None:
        assert self._table(table).optimize.compact()["numFilesRemoved"] > 1

    def vacuum(self, table: str) -> None:
        self._table(table).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    def make_anew(self, table: str, rows: pa.Table) -> None:
        opened, place = self._table(table), self._place(table)
        schema, cut = opened.schema(), opened.metadata().partition_columns
        shutil.rmtree(place)
        DeltaTable.create(place, schema, partition_by=cut)
        self.append(table, rows)

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

    def __init__(self, top: str, options: dict[str, str] | None, root: Path) -> None:
        del options  # any client of AWS finds the bucket by the environment
        self._top = top
        self.database = root / ".remint/catalog.db" if "://" in top else Path(top) / "catalog.db"

    def version(self, table: str) -> int | None:
        if not self._is_made() or not self.catalog().table_exists(table):
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

    def commits(self, table: str) -> int:
        return len(self.table(table).metadata.snapshots)

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

    def runs(self, table: str) -> list[tuple[str, str]]:
        said = [s.summary.additional_properties for s in self.table(table).metadata.snapshots if s.summary]
        return [(properties["remint.run"], properties["remint.attempt"]) for properties in said]

    def appending(self, table: str, key: str) -> Step:
        opened, rows = self._held(table, key)
        return lambda: opened.append(rows)

    def overwriting(self, table: str, key: str) -> Step:
        opened, rows = self._held(table, key)
        return lambda: opened.overwrite(rows.slice(1), self._day(table, key))

    def compacting(self, table: str, key: str) -> Step:
        """Return what pyiceberg does in place of a compaction of its own: to read, and to swap."""
        opened, rows = self._held(table, key)
        return lambda: opened.overwrite(rows, self._day(table, key))

    def _held(self, table: str, key: str) -> tuple[Table, pa.Table]:
        opened = self.table(table)
        return opened, opened.scan(self._day(table, key)).to_arrow()

    def compact(self, table: str) -> None:
        self.table(table).overwrite(self.rows(table))

    def vacuum(self, table: str) -> None:
        self.forget(table)
        opened, live = self.table(table), self.files(table)
        for path in Path(opened.location()).rglob("*.parquet"):
            if str(path) not in live:
                path.unlink()

    def forget(self, table: str) -> None:
        """Drop every tag, and expire every snapshot but the newest."""
        opened = self.table(table)
        if tags := [name for name in opened.metadata.refs if name != "main"]:
            with opened.manage_snapshots() as refs:
                for name in tags:
                    refs.remove_tag(name)
        current = opened.current_snapshot()
        if older := [s.snapshot_id for s in opened.metadata.snapshots if s != current]:
            opened.maintenance.expire_snapshots().by_ids(older).commit()

    def make_anew(self, table: str, rows: pa.Table) -> None:
        opened, catalog = self.table(table), self.catalog()
        schema, cut, place = opened.schema(), opened.spec(), opened.location()
        catalog.drop_table(table)
        catalog.create_table(table, schema, place, partition_spec=cut)
        self.append(table, rows)

    def mask(self, table: str, key: str, positions: Sequence[int]) -> None:
        (place,) = [p for p in self.files(table) if f"/{self.cut(table)}={key}/" in p]
        mask_iceberg(self.table(table), place, positions)

    def moved(self, before: str) -> None:
        """Write all metadata of the copy anew: Iceberg names every file by its absolute place."""
        after = Path(self._top)
        if not self._is_made():
            return
        for path in after.rglob("*.metadata.json"):
            path.write_text(path.read_text().replace(f"{before}/", f"{after}/"))
        with closing(sqlite3.connect(self.database)) as named:
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

    def _is_made(self) -> bool:
        """Return whether there is a catalog; to open one makes it."""
        if not self.database.exists():
            return False
        with closing(sqlite3.connect(self.database)) as named:
            return bool(named.execute("SELECT 1 FROM sqlite_master WHERE name = 'iceberg_tables'").fetchone())

    def table(self, table: str) -> Table:
        return self.catalog().load_table(table)

    def catalog(self) -> Catalog:
        S3FileSystem.clear_instance_cache()  # one that is kept goes on asking the server that it was made for
        return catalog_of("sql", "remint", f"sqlite:///{self.database}").library


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


LAKEHOUSES: dict[str, Callable[[str, dict[str, str] | None, Path], Lakehouse]] = {"delta": Delta, "iceberg": Iceberg}
