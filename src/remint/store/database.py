"""Connections: SQLite made durable and patient, one writer at a time, and driver errors in remint's own words."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Column, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from remint.disk import make_folder, sync
from remint.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnreachable

T = TypeVar("T")

_FOR_WRITING = "remint_for_writing"
_BY_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_MANY = 500  # bound values in one statement; SQLite once allowed 999
_ROOM = 64 << 10  # bytes; SQLite makes a file of half of that beside a database
_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE of PostgreSQL, as those below
_LOST = ("08", "57P0")
"""Beginnings of what says that the server went away."""

_AGAIN = "remint status    # what is outstanding, and the command that goes on"
_SAID_BY_SQLITE: dict[str, tuple[type[StoreError], str, str]] = {
    "SQLITE_CANTOPEN": (
        StoreReadOnly,
        "cannot be opened; its folder is missing or not permitted, or it is not a file",
        f"put that right, then: {_AGAIN}",
    ),
    "SQLITE_READONLY": (StoreReadOnly, "is read-only", f"give this user the right to write it, then: {_AGAIN}"),
    "SQLITE_PERM": (StoreReadOnly, "is not permitted", f"give this user the right to write it, then: {_AGAIN}"),
    "SQLITE_NOTADB": (StoreError, "is not a SQLite database", "restore it, or name another one in [store] url"),
    "SQLITE_CORRUPT": (StoreError, "is damaged", "restore it from a backup, then: remint doctor"),
    "SQLITE_FULL": (StoreFull, "cannot grow; the disk is full", f"make room, then: {_AGAIN}"),
    "SQLITE_IOERR": (
        StoreError,
        "cannot be read or written; the disk reports an error",
        f"mend the cause, then: {_AGAIN}",
    ),
    "SQLITE_NOMEM": (StoreError, "needs more memory than there is", f"free some, then: {_AGAIN}"),
}
_SAID_BY_POSTGRES = {
    "25006": "is read-only",
    "42501": "is not permitted",
    "53100": "cannot grow; the disk is full",
    "53300": "has no connection left",
}


@dataclass(frozen=True, slots=True)
class Database:
    """One state database, with the name it has in messages."""

    engine: Engine
    where: str
    """Path, or URL without its password."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that begins by reading and changes nothing."""
        with in_own_words(self.where), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end, or undone when the body raises."""
        with in_own_words(self.where), self.engine.connect() as connection:
            writer = connection.execution_options(**{_FOR_WRITING: True})
            with writer.begin():
                yield writer

    def keep_copy(self, suffix: str) -> None:
        """Copy what is there beside it, under its name and ``suffix``; the caller holds the write lock."""
        copy = Path(f"{self.where}.{suffix}")
        part = Path(f"{copy}.part")
        part.unlink(missing_ok=True)
        with in_own_words(str(part)), closing(sqlite3.connect(self.where)) as source:
            with closing(sqlite3.connect(part)) as target:
                source.backup(target)
            sync(part)
            part.replace(copy)
            sync(copy.parent)

    @contextmanager
    def changing_tables(self) -> Iterator[Connection]:
        """Give a connection as ``writing`` does, to one process at a time."""
        with self.writing() as connection:
            yield connection


def connect_to(url: str, root: Path, busy_timeout_s: float) -> Database:
    """Return the database at ``url``; nothing is opened yet, but the folder of a SQLite file is made.

    Args:
        url: SQLAlchemy URL; the path of a SQLite file is relative to ``root``.
        root: folder of the project.
        busy_timeout_s: how long to wait for another writer.

    Raises:
        StoreError: the URL names no database that remint can use, or its folder cannot be made.
    """
    with in_own_words(url.partition("://")[0]):
        parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(_made_file(parsed, root), busy_timeout_s)
        case "postgresql":
            from remint.store.postgres import postgresql  # noqa: PLC0415 - it is made of what is below

            return postgresql(parsed, busy_timeout_s)
        case other:
            raise StoreError(f"the state database can be SQLite or PostgreSQL, not {other}")


def sqlite_file(url: URL, root: Path) -> Path:
    """Return the file of a SQLite database; nothing is made."""
    if not url.database or url.database == ":memory:":
        raise StoreError("the state database needs a file", hint="write it as sqlite:///.remint/state.db")
    return root / url.database


def _made_file(url: URL, root: Path) -> Path:
    path = sqlite_file(url, root)
    try:
        make_folder(path.parent)
        if not path.exists():
            sync(path.parent.parent)
    except OSError as error:
        raise StoreReadOnly(
            f"the folder of the state database {path} cannot be made: {error.strerror}",
            hint="give this user the right to write there, or make room; then type the command again",
        ) from error
    return path


def _sqlite(path: Path, busy_timeout_s: float) -> Database:
    url = URL.create("sqlite", database=str(path))
    # A connection to a file that may not be written opens what its process shares with SQLite read-only, for every
    # later one too: none is kept, so that whoever gets the right to write can.
    kept = NullPool if path.exists() and not os.access(path, os.W_OK, effective_ids=_BY_EFFECTIVE_IDS) else QueuePool
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s}, poolclass=kept)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Readers then go on while somebody writes. The file remembers it, so whoever is busy now may leave it.
        with suppress(sqlite3.OperationalError):
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that turns writer half-way could not wait for another one.
        for_writing = connection.get_execution_options().get(_FOR_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if for_writing else "BEGIN")

    return Database(engine, str(path))


@contextmanager
def in_own_words(where: str) -> Iterator[None]:
    """Turn what drivers and SQLAlchemy raise into ``StoreError`` and ``StoreBusy``."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, ModuleNotFoundError) as error:
        raise _explained(where, error) from error


def _explained(where: str, error: Exception) -> StoreError:
    cause = getattr(error, "orig", None) or error
    name = str(getattr(cause, "sqlite_errorname", None) or "")
    state = str(getattr(cause, "sqlstate", None) or "")
    if isinstance(error, ModuleNotFoundError):
        return StoreError(f"the state database {where} needs {error.name}", hint="pip install 'remint[postgres]'")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state == _LOCK_NOT_AVAILABLE:
        return StoreBusy(
            f"another process is writing to the state database {where}",
            hint="try again when it has ended: remint status    # shows outstanding runs",
        )
    if name.startswith("SQLITE_IOERR") and _is_full(Path(where)):
        name = "SQLITE_FULL"  # the file beside the database that its readers share could not be made
    for prefix, (kind, said, hint) in _SAID_BY_SQLITE.items():
        if name.startswith(prefix):
            return kind(f"the state database {where} {said}", hint=hint)
    if state in _SAID_BY_POSTGRES:
        return StoreError(f"the state database {where} {_SAID_BY_POSTGRES[state]}")
    words = " ".join(str(cause).split())
    if isinstance(error, OperationalError) and not name and (not state or state.startswith(_LOST)):
        return StoreUnreachable(
            f"the state database {where} cannot be reached: {words}",
            hint="see that [store] url is right and that the server runs; then: remint status",
        )
    return StoreError(f"the state database {where} refused: {words}")


def _is_full(file: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(file.parent).free < _ROOM
    return False


def damage(connection: Connection) -> list[str]:
    """Return in words what the database finds wrong with itself; PostgreSQL keeps that to its own tools."""
    if connection.dialect.name != "sqlite":
        return []
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
    found = [] if found == ["ok"] else found
    return found + [
        f"{row[0]}: a row refers to none of {row[2]}"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(20)
    ]


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Cut ``values`` into lists short enough to be bound in one statement."""
    remaining = iter(values)
    while part := list(islice(remaining, _MANY)):
        yield part


def next_number(connection: Connection, column: Column[int]) -> int:
    """Return the number after the largest in ``column``; safe because the caller holds the write lock."""
    largest: int | None = connection.execute(select(func.max(column))).scalar_one()
    return (largest or 0) + 1
