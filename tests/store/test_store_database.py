"""SQLite files: two processes, locks, files that cannot be used, power loss, size."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from store_values import USAGE, a_record, a_run, an_outcome, succeed

from remint.errors import StoreBusy, StoreError
from remint.store.sql_store import open_store

URL = "sqlite:///.remint/state.db"
HERE = Path(__file__).parent


def process(root, body):
    """Start a Python process that has ``store`` open on ``root``."""
    script = f"""
    from pathlib import Path
    from store_values import *
    from remint.model.run import StepKind
    from remint.store.sql_store import open_store
    store = open_store({URL!r}, Path({str(root)!r}))
    """
    script = textwrap.dedent(script) + textwrap.dedent(body)
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=path)


def file_of(root):
    return root / ".remint" / "state.db"


@pytest.fixture
def locked(tmp_path):
    """A database that somebody else is writing to."""
    open_store(URL, tmp_path).close()
    other = sqlite3.connect(file_of(tmp_path), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_the_file_is_made_under_the_root_and_durable(tmp_path):
    with open_store(URL, tmp_path) as store:
        store.create_run(a_run())

        connection = sqlite3.connect(file_of(tmp_path))
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()
        with store._database.reading() as used:
            assert used.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert used.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    open_store(f"sqlite:///{tmp_path}/elsewhere/s.db", Path("/nowhere")).close()

    assert (tmp_path / "elsewhere" / "s.db").exists()


def test_processes_that_open_a_new_project_together_all_succeed(tmp_path):
    body = "store.create_run(a_run('run-%d'))"
    started = [process(tmp_path, body % n) for n in range(6)]

    assert [p.communicate()[1] for p in started] == [""] * 6
    with open_store(URL, tmp_path) as store:
        assert len(store.runs(10)) == 6


def test_two_processes_write_to_one_journal_in_turn(tmp_path):
    with open_store(URL, tmp_path) as store:
        store.create_run(a_run())
        body = "for n in range(30): store.journal_append('run-1', StepKind.STAGED, {})"
        started = [process(tmp_path, body) for _ in range(2)]

        assert [p.communicate()[1] for p in started] == ["", ""]
        assert [step.seq for step in store.journal("run-1")] == list(range(1, 61))


def test_a_writer_waits_for_another_one(tmp_path, locked):
    release = threading.Timer(0.3, lambda: locked.execute("COMMIT"))
    with open_store(URL, tmp_path, busy_timeout_s=20) as store:
        began = time.monotonic()
        release.start()
        store.create_run(a_run())
        waited = time.monotonic() - began
    release.join()

    assert waited > 0.2


def test_a_timeout_names_the_file_and_the_next_command(tmp_path, locked):
    with open_store(URL, tmp_path, busy_timeout_s=0.1) as store, pytest.raises(StoreBusy, match=r"state\.db") as raised:
        store.create_run(a_run())

    assert "remint status" in raised.value.hint


def test_a_process_killed_within_finish_leaves_nothing_of_it(tmp_path, monkeypatch):
    with open_store(URL, tmp_path) as store:
        store.create_run(a_run())
    killed = process(
        tmp_path,
        """
        import os
        from remint.store import releases
        releases.append = lambda *_: os._exit(9)
        store.finish(an_outcome(records=(a_record(),), watermarks={USAGE: "2026-10-14"}))
        """,
    )
    killed.communicate()

    assert killed.returncode == 9
    with open_store(URL, tmp_path) as store:
        assert store.run("run-1") == a_run()
        assert (store.records(USAGE), store.watermarks(), store.audit(9)) == ({}, {}, [])
        store.finish(an_outcome(records=(a_record(),)))


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b"not a database, but long enough to be looked at " * 50)

    with pytest.raises(StoreError, match="is not a SQLite database"):
        open_store(URL, tmp_path)

    assert file_of(tmp_path).read_bytes().startswith(b"not a database")


def test_a_folder_in_the_place_of_the_database_is_refused(tmp_path):
    file_of(tmp_path).mkdir(parents=True)

    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(URL, tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / ".remint").write_text("")

    with pytest.raises(StoreError, match=r"the folder of the state database .* cannot be made"):
        open_store(URL, tmp_path)


def test_somebody_elses_tables_are_left_alone(tmp_path):
    file_of(tmp_path).parent.mkdir()
    other = sqlite3.connect(file_of(tmp_path))
    other.execute("CREATE TABLE runs (theirs TEXT)")
    other.commit()

    with pytest.raises(StoreError, match="already exists"):
        open_store(URL, tmp_path)

    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("runs",)]
    other.close()


@pytest.fixture
def folder_of_nobody():
    """A folder outside root's own, used without root's rights, because root may write everywhere."""
    nobody, me = 65534, os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        if me == 0:
            os.chown(name, nobody, -1)
            os.seteuid(nobody)
        yield Path(name)
        os.seteuid(me)


def test_a_read_only_file_says_so(folder_of_nobody):
    open_store(URL, folder_of_nobody).close()
    file_of(folder_of_nobody).chmod(0o444)

    with open_store(URL, folder_of_nobody) as store, pytest.raises(StoreError, match="is read-only"):
        store.create_run(a_run())


def test_who_could_not_write_does_not_keep_its_process_from_writing_once_it_may(folder_of_nobody):
    open_store(URL, folder_of_nobody).close()
    file_of(folder_of_nobody).chmod(0o444)
    with open_store(URL, folder_of_nobody) as reader:  # it leaves the file that readers share, read-only like the rest
        assert reader.runs(10) == []
    kept = open_store(URL, folder_of_nobody)
    with pytest.raises(StoreError, match="is read-only"):
        kept.create_run(a_run())
    for left in file_of(folder_of_nobody).parent.glob("state.db*"):
        left.chmod(0o644)

    with open_store(URL, folder_of_nobody) as store:
        store.create_run(a_run())
        assert len(kept.runs(10)) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "needs a file"),
        ("nonsense", "Could not parse"),
        ("mysql://host/x", "SQLite or PostgreSQL, not mysql"),
    ],
)
def test_a_url_that_names_no_database_is_refused(tmp_path, url, said):
    with pytest.raises(StoreError, match=said):
        open_store(url, tmp_path)


def test_opening_imports_neither_the_orm_nor_alembic(tmp_path):
    body = "import sys\nassert not {'sqlalchemy.orm', 'alembic'} & set(sys.modules)"

    assert process(tmp_path, body).communicate()[1] == ""


@pytest.mark.slow
def test_a_hundred_thousand_heads_are_read_whole(tmp_path):
    datasets = [f"silver.d{n}" for n in range(10)]
    records = [a_record(f"{n:05d}", dataset=name) for name in datasets for n in range(10_000)]
    with open_store(URL, tmp_path) as store:
        succeed(store, "run-1", *records)

        heads = store.heads(datasets)

    assert sum(map(len, heads.values())) == 100_000
