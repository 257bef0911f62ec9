"""Catalogs of Iceberg tables: what names a table's newest state, and takes another one in its place.

Rules:
- a commit is bound to the loaded state of every table; nothing here sends it again, because whoever compared the state
  has to compare anew, and to look whether one that was not answered is there;
- local files of a new state are synced before the catalog names it, so that no loss of power tears a table;
- what a catalog is given beyond its address, credentials above all, is read by pyiceberg from its own configuration.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table.update import AssertCurrentSchemaId, AssertDefaultSpecId, AssertTableUUID
from pyiceberg.utils.config import Config

from remint.disk import sync
from remint.errors import CatalogRefused, CatalogUnavailable, RemintError

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyiceberg.table.update import TableRequirement

    from remint.storage.base import Storage

Identifier = tuple[str, ...]
_FILE = re.compile(r"^file:(//)?")
"""Hadoop names a file of this machine with one slash, others with three."""
Library = TypeVar("Library", bound=Catalog)
FILE_IO = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}
"""Reads and writes metadata without Arrow's data sets, whose import takes seconds."""
_PATIENCE = 5
"""Commits in a row that are not answered before a catalog counts as unavailable."""
_PAUSE_S = 0.2
TABLE_PROPERTIES = {"format-version": "2"}


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

    @property
    def requirements(self) -> tuple[TableRequirement, ...]:
        """What must hold of the table still, beside the newest snapshot: its identity, columns and cut."""
        metadata = self.table.metadata
        always = (
            AssertTableUUID(uuid=metadata.table_uuid),
            AssertCurrentSchemaId.model_validate({"current-schema-id": metadata.current_schema_id}),
            AssertDefaultSpecId.model_validate({"default-spec-id": metadata.default_spec_id}),
        )
        return tuple({repr(r): r for r in (*always, *self.transaction._requirements)}.values())


class IcebergCatalog(ABC, Generic[Library]):
    """Tables of one catalog, committed to one by one: what every catalog of pyiceberg can do."""

    unreachable: ClassVar[tuple[type[Exception], ...]] = ()
    """What is raised when the catalog does not answer, or says that it cannot now."""
    refused: ClassVar[tuple[type[Exception], ...]] = ()
    """What is raised when it does not do what it is asked."""

    def __init__(self, name: str, url: str, warehouse: str = "") -> None:
        """Bind a catalog; it is opened when a table is first asked for."""
        self.name, self.url, self.warehouse = name, url, warehouse
        self.storage: Storage | None = None
        """Where the tables lie; None: pyiceberg reaches them by itself."""
        self._unanswered = 0

    @abstractmethod
    def _open(self) -> Library:
        """Return the catalog as pyiceberg knows it."""

    @cached_property
    def library(self) -> Library:
        """The catalog as pyiceberg knows it.

        Raises:
            CatalogUnavailable, CatalogRefused: it is not there, or lets nobody in.
        """
        with self._answering():
            try:
                return self._open()
            except ImportError as error:
                raise not_installed(self.name, error, "glue") from error

    @property
    def absent(self) -> str:
        """In words what shows that a table is not there."""
        return f"catalog {self.name} does not name it"

    @property
    def commits_together(self) -> bool:
        """Whether ``commit`` takes changes of several tables."""
        return False

    def load(self, identifier: Identifier) -> IcebergTable:
        """Return a table as it is named now.

        Raises:
            NoSuchTableError, NoSuchNamespaceError: it names none.
            CatalogUnavailable, CatalogRefused: it does not say.
        """
        with self._answering():
            return self.library.load_table(identifier)

    def create(self, identifier: Identifier, schema: Schema, spec: PartitionSpec, location: str) -> None:
        """Create a table, empty.

        Raises:
            TableAlreadyExistsError: somebody was faster.
        """
        self.make_namespace(identifier[:-1])
        with self._answering():
            self.library.create_table(identifier, schema, location, spec, properties=TABLE_PROPERTIES)

    def commit(self, changes: Sequence[Pending]) -> bool:
        """Commit the changes: all or none of several where ``commits_together``, else at most one is given.

        Returns:
            Whether it did. Else a table is not as it was loaded, or no answer came: whoever asks must look again.

        Raises:
            CatalogUnavailable: no answer came, again and again.
        """
        try:
            self._send(changes)
        except CommitFailedException:
            self._unanswered = 0
            return False
        except CommitStateUnknownException as error:
            self._unanswered += 1
            if self._unanswered % _PATIENCE == 0:
                raise self._unavailable(error) from error
            time.sleep(_PAUSE_S * self._unanswered)
            return False
        self._unanswered = 0
        return True

    def _send(self, changes: Sequence[Pending]) -> None:
        """Ask for the commit, once.

        Raises:
            CommitFailedException: one of the tables is not as it was loaded; none is changed.
            CommitStateUnknownException: no answer came; it may be committed.
        """
        sync_local([place for change in changes for place in change.written])
        for change in changes:
            with self._answering(is_commit=True):
                self.library.commit_table(change.table, change.requirements, change.transaction._updates)

    def make_namespace(self, namespace: Identifier) -> None:
        """Make a namespace, unless it is there."""
        with self._answering():
            try:
                self.library.create_namespace_if_not_exists(namespace)
            except Exception:
                # Somebody else may have made it between the look and the insert.
                if not self.library.namespace_exists(namespace):
                    raise

    def places(self, identifier: Identifier) -> tuple[str, str]:
        """Return which file is named as a table's state, and which as the one before; empty where that is not told."""
        del identifier
        return "", ""

    def point_to(self, identifier: Identifier, before: str, place: str) -> None:
        """Name an earlier state of a table, if ``before`` is named still.

        Raises:
            CommitFailedException: another one is named by now.
            CatalogRefused: this catalog lets nobody do so.
        """
        raise CatalogRefused(f"catalog {self.name}: it does not let {identifier[-1]} be set from {before} to {place}")

    def forget(self, identifier: Identifier, before: str) -> None:
        """Name a table no more, if ``before`` is named as its state still; its files stay.

        Raises:
            CommitFailedException: another one is named by now.
            CatalogRefused: it lets nobody do so.
        """
        if self.places(identifier)[0] != before:
            raise CommitFailedException(f"{identifier[-1]} was changed meanwhile")
        with self._answering():
            self.library.drop_table(identifier)

    @contextmanager
    def _answering(self, *, is_commit: bool = False) -> Iterator[None]:
        """Say in remint's words what the catalog refuses; who was asked to commit may have done so nevertheless."""
        try:
            yield
        except CommitStateUnknownException:
            raise
        except self.unreachable as error:
            if (refused := self._refused_by_machine(error)) is not None:
                raise refused from error
            if is_commit:
                raise CommitStateUnknownException(self._said(error)) from error
            raise self._unavailable(error) from error
        except self.refused as error:
            raise CatalogRefused(
                f"catalog {self.name}: it refuses: {_line(error)}",
                hint="check [catalog] in remint.toml, and the credentials in pyiceberg's own configuration",
            ) from error

    def _refused_by_machine(self, error: Exception) -> RemintError | None:
        """Return what this machine refused, where the catalog lies on it."""
        del error
        return None

    def _said(self, error: Exception) -> str:
        """Return in words why no answer came."""
        return _line(error)

    def _unavailable(self, error: Exception) -> CatalogUnavailable:
        """Return what is raised when the catalog goes on not to answer."""
        return CatalogUnavailable(
            f"catalog {self.name}: it does not answer: {self._said(error)}",
            hint="once it answers: remint status    # what is outstanding, and the command that goes on",
        )


def not_installed(name: str, error: ImportError, extra: str) -> CatalogRefused:
    """Return what is raised when a package is missing, with what brings it."""
    return CatalogRefused(
        f"catalog {name}: it needs {error.name}, which is not installed", hint=f'pip install "remint[{extra}]"'
    )


def configured(name: str, **said: str) -> dict[str, Any]:
    """Return what pyiceberg's own configuration says of a catalog, and what the project says of it, which counts."""
    return {**(Config().get_catalog_config(name) or {}), **FILE_IO, **{k: v for k, v in said.items() if v}}


def sync_local(places: Sequence[str]) -> None:
    """Make local files durable, with the folders that name them and those; an object store has made its own so."""
    local = [Path(_FILE.sub("", place)) for place in places if "://" not in place or place.startswith("file:")]
    for path in local:
        sync(path)
    for folder in {folder for path in local for folder in (path.parent, path.parent.parent)}:
        sync(folder)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
