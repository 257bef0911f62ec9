"""PostgreSQL: connections that outlive a restart, one snapshot a reader, and commits whose answer was lost.

Rules: nothing is sent twice. A write whose commit got no answer is looked up by the number of its transaction; it is
done, or nothing of it is there, and where neither can be found out the error says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from remint.errors import OutcomeUnknown, StoreError, StoreUnreachable
from remint.store.database import Database, in_own_words

_DRIVER = "postgresql+psycopg"
_ONE_AT_A_TIME = 7238  # an advisory lock of our own: who makes or upgrades tables holds it
_RETRY_S = 0.1
_SECRETS = frozenset({"password", "sslpassword", "passfile"})
_NETWORK = {
    "connect_timeout": 10,
    # A server that vanished without a word is noticed in half a minute, not in hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


@dataclass(frozen=True, slots=True)
class PostgresDatabase(Database):
    """A state database on PostgreSQL 13 or newer."""

    patience_s: float
    """How long to wait for a lock, for the server to come back, and for the outcome of a commit."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection whose statements all see one state of the database."""
        with in_own_words(self.where), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end, or undone when the body raises.

        Raises:
            StoreUnreachable: the connection was lost; nothing was written.
            OutcomeUnknown: it was lost while the transaction was committed, and the server did not come back.
        """
        with in_own_words(self.where), self.engine.connect() as connection:
            transaction = connection.begin()
            try:
                number: int = connection.execute(select(func.txid_current())).scalar_one()
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as lost:
                if not lost.connection_invalidated:
                    raise
                self._settle(number, lost)

    def keep_copy(self, suffix: str) -> None:
        """Copy nothing: a server is backed up by whoever runs it."""

    @contextmanager
    def changing_tables(self) -> Iterator[Connection]:
        """Give a connection as ``writing`` does, to one process at a time."""
        with self.writing() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            yield connection

    def _settle(self, number: int, lost: DBAPIError) -> None:
        """Return when the transaction was committed.

        Raises:
            StoreUnreachable: it was not, and will not be.
            OutcomeUnknown: nobody could say.
        """
        try:
            status = self._status(number)
        except (DBAPIError, StoreError) as error:
            raise self._unknown(error) from lost
        if status == "aborted":
            words = "was lost before what was written was committed: nothing of it is there"
            raise StoreUnreachable(f"the connection to the state database {self.where} {words}") from lost
        if status != "committed":
            raise self._unknown(lost) from lost

    def _status(self, number: int) -> str | None:
        deadline = time.monotonic() + self.patience_s
        while True:
            with self.engine.connect() as connection:
                status: str | None = connection.execute(select(func.txid_status(number))).scalar_one()
            if status != "in progress" or time.monotonic() >= deadline:
                return status
            time.sleep(_RETRY_S)

    def _unknown(self, error: Exception) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the connection to the state database {self.where} was lost while it committed, and it does not answer: "
            f"{one_line(error)}",
            hint="when it answers: remint status    # shows what is outstanding; resume looks up what was recorded",
        )


def postgresql(url: URL, patience_s: float) -> PostgresDatabase:
    """Return the database at ``url``; nothing is opened yet.

    Raises:
        StoreError: the URL names another driver, or the driver is not installed.
    """
    shown = url.set(query={name: value for name, value in url.query.items() if name not in _SECRETS})
    where = shown.render_as_string(hide_password=True)
    if url.drivername not in ("postgresql", _DRIVER):
        raise StoreError(f"the driver of {where} is not psycopg", hint=f"write [store] url as {_DRIVER}://...")
    options: dict[str, Any] = {name: value for name, value in _NETWORK.items() if name not in url.query}
    own = url.query.get("options", "")
    options["options"] = f"{own if isinstance(own, str) else ' '.join(own)} -c lock_timeout={int(patience_s * 1000)}"
    with in_own_words(where):
        engine = create_engine(url.set(drivername=_DRIVER), connect_args=options, pool_pre_ping=True)
    _wait_for_a_server_that_was_there(engine, patience_s)
    return PostgresDatabase(engine, where, patience_s)


def _wait_for_a_server_that_was_there(engine: Engine, patience_s: float) -> None:
    """Try to connect again for a while, once a first connection was made: connecting has no effect to be repeated."""
    was_there = False

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _entry: ConnectionPoolEntry, given: list[Any], options: dict[str, Any]) -> Any:
        nonlocal was_there
        deadline = time.monotonic() + patience_s
        while True:
            try:
                made = dialect.connect(*given, **options)
            except dialect.loaded_dbapi.OperationalError:
                if not was_there or time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_S)
            else:
                was_there = True
                return made


def one_line(error: Exception) -> str:
    """Return what a driver says, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
