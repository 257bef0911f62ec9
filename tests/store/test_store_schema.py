"""The format of the database: what the tables say is what the migrations make, and the log is append-only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, update
from store_values import a_run

import remint.store
from remint.errors import StoreError, StoreNewer
from remint.store import schema
from remint.store.migrations.upgrade import upgrade
from remint.store.sql_store import open_store
from remint.store.tables import APPEND_ONLY, metadata, schema_info

PACKAGE = Path(remint.store.__file__).parent
CHANGED = {"runs", "leases", "heads", "arrived", "tables_seen", "hashed_files"}


def shape(connection):
    """Return all that the database knows of its tables."""
    seen = inspect(connection)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(table)],
            seen.get_pk_constraint(table),
            sorted(map(str, seen.get_foreign_keys(table))),
            sorted(map(str, seen.get_indexes(table))),
            sorted(map(str, seen.get_unique_constraints(table))),
        )
        for table in sorted(seen.get_table_names())
    }


@pytest.fixture
def migrated():
    with create_engine("sqlite://").connect() as connection:
        upgrade(connection)
        yield connection


def test_migrations_from_nothing_make_what_the_tables_say(migrated):
    with create_engine("sqlite://").connect() as created:
        metadata.create_all(created)

        assert shape(migrated) == shape(created)


def test_alembic_finds_nothing_to_migrate(migrated):
    context = MigrationContext.configure(migrated, opts={"version_table": schema_info.name, "compare_type": True})

    assert compare_metadata(context, metadata) == []


def test_the_version_is_the_newest_migration(migrated):
    assert ScriptDirectory(str(PACKAGE / "migrations")).get_heads() == [schema.VERSION]
    assert migrated.execute(schema_info.select()).scalar_one() == schema.VERSION


def change_version(store, to):
    with store._database.writing() as connection:
        connection.execute(update(schema_info).values(version_num=to))


def test_an_older_database_is_migrated_and_keeps_its_rows(store, url, tmp_path, monkeypatch):
    store.create_run(a_run())
    ran = []
    monkeypatch.setattr(schema, "VERSION", "0999")
    monkeypatch.setattr("remint.store.migrations.upgrade.upgrade", lambda c: (upgrade(c), ran.append(c)))

    with open_store(url, tmp_path) as opened:
        assert opened.run("run-1") == a_run()
    assert len(ran) == 1


def test_a_newer_database_is_refused(store, url, tmp_path):
    change_version(store, "0999")

    with pytest.raises(StoreNewer, match="has format 0999; this remint knows formats up to"):
        open_store(url, tmp_path)


def test_a_database_migrated_under_an_open_store_is_not_written(store, rows_of):
    change_version(store, "0999")
    before = rows_of()

    with pytest.raises(StoreNewer):
        store.create_run(a_run())

    assert rows_of() == before


def test_a_database_without_a_version_is_refused(store, url, tmp_path):
    with store._database.writing() as connection:
        connection.execute(schema_info.delete())

    with pytest.raises(StoreError, match="has no version"):
        open_store(url, tmp_path)


def test_the_project_is_recorded(rows_of, store, tmp_path):
    assert rows_of()["projects"] == [(tmp_path.name, str(tmp_path))]


def changed_tables(source):
    """Return the names of the tables that statements in ``source`` update or delete from."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    built = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in {"update", "delete"}]
    methods = [c.func.value for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in {"update", "delete"}]
    named = [ast.unparse(c.args[0]) for c in built] + [ast.unparse(value) for value in methods]
    return {name.removeprefix("tables.") for name in named}


def test_no_statement_changes_what_is_append_only():
    sources = [path.read_text() for path in PACKAGE.glob("*.py")]
    changed = set().union(*(changed_tables(source) for source in sources)) & set(metadata.tables)

    assert changed == CHANGED
    assert not CHANGED & {table.name for table in APPEND_ONLY}
    assert not any(word in source for source in sources for word in ("DELETE ", "UPDATE ", "text("))


@pytest.mark.parametrize(
    "bad", ["update(ledger)", "delete(tables.ledger)", "ledger.delete()", "tables.ledger.update()"]
)
def test_the_append_only_rule_sees_every_spelling(bad):
    assert changed_tables(bad) == {"ledger"}
