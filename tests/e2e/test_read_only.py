"""Readers without permission to write: another user, in other processes, beside writers and after crashes.

Modes of files mean nothing to root, so every read is done by a process that gave root up.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import remint
from remint.store import read_only
from remint.store.read_only import open_store_to_read
from tests.e2e.projects import Project

NOBODY = 65534

READ = f"""
import json, os, sys
import remint
def read(root):
    cut = remint.open(root).at()
    answer = cut.sql("SELECT (SELECT sum(amount) FROM gold.daily) a, (SELECT sum(amount) FROM gold.monthly) b")
    return [cut.release.release_id, *(int(v) for v in answer.to_pylist()[0].values())]
read(sys.argv[1])  # imports everything, which the user who reads then may not be permitted to do
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
assert not os.access(sys.argv[2] + "/.remint/state.db", os.W_OK)
found = []
for _ in range(int(sys.argv[3])):
    try:
        found.append(read(sys.argv[2]))
    except remint.errors.RemintError as error:
        found.append([error.code, error.message, error.hint])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def at_rest() -> Iterator[Project]:
    """A built project that nobody has open, in a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="remint-read-only-"))
    folder.chmod(0o755)
    try:
        code = "import sys, pathlib; from tests.e2e.projects import built; built(pathlib.Path(sys.argv[1]), 3)"
        subprocess.run([sys.executable, "-c", code, str(folder / "p")], check=True, cwd=Path(__file__).parents[2])
        yield Project(folder / "p")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def project(at_rest: Project) -> Iterator[Project]:
    copy = at_rest.clone(Path(tempfile.mkdtemp(dir=at_rest.root.parent)) / "p")
    copy.root.parent.chmod(0o755)
    try:
        yield copy
    finally:
        for path in [copy.root, *copy.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture
def total(project: Project) -> int:
    return sum(row[3] for row in project.rows("gold.daily"))


def protect(project: Project) -> None:
    """Take the permission to write from everybody, the owner too (who is the reader where no root runs the tests)."""
    for path in [project.root, *project.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def reading(project: Project, times: int = 1) -> subprocess.Popen[str]:
    warm = next(path for path in (project.root, *project.root.parents) if path.name.startswith("remint-read-only-"))
    command = [sys.executable, "-c", READ, str(warm / "p"), str(project.root), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers(reader: subprocess.Popen[str]) -> list[list[Any]]:
    out, err = reader.communicate(timeout=120)
    assert reader.returncode == 0, err
    return list(json.loads(out))


def files(project: Project) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_uid, p.stat().st_mtime_ns) for p in project.root.rglob("*")}


def test_a_project_at_rest_is_read_without_a_trace(project: Project, total: int) -> None:
    assert not Path(f"{project.root}/.remint/state.db-wal").exists()
    protect(project)
    before = files(project)

    assert answers(reading(project)) == [["release-2", total, total]]
    assert files(project) == before


def test_a_folder_that_anybody_may_write_to_gets_no_file_of_the_reader(project: Project, total: int) -> None:
    """SQLite would make an index there that belongs to the reader, and the owner could not write any more."""
    protect(project)
    (project.root / ".remint").chmod(0o777)
    before = files(project)

    assert answers(reading(project)) == [["release-2", total, total]]
    assert files(project).keys() == before.keys()


def test_beside_an_open_writer_the_reader_sees_what_was_committed(project: Project, total: int) -> None:
    state = project.root / ".remint" / "state.db"
    with sqlite3.connect(state, isolation_level=None) as writer:
        writer.execute("UPDATE releases SET release_id = 'release-2b' WHERE number = 2")
        protect(project)
        assert answers(reading(project)) == [["release-2b", total, total]]
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE releases SET release_id = 'release-2c' WHERE number = 2")
        assert answers(reading(project)) == [["release-2b", total, total]]
        writer.execute("ROLLBACK")
    writer.close()


def crash(project: Project) -> None:
    """Commit something and end without closing the database: its log and the log's index stay."""
    code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
    code += "c.execute(\"UPDATE releases SET release_id = 'release-2b' WHERE number = 2\"); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(project.root / ".remint/state.db")], check=False)
    assert Path(f"{project.root}/.remint/state.db-wal").stat().st_size


def test_after_a_crash_the_reader_sees_what_the_log_holds(project: Project, total: int) -> None:
    crash(project)
    protect(project)

    assert answers(reading(project)) == [["release-2b", total, total]]


def test_a_log_without_its_index_is_refused_with_the_way_out(project: Project, total: int) -> None:
    crash(project)
    Path(f"{project.root}/.remint/state.db-shm").unlink()
    protect(project)

    ((code, message, hint),) = answers(reading(project))

    assert code == "RM500"
    assert "nobody finished" in message
    assert hint.startswith("remint status")


def test_writers_that_come_and_go_never_give_a_reader_two_states(project: Project, total: int) -> None:
    """The reader has no locks to take part in: it must notice every writer that came meanwhile, and read again."""
    state = project.root / ".remint" / "state.db"
    protect(project)
    if os.geteuid() != 0:
        pytest.skip("the writer of this test is root")
    reader = reading(project, times=60)
    changes, pauses = 0, random.Random(3)
    while reader.poll() is None:
        writer = sqlite3.connect(state, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE releases SET release_id = ? WHERE number = 2", (f"release-{changes + 2}",))
        writer.execute("UPDATE releases SET release_id = ? WHERE number = 1", (f"first-{changes + 2}",))
        writer.execute("COMMIT")
        writer.close()
        changes += 1
        time.sleep(pauses.uniform(0.02, 0.3))

    found = answers(reader)

    assert changes > 5
    assert [f for f in found if f[1:] != [total, total]] == []
    assert len({f[0] for f in found}) > 3


def test_a_log_that_is_being_taken_away_is_none_that_nobody_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    log.write_bytes(b"what was in it is in the file already")
    monkeypatch.setattr(read_only, "_may_write", lambda _: False)
    monkeypatch.setattr(read_only, "time", SimpleNamespace(sleep=lambda _: log.unlink()))

    assert not read_only._takes_locks(state)


def test_a_reader_migrates_nothing(project: Project) -> None:
    state = project.root / ".remint" / "state.db"
    with sqlite3.connect(state) as writer:
        writer.execute("UPDATE schema_info SET version_num = '0001'")
    writer.close()

    with pytest.raises(remint.errors.StoreError, match="format 0001"):
        open_store_to_read(f"sqlite:///{state}", project.root)
    with sqlite3.connect(state) as writer:
        assert writer.execute("SELECT version_num FROM schema_info").fetchall() == [("0001",)]
        writer.execute("UPDATE schema_info SET version_num = '9999'")
    writer.close()
    with pytest.raises(remint.errors.StoreNewer):
        open_store_to_read(f"sqlite:///{state}", project.root)
