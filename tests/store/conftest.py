"""The store on every database that the contract is run on."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import create_engine, text

from remint.store.sql_store import open_store
from remint.store.tables import metadata, schema_info

SQLITE = "sqlite:///.remint/state.db"
POSTGRES = os.environ.get("REMINT_TEST_POSTGRES_URL")
"""An empty database; where it names one, every test of the contract runs on it too."""


@pytest.fixture(params=[SQLITE, POSTGRES] if POSTGRES else [SQLITE])
def url(request):
    where = request.param
    if where == SQLITE:
        return where
    engine = create_engine(where)
    with engine.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f'DROP TABLE IF EXISTS "{table}" CASCADE'))
    engine.dispose()
    assert schema_info.name in metadata.tables
    return where


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
