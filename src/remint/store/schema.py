"""The version of the state database: made at first use, brought up when older, refused when newer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, inspect, select

from remint.errors import NothingPublished, StoreError, StoreNewer
from remint.store.database import Database
from remint.store.tables import metadata, projects, schema_info

VERSION: Final = "0003"
"""Newest revision in ``migrations/versions``; revisions are numbers of four digits, so they compare as text."""


def prepare(database: Database, root: Path) -> None:
    """Make the database ready for use: create its tables when it is empty, migrate it when it is older.

    An upgrade is one transaction: a process that dies in it leaves the older format, and the next one upgrades.

    Raises:
        StoreNewer: a newer remint wrote it; it is left as it is.
    """
    with database.reading() as connection:
        found = _version(connection)
    if found == VERSION:
        return
    if found is None:
        with database.changing_tables() as connection:
            _create(connection, root)
        return
    _refuse_newer(found, database.where)
    with database.changing_tables() as connection:
        if _version(connection) == found:  # else another process was faster
            database.keep_copy(f"before-{VERSION}")
            _upgrade(connection)


def require(database: Database) -> None:
    """Refuse a database that cannot be read as it is; nothing is made or migrated.

    Raises:
        NothingPublished: it is empty.
        StoreNewer: a newer remint wrote it.
        StoreError: an older remint wrote it.
    """
    with database.reading() as connection:
        found = _version(connection)
    if found is None:
        raise NothingPublished(f"the state database {database.where} is empty: nothing was published yet")
    _refuse_newer(found, database.where)
    if found < VERSION:
        raise StoreError(
            f"the state database {database.where} has format {found}; a reader migrates nothing to format {VERSION}",
            hint="remint status    # by somebody who may write to it; it migrates the database",
        )


def lock(connection: Connection, where: str) -> None:
    """Become the only writer until the transaction ends, on every database, and only on the version we know.

    Raises:
        StoreNewer: a newer remint migrated the database while this process had it open.
    """
    found = connection.execute(select(schema_info.c.version_num).with_for_update()).scalar_one()
    _refuse_newer(found, where)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema_info.name):
        return None
    found: str | None = connection.execute(select(schema_info.c.version_num)).scalar_one_or_none()
    if found is None:
        raise StoreError("the state database has no version; it was not written by remint")
    return found


def _refuse_newer(found: str, where: str) -> None:
    if found > VERSION:
        raise StoreNewer(
            f"the state database {where} has format {found}; this remint knows formats up to {VERSION}",
            hint="pip install --upgrade remint",
        )


def _create(connection: Connection, root: Path) -> None:
    if _version(connection) is not None:
        return  # another process was faster
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(schema_info), {"version_num": VERSION})
    connection.execute(insert(projects), {"name": root.name, "root": str(root)})


def _upgrade(connection: Connection) -> None:
    from remint.store.migrations.upgrade import upgrade  # noqa: PLC0415 - importing Alembic takes most of a second

    upgrade(connection)
