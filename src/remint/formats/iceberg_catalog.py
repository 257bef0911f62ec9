"""Iceberg catalogs in SQL databases: tables committed as one, behind an exact comparison with what was loaded.

Rules (each from what the library does not do by itself):
- every file of a new table state is synced before the catalog names it, so that no loss of power tears a table;
- a commit is bound to the loaded state of every table; nothing here tries again;
- several tables change in one database transaction. pyiceberg has no public call for it:
  ``tests/formats/test_iceberg_catalog.py`` notices when the private ones change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from remint.disk import make_folder, sync

if TYPE_CHECKING:
    from pyiceberg.table import StagedTable, Transaction
    from pyiceberg.table import Table as IcebergTable

Identifier = tuple[str, ...]
_SQLITE = "sqlite:///"
_FILE = re.compile(r"^file:(//)?")
"""Hadoop names a file of this machine with one slash, others with three."""
_FILE_IO = "pyiceberg.io.fsspec.FsspecFileIO"
"""Reads and writes metadata without Arrow's data sets, whose import takes seconds."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to become of one table."""

    transaction: Transaction
    """Built on the table as it was loaded; not committed."""
    written: tuple[str, ...]
    """Files that it names and that were written for it."""

    @property
    def table(self) -> IcebergTable:
        """The table as it was loaded."""
        return self.transaction._table


def opened(name: str, url: str) -> SqlCatalog:
    """Return the catalog; one that is not there yet is made."""
    if url.startswith(_SQLITE):
        make_folder(Path(url.removeprefix(_SQLITE)).parent)
    return SqlCatalog(name, **{"uri": url, "py-io-impl": _FILE_IO})


def create_table(
    catalog: SqlCatalog,
    identifier: Identifier,
    schema: Schema,
    spec: PartitionSpec,
    location: str,
    /,
    **properties: str,
) -> None:
    """Create a table, empty and durable.

    Raises:
        TableAlreadyExistsError: somebody was faster.
    """
    _make_namespace(catalog, identifier[:-1])
    metadata = new_table_metadata(schema, spec, UNSORTED_SORT_ORDER, location, {"format-version": "2"})
    place = f"{location}/metadata/00000-{metadata.table_uuid}.metadata.json"
    catalog._write_metadata(metadata, catalog._load_file_io(location=place), place)
    _sync([place])
    catalog.register_table(identifier, place)


def _make_namespace(catalog: SqlCatalog, namespace: Identifier) -> None:
    try:
        catalog.create_namespace_if_not_exists(namespace)
    except Exception:
        if not catalog.namespace_exists(namespace):  # somebody else may have made it between the look and the insert
            raise


def commit(catalog: SqlCatalog, changes: Sequence[Pending]) -> None:
    """Commit the changes, all of them or none.

    Raises:
        CommitFailedException: one of the tables is not as it was loaded; none is changed.
    """
    staged = [_staged(catalog, change) for change in changes]
    _sync([place for change in changes for place in change.written] + [s.metadata_location for s in staged])
    rows: Any = IcebergTables.__table__
    with catalog.engine.begin() as connection:
        for change, after in zip(changes, staged, strict=True):
            *namespace, name = change.table.name()
            moved = connection.execute(
                rows.update()
                .where(
                    IcebergTables.catalog_name == catalog.name,
                    IcebergTables.table_namespace == ".".join(namespace),
                    IcebergTables.table_name == name,
                    IcebergTables.metadata_location == change.table.metadata_location,
                )
                .values(
                    metadata_location=after.metadata_location,
                    previous_metadata_location=change.table.metadata_location,
                )
            )
            if moved.rowcount != 1:
                raise CommitFailedException(f"{name} was changed meanwhile")


def _staged(catalog: SqlCatalog, change: Pending) -> StagedTable:
    transaction = change.transaction
    staged = catalog._update_and_stage_table(
        change.table, change.table.name(), transaction._requirements, transaction._updates
    )
    catalog._write_metadata(staged.metadata, staged.io, staged.metadata_location)
    return staged


def _sync(places: Sequence[str]) -> None:
    """Make local files durable, with the folders that name them; an object store has made its own so."""
    local = [Path(_FILE.sub("", place)) for place in places if "://" not in place or place.startswith("file:")]
    for path in local:
        sync(path)
    for folder in {path.parent for path in local}:
        sync(folder)
