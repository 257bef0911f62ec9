"""The state database for who only reads it: nothing is made, migrated or locked for writing, whoever it belongs to.

Rules: SQLite's own locks where we may take part in them. Who may not write to the file reads it as immutable while no
writer has it open, and every read proves afterwards that none came meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import NullPool

from remint.errors import NothingPublished, StoreError, StoreMoved
from remint.model.dataset import DatasetName
from remint.model.partition import PartitionKey
from remint.model.provenance import ProvenanceRecord, Release
from remint.model.run import Run
from remint.model.standing import Standing
from remint.store import schema
from remint.store.database import Database, in_own_words, sqlite_file
from remint.store.postgres import postgresql
from remint.store.sql_store import BUSY_TIMEOUT_S, SqlStore
from remint.store.values import Projection

_ATTEMPTS, _LOOKS = 20, 10
_SETTLED_S = 0.05
"""A file that changed within so long may change again without another time of change."""


def open_store_to_read(url: str, root: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> ReadingStore:
    """Return the store at ``url`` for reading alone.

    Args:
        url: SQLAlchemy URL; the path of a SQLite file is relative to ``root``.
        root: folder of the project.
        busy_timeout_s: how long to wait for a lock.

    Raises:
        NothingPublished: there is no state database yet.
        StoreNewer: a newer remint wrote it.
        StoreError: it cannot be opened, or an older remint wrote it.
    """
    with in_own_words(url.partition("://")[0]):
        parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        database: Database = _file_database(sqlite_file(parsed, root), busy_timeout_s)
    else:
        database = postgresql(parsed, busy_timeout_s)  # its readers are read only in themselves
    _patient(schema.require, database)
    return ReadingStore(database)


P = ParamSpec("P")
T = TypeVar("T")


def _patient(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the database answers, asking again while somebody writes to it under a reader without locks."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return ask(*args, **kwargs)
        except StoreMoved:
            time.sleep(_SETTLED_S)
    return ask(*args, **kwargs)


class ReadingStore(SqlStore):
    """A store that refuses every change; what only saves work later is not kept. What cuts ask for, it asks again."""

    def release(self, name: str | None = None) -> Release | None:
        return _patient(SqlStore.release, self, name)

    def releases(self) -> list[Release]:
        return _patient(SqlStore.releases, self)

    def records(
        self, dataset: DatasetName, keys: Collection[PartitionKey] | None = None, as_of_seq: int | None = None
    ) -> dict[PartitionKey, ProvenanceRecord]:
        return _patient(SqlStore.records, self, dataset, keys, as_of_seq)

    def expired(self, dataset: DatasetName) -> dict[str, str]:
        return _patient(SqlStore.expired, self, dataset)

    def run(self, run_id: str) -> Run:
        return _patient(SqlStore.run, self, run_id)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._refuse()
        yield  # type: ignore[unreachable]

    def _refuse(self) -> NoReturn:
        raise StoreError(f"the state database {self._database.where} is open for reading alone")

    def save_standings(self, found: Mapping[DatasetName, Standing]) -> None:
        del found

    def learn(self, found: Collection[Projection]) -> None:
        del found


@dataclass(frozen=True, slots=True)
class _FileDatabase(Database):
    """A SQLite file that we may write to or not."""

    path: Path
    as_it_lies: Engine
    """Reads the file alone, without its log and without locks."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that reads one state of the file.

        Raises:
            StoreMoved: at the end; the file was read without locks, and somebody wrote to it meanwhile.
        """
        if _takes_locks(self.path):
            try:
                with Database.reading(self) as connection:
                    yield connection
            except StoreError as error:
                if _may_write(self.path) or not _lacks_index(error):
                    raise
                raise self._moved() from error  # the last writer closed the database between our look and our read
            return
        before = _settled(self.path)
        try:
            with in_own_words(self.where), self.as_it_lies.connect() as connection:
                yield connection
        finally:
            if _takes_locks(self.path) or _state(self.path) != before:
                raise self._moved()

    def _moved(self) -> StoreMoved:
        return StoreMoved(
            f"somebody wrote to the state database {self.where} while it was read",
            hint="try again; with permission to write to the file, readers take part in its locks",
        )


def _file_database(path: Path, busy_timeout_s: float) -> _FileDatabase:
    if not path.exists():
        raise NothingPublished(f"there is no state database at {path}: nothing was published yet", hint="remint ingest")

    def connect(how: str) -> sqlite3.Connection:
        address = f"file:{quote(str(path))}?{how}"
        connection = sqlite3.connect(
            address, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    # No connection is kept: one that reads the file as it lies would not notice what changes in it.
    locked, as_it_lies = (
        create_engine("sqlite://", creator=partial(connect, how), poolclass=NullPool)
        for how in ("mode=ro", "mode=ro&immutable=1")
    )
    for engine in (locked, as_it_lies):
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return _FileDatabase(locked, str(path), path, as_it_lies)


def _takes_locks(path: Path) -> bool:
    """Return whether ``path`` can be read with SQLite's locks; else no writer has it open, and we may make no index.

    Raises:
        StoreError: a writer was killed, and what it left cannot be read without permission to write.
    """
    if _may_write(path):
        return True
    log, index, journal = (Path(f"{path}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    for _ in range(_LOOKS):
        if (index.exists() and log.exists()) or journal.exists():
            return True
        if not _size(log):
            return False
        time.sleep(_SETTLED_S)  # who is the last to close it takes the index away before the log
    raise StoreError(
        f"the state database {path} has a log that nobody finished, and no index of it that could be read",
        hint="remint status    # by somebody who may write to it; it finishes the log",
    )


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _lacks_index(error: StoreError) -> bool:
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return str(getattr(cause, "sqlite_errorname", "")).startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _settled(path: Path) -> tuple[int, int, int]:
    """Return the state of a file whose next change will show in it."""
    while True:
        found = _state(path)
        if abs(time.time() - found[2] / 1e9) > _SETTLED_S:
            return found
        time.sleep(_SETTLED_S)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
