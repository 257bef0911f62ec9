"""Iceberg catalogs in SQL databases: tables committed as one, behind an exact comparison with what was loaded.

Several tables change in one database transaction. pyiceberg has no public call for it: ``tests/formats`` notices when
the private ones change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from sqlalchemy import NullPool, create_engine, event, make_url
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
from remint.formats.iceberg_io import STORAGE, LakeIO

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import StagedTable
    from pyiceberg.table import Table as IcebergTable


class SqlTables(IcebergCatalog[SqlCatalog]):
    """Tables named in an SQL database; where it is a file that is not there, whoever first makes a table makes it."""

    unreachable = (DBAPIError,)

    def _open(self) -> SqlCatalog:
        if self._file is not None:
            make_folder(self._file.parent)
        said: dict[str, Any] = {"uri": self.url, **FILE_IO}
        if self.storage is not None:
            said |= {"py-io-impl": f"{LakeIO.__module__}.{LakeIO.__name__}", STORAGE: self.storage}
        catalog = SqlCatalog(self.name, **said)
        catalog.engine.dispose()
        # A connection for each question: none that is kept goes stale with its server, and none is left open.
        catalog.engine = create_engine(self.url, poolclass=NullPool)
        if make_url(self.url).get_backend_name() == "sqlite":
            # SQLite ends a transaction by removing its journal. By default that name is not synced, and a journal that
            # a loss of power brings back undoes what was committed.
            event.listen(catalog.engine, "connect", lambda found, _: found.execute("PRAGMA synchronous = EXTRA"))
        return catalog

    @property
    def absent(self) -> str:
        """In words what shows that a table is not there."""
        return super().absent if self._is_there else f"the database of catalog {self.name} is not there: {self.url}"

    @property
    def _is_there(self) -> bool:
        return self._file is None or self._file.exists()

    @cached_property
    def _file(self) -> Path | None:
        """Where the database is a file of this machine, that; a URI of SQLite's own is left to it."""
        parsed = make_url(self.url)
        is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
        name = str(parsed.database)
        return Path(name) if is_file and not name.startswith("file:") else None

    def load(self, identifier: Identifier) -> IcebergTable:
        """Return a table as it is named now; nothing is made.

        Raises:
            NoSuchTableError, NoSuchNamespaceError: it names none, or is not there.
            CatalogUnavailable, CatalogRefused: it does not say.
        """
        if not self._is_there:
            raise NoSuchTableError(self.absent)
        return super().load(identifier)

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
                name, before = change.table.name(), change.table.metadata_location
                moved = connection.execute(
                    rows.update()
                    .where(*self._is(name), IcebergTables.metadata_location == before)
                    .values(metadata_location=after.metadata_location, previous_metadata_location=before)
                )
                if moved.rowcount != 1:
                    raise CommitFailedException(f"{name[-1]} was changed meanwhile")

    def places(self, identifier: Identifier) -> tuple[str, str]:
        """Return which file is named as a table's state, and which as the one before; empty where there is none."""
        if not self._is_there:
            return "", ""
        rows: Any = IcebergTables.__table__
        with self._answering(), self.library.engine.connect() as connection:
            found = connection.execute(rows.select().where(*self._is(identifier))).mappings().first()
        return (found["metadata_location"] or "", found["previous_metadata_location"] or "") if found else ("", "")

    def point_to(self, identifier: Identifier, before: str, place: str) -> None:
        """Name an earlier state of a table, if ``before`` is named still.

        Raises:
            CommitFailedException: another one is named by now.
        """
        rows: Any = IcebergTables.__table__
        with self._answering(), self.library.engine.begin() as connection:
            named = IcebergTables.metadata_location == before
            query = rows.update().where(*self._is(identifier), named).values(metadata_location=place)
            if connection.execute(query).rowcount != 1:
                raise CommitFailedException(f"{identifier[-1]} was changed meanwhile")

    def forget(self, identifier: Identifier, before: str) -> None:
        """Name a table no more, if ``before`` is named as its state still; its files stay.

        Raises:
            CommitFailedException: another one is named by now.
        """
        rows: Any = IcebergTables.__table__
        with self._answering(), self.library.engine.begin() as connection:
            query = rows.delete().where(*self._is(identifier), IcebergTables.metadata_location == before)
            if connection.execute(query).rowcount != 1:
                raise CommitFailedException(f"{identifier[-1]} was changed meanwhile")

    def _is(self, identifier: Identifier) -> tuple[Any, ...]:
        return (
            IcebergTables.catalog_name == self.library.name,
            IcebergTables.table_namespace == ".".join(identifier[:-1]),
            IcebergTables.table_name == identifier[-1],
        )

    def _refused_by_machine(self, error: Exception) -> RemintError | None:
        return machine_failure(error) if self._file is not None else None

    def _staged(self, change: Pending) -> StagedTable:
        transaction = change.transaction
        staged = self.library._update_and_stage_table(
            change.table, change.table.name(), transaction._requirements, transaction._updates
        )
        self.library._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        return staged
