"""A state database of the first format, with real rows, becomes one of the newest: whole, or not at all.

``golden/0001.sql.gz`` is what that format left of a small project: ingests, a forced and approved backfill, a rollback.
"""

from __future__ import annotations

import gzip
import json
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, event, insert, select
from store_values import a_run
from tests.databases import SQLITE
from tests.proof import proof, report, size

from remint.errors import StoreError, StoreNewer
from remint.model.run import RunState
from remint.store import schema
from remint.store.migrations import upgrade as migrating
from remint.store.sql_store import open_store

GOLDEN = Path(__file__).parent / "golden" / "0001.sql.gz"


def first_format(connection):
    """Make the tables of 0001 as its own migration does."""
    config = Config()
    config.set_main_option("script_location", "remint.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


def golden_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as made:
        made.executescript(gzip.decompress(GOLDEN.read_bytes()).decode())


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The rows of the first format, by table."""
    path = tmp_path_factory.mktemp("golden") / "state.db"
    golden_file(path)
    engine = create_engine(f"sqlite:///{path}")
    found = contents(engine)
    engine.dispose()
    return found


def contents(engine, like=None):
    """Return every row of every table as the database itself describes them, or of the columns of ``like`` alone."""
    described = MetaData()
    with engine.connect() as connection:
        described.reflect(connection)
        tables = {t.name: t for t in described.sorted_tables if like is None or t.name in like}
        columns = {n: [t.c[c] for c in (like[n][0] if like and like[n] else t.c.keys())] for n, t in tables.items()}
        return {
            name: sorted((dict(row) for row in connection.execute(select(*columns[name])).mappings()), key=json.dumps)
            for name in tables
        }


def place(url, root):
    return create_engine(url if not url.startswith("sqlite") else f"sqlite:///{root / '.remint/state.db'}")


@pytest.fixture
def old(url, tmp_path, golden):
    """A database of the first format with rows in every table; give its engine."""
    if url == SQLITE:
        golden_file(tmp_path / ".remint" / "state.db")
        engine = place(url, tmp_path)
    else:
        engine = place(url, tmp_path)
        with engine.begin() as connection:
            first_format(connection)
            described = MetaData()
            described.reflect(connection)
            connection.execute(described.tables["schema_info"].delete())
            for table in described.sorted_tables:
                connection.execute(insert(table), golden[table.name])
    yield engine
    engine.dispose()


def format_of(engine):
    return contents(engine)["schema_info"][0]["version_num"]


def same_rows(engine, golden):
    """Hold what was there against what is there now, whatever columns and tables came since."""
    found = contents(engine, golden)
    changed = [n for n in golden if n != "schema_info" and found[n] != golden[n]]
    assert changed == []


def test_the_golden_rows_are_in_every_table_of_the_first_format(golden):
    with create_engine("sqlite://").begin() as connection:
        first_format(connection)
        described = MetaData()
        described.reflect(connection)

    assert set(golden) == set(described.tables)
    assert all(golden.values())
    assert {n: list(rows[0]) for n, rows in golden.items()} == {n: t.c.keys() for n, t in described.tables.items()}


def test_an_older_database_is_upgraded_and_keeps_every_row(old, url, tmp_path, golden):
    with open_store(url, tmp_path) as store:
        assert [r.state for r in store.runs(3)] == [RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.ROLLED_BACK]
        assert len(store.releases()) == len(golden["releases"])
        assert store.last_record()[0] == max(row["seq"] for row in golden["ledger"])
        store.create_run(a_run("a-new-one"))
        store.set_state("a-new-one", RunState.FAILED, error="it keeps working")
        assert store.run("a-new-one").error == "it keeps working"

    assert format_of(old) == schema.VERSION
    found = contents(old, golden)
    assert [r for r in found["runs"] if r["run_id"] != "a-new-one"] == golden["runs"]


def test_what_was_seen_of_tables_by_their_version_alone_is_seen_no_more(old, url, tmp_path, golden):
    with open_store(url, tmp_path) as store:
        assert golden["tables_seen"]
        assert {(d, s.version, s.mark) for d, s in store.tables_seen().items()} == {
            (row["dataset"], row["version"], "") for row in golden["tables_seen"]
        }


def test_the_file_is_copied_before_it_is_upgraded(tmp_path, golden):
    golden_file(tmp_path / ".remint" / "state.db")
    open_store(SQLITE, tmp_path).close()

    engine = create_engine(f"sqlite:///{tmp_path}/.remint/state.db.before-{schema.VERSION}")
    assert contents(engine) == golden
    engine.dispose()
    assert not list(tmp_path.rglob("*.part"))


class Stopped(BaseException):
    """The process is gone."""


@contextmanager
def stopping(monkeypatch, at, seen):
    """Die before the ``at``-th statement of the upgrade."""

    def upgrade(connection):
        def count(*_):
            seen.append(1)
            if len(seen) == at + 1:
                raise Stopped

        event.listen(connection, "before_cursor_execute", count)
        migrating_upgrade(connection)
        event.remove(connection, "before_cursor_execute", count)

    migrating_upgrade = migrating.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "upgrade", upgrade)
        yield


def test_an_upgrade_that_stops_at_any_statement_leaves_the_older_format(old, url, tmp_path, golden, monkeypatch):
    at = 0
    while True:
        seen = []
        try:
            with stopping(monkeypatch, at, seen):
                open_store(url, tmp_path).close()
            break
        except (Stopped, StoreError):  # while it copies a table, Alembic tidies up whatever happened, and is refused
            assert len(seen) > at
            assert contents(old) == golden, f"stopped before statement {at}"
            at += 1

    assert at > 5
    assert format_of(old) == schema.VERSION
    same_rows(old, golden)
    report("migrations", cases=at, part=url.partition(":")[0])


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from remint.store.sql_store import open_store
    left = int(sys.argv[3])
    def count(*_):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    open_store(sys.argv[1], Path(sys.argv[2])).close()
"""


def process(url, root, left):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), url, str(root), str(left)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@proof
def test_a_process_killed_while_it_upgrades_leaves_one_format_or_the_other(old, url, tmp_path, golden):
    rng = random.Random(url.partition(":")[0])
    cases = 0
    for left in sorted(rng.sample(range(4, 30), size(2, 20))):
        killed = process(url, tmp_path, left)
        killed.communicate()
        cases += 1
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL
        assert contents(old) == golden

    open_store(url, tmp_path).close()
    assert format_of(old) == schema.VERSION
    same_rows(old, golden)
    report("migrations", cases=cases, part=f"killed-{url.partition(':')[0]}")


def test_of_two_processes_that_upgrade_together_one_does_it(old, url, tmp_path, golden):
    together = [process(url, tmp_path, 100_000) for _ in range(3)]

    assert [(p.communicate()[1], p.returncode) for p in together] == [("", 0)] * 3
    assert format_of(old) == schema.VERSION
    same_rows(old, golden)


def test_a_newer_database_is_refused_in_words_and_nothing_is_touched(old, url, tmp_path):
    open_store(url, tmp_path).close()
    with old.begin() as connection:
        connection.exec_driver_sql("UPDATE schema_info SET version_num = '0999'")
    before = contents(old)

    with pytest.raises(StoreNewer, match=f"has format 0999; this remint knows formats up to {schema.VERSION}") as error:
        open_store(url, tmp_path)

    assert "upgrade remint" in error.value.hint
    assert contents(old) == before
    assert not [p for p in tmp_path.rglob("*before-*") if "0999" in p.name]


def test_a_newer_file_that_cannot_be_written_is_refused_in_the_same_words(tmp_path):
    golden_file(tmp_path / ".remint" / "state.db")
    file = tmp_path / ".remint" / "state.db"
    with closing(sqlite3.connect(file)) as changed:
        changed.execute("UPDATE schema_info SET version_num = '0999'")
        changed.commit()
    file.chmod(0o444)
    before = file.read_bytes()

    with pytest.raises(StoreNewer):
        open_store(SQLITE, tmp_path)

    assert file.read_bytes()[100:] == before[100:]
