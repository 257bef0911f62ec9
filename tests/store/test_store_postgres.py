"""PostgreSQL alone: how it is reached, what is shown of that, one snapshot a reader, and connections that are lost."""

from __future__ import annotations

import sys
import time

import pytest
from sqlalchemy import func, select
from store_values import AT, a_run

from remint.errors import StoreBusy, StoreError, StoreUnreachable
from remint.model.run import RunState
from remint.store.sql_store import open_store

SECRET = "hunter2-and-more"


@pytest.fixture
def database(postgres):
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
def store(postgres, database, tmp_path):
    with open_store(postgres.url(database), tmp_path, busy_timeout_s=2) as opened:
        yield opened


@pytest.fixture
def guarded(postgres, database):
    """A URL whose user needs the password."""
    postgres.sql(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
    postgres.sql("GRANT ALL ON SCHEMA public TO guarded", database)
    yield postgres.url(database, user="guarded")
    postgres.sql("DROP OWNED BY guarded", database)
    postgres.sql("DROP ROLE guarded")


def with_password(url, password):
    return url.replace("guarded@", f"guarded:{password}@")


@pytest.mark.parametrize("shape", [lambda u: with_password(u, SECRET), lambda u: f"{u}&password={SECRET}"])
def test_a_password_is_never_shown(guarded, tmp_path, shape):
    with open_store(shape(guarded), tmp_path, busy_timeout_s=0.1) as store:
        assert SECRET not in store._database.where
        with store._database.writing() as other:
            other.execute(select(func.pg_advisory_xact_lock(1)))
            other.exec_driver_sql("LOCK TABLE schema_info")
            with pytest.raises(StoreBusy) as raised:
                store.create_run(a_run())
    assert SECRET not in f"{raised.value} {raised.value.hint}"
    with pytest.raises(StoreUnreachable) as refused:
        open_store(shape(guarded).replace(SECRET, f"{SECRET}-wrong"), tmp_path)
    assert "password authentication failed" in refused.value.message
    assert SECRET not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("way", ["variable", "file"])
def test_a_password_comes_from_where_postgresql_looks_for_it(guarded, tmp_path, monkeypatch, way):
    if way == "variable":
        monkeypatch.setenv("PGPASSWORD", SECRET)
    else:
        (tmp_path / "pgpass").write_text(f"*:*:*:guarded:{SECRET}\n")
        (tmp_path / "pgpass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))

    with open_store(guarded, tmp_path) as store:
        assert store.runs(1) == []


def test_a_server_that_is_not_there_is_named_at_once(tmp_path):
    began = time.monotonic()
    with pytest.raises(StoreUnreachable, match="cannot be reached") as raised:
        open_store(f"postgresql+psycopg://remint@/x?host={tmp_path}", tmp_path, busy_timeout_s=30)

    assert time.monotonic() - began < 5
    assert "remint status" in raised.value.hint
    assert "\n" not in raised.value.message


def test_another_driver_is_refused(tmp_path):
    with pytest.raises(StoreError, match="not psycopg") as raised:
        open_store(f"postgresql+psycopg2://u:{SECRET}@h/d", tmp_path)
    assert "postgresql+psycopg://" in raised.value.hint
    assert SECRET not in str(raised.value)


def test_a_driver_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(StoreError, match="needs psycopg") as raised:
        open_store("postgresql://h/d", tmp_path)
    assert raised.value.hint == "pip install 'remint[postgres]'"


def test_options_of_the_url_stay(postgres, database, tmp_path):
    url = f"{postgres.url(database)}&options=-c%20work_mem%3D7MB"
    with open_store(url, tmp_path, busy_timeout_s=3) as store, store._database.reading() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("work_mem", "lock_timeout")]

    assert shown == ["7MB", "3s"]


def test_a_reader_sees_one_state_and_changes_nothing(store):
    with store._database.reading() as reader:
        runs = "SELECT count(*) FROM runs"
        before = reader.exec_driver_sql(runs).scalar_one()
        store.create_run(a_run())
        assert reader.exec_driver_sql(runs).scalar_one() == before == 0
    assert len(store.runs(2)) == 1
    with pytest.raises(StoreError, match="is read-only"), store._database.reading() as reader:
        reader.exec_driver_sql("DELETE FROM runs")


def test_a_connection_that_was_lost_between_two_calls_is_made_again(store, postgres, database):
    store.create_run(a_run())
    postgres.disconnect(database)

    assert store.run("run-1") == a_run()
    postgres.disconnect(database)
    store.set_state("run-1", RunState.FAILED, error="no", ended_at=AT)


def test_a_session_that_is_ended_while_it_writes_wrote_nothing(store, postgres, database):
    def interrupted():
        with store._database.writing() as writer:
            writer.exec_driver_sql("UPDATE schema_info SET version_num = '0000'")
            postgres.disconnect(database)
            writer.exec_driver_sql("SELECT 1")

    with pytest.raises(StoreUnreachable) as raised:
        interrupted()
    assert (raised.value.code, raised.value.retryable) == ("RM506", True)
    store.create_run(a_run())


def test_words_with_a_nul_are_kept_as_far_as_the_database_can(store):
    store.create_run(a_run())
    store.set_state("run-1", RunState.FAILED, error="a\x00b", ended_at=AT)

    assert store.run("run-1").error == "a\\x00b"
