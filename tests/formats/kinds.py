"""The formats that the contract is held on: each with a writer and a reader that are nobody's of remint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import Catalog

from remint.engines.base import Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.formats import delta
from remint.formats.base import Replacement, Table, TableFormat
from remint.formats.delta import DeltaFormat
from remint.formats.iceberg import IcebergFormat
from remint.formats.iceberg_catalog import IcebergCatalog
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionSpec
from remint.model.provenance import DataFile
from remint.storage.base import Storage
from remint.storage.local import LOCAL
from remint.storage.places import storage_of
from remint.workspace.catalogs import catalog_of
from tests.buckets import Bucket

REGION = PartitionSpec(column="region", grain=Grain.IDENTITY)
ARROW = {"BIGINT": pa.int64(), "VARCHAR": pa.string(), "DATE": pa.date32(), "TIMESTAMPTZ": pa.timestamp("us", "UTC")}


class Stranger(Protocol):
    """Somebody who writes to a table with the format's own library."""

    def append(self, table: Table, rows: Sequence[dict[str, Any]]) -> None: ...

    def delete(self, table: Table, region: str) -> None: ...

    def rows(self, table: Table) -> list[dict[str, Any]]: ...


@dataclass
class Kind:
    """One format in a folder."""

    root: Path
    format: TableFormat
    stranger: Stranger
    before_commit: Callable[[pytest.MonkeyPatch, Callable[[], object]], None]
    """Makes something happen right before the next commit that remint makes."""
    lake: str
    storage: Storage = LOCAL
    has_empty_folders: bool = True
    """Whether the storage takes a folder that is named for an empty value."""

    def table(
        self, *, columns: str = "n BIGINT, region VARCHAR", cut: PartitionSpec = REGION, append_only: bool = False
    ) -> Table:
        """Return a table that is not there yet."""
        named = tuple(Column(name=c.split()[0], type=c.split()[1]) for c in columns.split(", "))
        place = f"{self.lake}/gold/t"
        return Table(name="gold.t", location=place, columns=named, partition=cut, append_only=append_only)

    def created(self, **said: Any) -> Table:
        """Return a table that is there, and empty."""
        table = self.table(**said)
        self.format.create(table)
        return table

    def staged(self, table: Table, rows: Sequence[Sequence[Any]], token: str = "r1-0") -> list[DataFile]:
        """Write rows as the engine does, named by no table version yet."""
        self.storage.prepare(table.location)
        names = [c.name for c in table.columns]
        marks = ", ".join(f"CAST(? AS {c.type}) AS {c.name}" for c in table.columns)
        target = Target(root=table.location, spec=table.partition, token=token, layout=self.format.layout(table))
        with open_connection("256MB", 1, self.root / "spill", storage=self.storage) as con:
            con.execute(f"CREATE TABLE v AS SELECT {marks}", list(rows[0]))
            for row in rows[1:]:
                con.execute(f"INSERT INTO v SELECT {marks}", list(row))
            return copy_partitioned(con, f"SELECT {', '.join(names)} FROM v", target, self.storage)

    def publish(
        self, table: Table, run_id: str, adds: Sequence[DataFile], removes: Sequence[DataFile] = (), attempt: int = 1
    ) -> int:
        """Commit one replacement and return its version."""
        change = Replacement(run_id=run_id, attempt=attempt, adds=tuple(adds), removes=tuple(removes))
        return self.format.publish([(table, change)])[0].version

    def replacement(self, table: Table, run_id: str, *rows: Sequence[Any]) -> tuple[Table, Replacement]:
        """Return a commit of new rows."""
        adds = tuple(self.staged(table, rows, f"{run_id}-0"))
        return table, Replacement(run_id=run_id, attempt=1, adds=adds, removes=())

    def drop(self, table: Table) -> None:
        """Take a table away, as its owner would."""
        if isinstance(self.stranger, IcebergStranger):
            self.library().drop_table(table.name)
        else:
            self.storage.clear(table.location)

    def library(self) -> Catalog:
        """Return the catalog of Iceberg tables, opened anew."""
        assert isinstance(self.stranger, IcebergStranger)
        return self.stranger.catalog()

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return the rows that the format's own library reads, sorted."""
        return sorted((tuple(row[c.name] for c in table.columns) for row in self.stranger.rows(table)), key=str)


class DeltaStranger:
    """delta-rs."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = dict(options) or None

    def append(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        write_deltalake(table.location, pa.Table.from_pylist(list(rows)), mode="append", storage_options=self._options)

    def delete(self, table: Table, region: str) -> None:
        self._table(table).delete(f"region = '{region}'")

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return list(self._table(table).to_pyarrow_table().to_pylist())

    def _table(self, table: Table) -> DeltaTable:
        return DeltaTable(table.location, storage_options=self._options)


class IcebergStranger:
    """pyiceberg's tables, beside those that remint opens."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self.catalog = catalog

    def append(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        schema = pa.schema([(c.name, ARROW[c.type]) for c in table.columns])
        self.catalog().load_table(table.name).append(pa.Table.from_pylist(list(rows), schema))

    def delete(self, table: Table, region: str) -> None:
        self.catalog().load_table(table.name).delete(f"region == '{region}'")

    def delete_all(self, table: Table) -> None:
        self.catalog().load_table(table.name).delete()

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return list(self.catalog().load_table(table.name).scan().to_arrow().to_pylist())


def delta_in(root: Path, lake: str = "", storage: Storage = LOCAL) -> Kind:
    """Return Delta tables below a folder, or in a bucket."""

    def before(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
        patch.setattr(delta, "commit", _once_before(delta.commit, act))

    return Kind(root, DeltaFormat(storage), DeltaStranger(storage.options), before, lake or f"{root}/lake", storage)


def iceberg_in(root: Path, lake: str = "", storage: Storage = LOCAL, url: str = "") -> Kind:
    """Return Iceberg tables below a folder, or in a bucket, named by a catalog in a file or at a URL."""
    url = url or f"sqlite:///{root}/lake/catalog.db"

    return _iceberg(root, lambda: catalog_of("sql", "remint", url), lake or f"{root}/lake", storage)


def iceberg_by_rest(root: Path, bucket: Bucket) -> Kind:
    """Return Iceberg tables that a server names, in a bucket that it keeps for them."""
    lake = bucket.new_warehouse()
    catalog = partial(catalog_of, "rest", "remint", bucket.catalog, lake)
    kind = _iceberg(root, catalog, lake, storage_of("s3://", lambda _: None))
    return replace(kind, has_empty_folders=False)


def iceberg_by_glue(root: Path, url: str) -> Kind:
    """Return Iceberg tables below a folder that Glue names."""
    return _iceberg(root, partial(catalog_of, "glue", "remint", url, f"{root}/lake"), f"{root}/lake", LOCAL)


def iceberg_by_server(root: Path) -> Kind:
    """Return Iceberg tables below a folder that a REST server of your own names, where nobody else has any."""
    catalog = partial(catalog_of, "rest", "remint", SERVER)
    library = catalog().library
    for table in library.list_tables("gold") if library.namespace_exists("gold") else ():
        library.drop_table(table)
    return _iceberg(root, catalog, f"{root}/lake", LOCAL)


def _iceberg(root: Path, catalog: Callable[[], IcebergCatalog[Any]], lake: str, storage: Storage) -> Kind:
    def before(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
        patch.setattr(IcebergCatalog, "commit", _once_before(IcebergCatalog.commit, act))

    stranger = IcebergStranger(lambda: catalog().library)
    return Kind(root, IcebergFormat(catalog(), storage), stranger, before, lake, storage)


def _once_before(commit: Callable[..., Any], act: Callable[[], object]) -> Callable[..., Any]:
    waiting = [act]

    def committing(*args: Any) -> Any:
        if waiting:
            waiting.pop()()
        return commit(*args)

    return committing


SERVER = os.environ.get("REMINT_TEST_REST", "")
"""Where a REST server of yours answers, to hold the suites on it too; it reaches the folders of this machine."""
KINDS: dict[str, Callable[..., Kind]] = {"delta": delta_in, "iceberg": iceberg_in}
