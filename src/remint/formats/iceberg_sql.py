"""Iceberg catalogs in SQL databases: tables committed as one, behind an exact comparison with what was loaded.

Several tables change in one database transaction. pyiceberg has no public call for it: ``tests/formats`` notices when
the private ones change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from remint.disk import make_folder
from remint.errors import RemintError
from remint.failures import machine_failure
from remint.formats.iceberg_catalog import (
    FILE_IO,
    TABLE_PROPERTIES,
    IcebergCatalog,
    Identifier,
    Pending,
    sync_local,
)

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import StagedTable

_SQLITE = "sqlite:///"


class SqlTables(IcebergCatalog[SqlCatalog]):
    """Tables named in an SQL database, which is made where it is a file that is not there."""

    unreachable = (DBAPIError,)

    def _open(self) -> SqlCatalog:
        if self.url.startswith(_SQLITE):
            make_folder(Path(self.url.removeprefix(_SQLITE)).parent)
        catalog = SqlCatalog(self.name, **{"uri": self.url, **FILE_IO})
        catalog.engine.dispose()
        # A connection for each question: none that is kept goes stale with its server, and none is left open.
        catalog.engine = create_engine(self.url, poolclass=NullPool)
        return catalog

    @property
    def commits_together(self) -> bool:
        """Whether ``commit`` takes changes of several tables."""
        return True

    def create(self, identifier: Identifier, schema: Schema, spec: PartitionSpec, location: str) -> None:
        """Create a table, empty and durable.

        Raises:
            TableAlreadyExistsError: somebody was faster.
        """
        metadata = new_table_metadata(schema, spec, UNSORTED_SORT_ORDER, location, TABLE_PROPERTIES)
        place = f"{location}/metadata/00000-{metadata.table_uuid}.metadata.json"
        self.library._write_metadata(metadata, self.library._load_file_io(location=place), place)
        sync_local([place])
        self.make_namespace(identifier[:-1])
        with self._answering():
            self.library.register_table(identifier, place)

    def _send(self, changes: Sequence[Pending]) -> None:
        """Ask for the commit of all changes or none.

        Raises:
            CommitFailedException: one of the tables is not as it was loaded; none is changed.
            CommitStateUnknownException: the database did not say whether it committed.
        """
        staged = [self._staged(change) for change in changes]
        sync_local([place for change in changes for place in change.written] + [s.metadata_location for s in staged])
        rows: Any = IcebergTables.__table__
        with self._answering(is_commit=True), self.library.engine.begin() as connection:
            for change, after in zip(changes, staged, strict=True):
                *namespace, name = change.table.name()
                moved = connection.execute(
                    rows.update()
                    .where(
                        IcebergTables.catalog_name == self.library.name,
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

    def _refused_by_machine(self, error: Exception) -> RemintError | None:
        return machine_failure(error) if self.url.startswith(_SQLITE) else None

    def _staged(self, change: Pending) -> StagedTable:
        transaction = change.transaction
        staged = self.library._update_and_stage_table(
            change.table, change.table.name(), transaction._requirements, transaction._updates
        )
        self.library._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        return staged
