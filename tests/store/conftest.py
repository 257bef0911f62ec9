"""The store on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from tests.databases import SQLITE

from remint.store.sql_store import open_store
from remint.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgres"])
def url(request):
    """Where a new state database is to be made."""
    if request.param == "sqlite":
        yield SQLITE
        return
    server = request.getfixturevalue("postgres")
    name = server.new_database()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def store(url, tmp_path):
    with open_store(url, tmp_path) as opened:
        yield opened


@pytest.fixture
def rows_of(url, tmp_path):
    """Return every row of every table, to show that nothing was changed."""

    def read():
        where = url if not url.startswith("sqlite") else f"sqlite:///{tmp_path / '.remint/state.db'}"
        engine = create_engine(where)
        with engine.connect() as connection:
            found = {name: connection.execute(table.select()).all() for name, table in metadata.tables.items()}
        engine.dispose()
        return found

    return read
