"""Connections: SQLite made durable and patient, one writer at a time, and driver errors in remint's own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Column, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from remint.disk import make_folder, sync
from remint.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly

T = TypeVar("T")

_FOR_WRITING = "remint_for_writing"
_MANY = 500  # bound values in one statement; SQLite once allowed 999
_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE of PostgreSQL

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
            return _sqlite(_file(parsed, root), busy_timeout_s)
        case "postgresql":
            return _postgresql(parsed, busy_timeout_s)
        case other:
            raise StoreError(f"the state database can be SQLite or PostgreSQL, not {other}")


def _file(url: URL, root: Path) -> Path:
    if not url.database or url.database == ":memory:":
        raise StoreError("the state database needs a file", hint="write it as sqlite:///.remint/state.db")
    path = root / url.database
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
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})

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


def _postgresql(url: URL, busy_timeout_s: float) -> Database:
    where = url.render_as_string(hide_password=True)
    patience = f"-c lock_timeout={int(busy_timeout_s * 1000)}"
    with in_own_words(where):
        return Database(create_engine(url, connect_args={"options": patience}), where)


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
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or getattr(cause, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
        return StoreBusy(
            f"another process is writing to the state database {where}",
            hint="try again when it has ended: remint status    # shows outstanding runs",
        )
    for prefix, (kind, said, hint) in _SAID_BY_SQLITE.items():
        if name.startswith(prefix):
            return kind(f"the state database {where} {said}", hint=hint)
    return StoreError(f"the state database {where} refused: {cause}")


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Cut ``values`` into lists short enough to be bound in one statement."""
    remaining = iter(values)
    while part := list(islice(remaining, _MANY)):
        yield part


def next_number(connection: Connection, column: Column[int]) -> int:
    """Return the number after the largest in ``column``; safe because the caller holds the write lock."""
    largest: int | None = connection.execute(select(func.max(column))).scalar_one()
    return (largest or 0) + 1
