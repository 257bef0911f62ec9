"""The state is not what it was: an older copy of it was put back, its log is gone, it is held or cannot be written."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remint.errors import RemintError, StateBehind, StoreError
from remint.execution.symptom import Health
from remint.model.plan import Plan
from remint.model.request import Ask
from tests.e2e import projects
from tests.e2e.crashes import Barrier, Fuse, Killed, When, armed
from tests.e2e.projects import TABLES, Project, built, event
from tests.e2e.test_sigkill import remint
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

Restore = Callable[[], None]


@pytest.fixture(params=["sqlite", "postgres"])
def state(request: pytest.FixtureRequest) -> str:
    if request.param == "postgres":
        request.getfixturevalue("on_postgres")
    return str(request.param)


def state_file(project: Project) -> Path:
    return project.root / ".remint" / "state.db"


def forget_the_log(project: Project) -> None:
    for left in ("-wal", "-shm"):
        Path(f"{state_file(project)}{left}").unlink(missing_ok=True)


def backup(project: Project) -> Restore:
    """Copy the state as it is now, and return what puts the copy back in its place."""
    if project.server:
        server, copy = project.server, project.server.new_database(like=project.database)
        return lambda: project.keep_state_in(server.new_database(like=copy))
    saved = project.root / f"saved-{project.ticks}.db"
    with closing(sqlite3.connect(state_file(project))) as source, closing(sqlite3.connect(saved)) as copied:
        source.backup(copied)

    def restore() -> None:
        forget_the_log(project)
        os.replace(shutil.copy(saved, project.root / "restored.db"), state_file(project))

    return restore


def refused(project: Project, act: Callable[[], object]) -> RemintError:
    """Return how ``act`` is refused; it must leave every table and every file as it was."""
    before = project.versions(), project.live(), project.parts()
    with pytest.raises(RemintError) as raised:
        act()
    assert (project.versions(), project.live(), project.parts()) == before
    return raised.value


def grown(tmp_path: Path) -> tuple[Project, Plan, Restore, Restore]:
    """Return a project, an unused plan, and what puts back its state: that of then, and the newest."""
    project = built(tmp_path, days=3)
    project.set_factor(2)
    plan, older = project.plan(), backup(project)
    project.apply(project.plan())
    project.land("b", [event(900, 2), event(901, 7)])
    project.ingest()
    project.run()
    return project, plan, older, backup(project)


def test_an_older_state_is_noticed_before_anything_is_written(tmp_path: Path, state: str) -> None:
    project, plan, older, newest = grown(tmp_path)
    last = project.open().store.runs(1)[0].run_id
    older()

    for act in (project.plan, project.ingest, lambda: project.apply(plan)):
        error = refused(project, act)
        assert isinstance(error, StateBehind), act
        assert (error.exit_code, error.code) == (6, "RM508")
    assert not project.outstanding()
    shown = remint(project, "status")
    assert shown.returncode == 0
    assert "the state database is older than the tables" in shown.stdout
    assert last in remint(project, "status", "--json").stdout
    doctor = remint(project, "doctor")
    assert doctor.returncode == 1
    assert "remint adopt" in doctor.stdout

    newest()
    assert not project.stale()
    assert project.tables() == project.expected()
    assert project.plan().is_empty
    report("store-faults", cases=3, part=f"older-copy-{state}")


def test_a_run_that_the_older_state_saw_begin_is_not_resumed(tmp_path: Path) -> None:
    """The copy was taken while the run staged; since then it committed, so its staging must not be published again."""
    project = built(tmp_path, days=4)
    project.set_factor(2)
    plan = project.plan()
    with pytest.raises(Killed):
        armed(project.open(), Fuse(6, When.AFTER)).apply(plan)
    run = project.outstanding()[0]
    older = backup(project)
    project.open().resume(run.run_id)
    rows = project.tables()
    older()

    for act in (project.open().resume, project.rollback):
        assert isinstance(refused(project, lambda act=act: act(run.run_id)), StateBehind)
    assert project.tables() == rows
    assert "rollback" not in remint(project, "status").stdout


def test_one_cause_is_one_symptom_with_one_next_command(tmp_path: Path) -> None:
    project, _, older, _ = grown(tmp_path)
    older()
    tables = ["bronze.events", "silver.events", "gold.daily", "gold.monthly", "gold.trend"]

    for number, table in enumerate(tables):
        (found,) = [s for s in project.open().upkeep.doctor(()) if s.health is Health.BAD]
        assert (found.subject, found.place) == ("state database", ", ".join(tables[number:]))
        assert f"remint adopt {table} --reason" in found.hint
        assert projects.remint(project, "status").output.count("next: ") == 1
        assert projects.remint(project, "adopt", table, "--reason", "the state was lost").exit_code == 0

    assert not [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]


def test_what_the_tables_hold_can_be_taken_when_no_newer_copy_is_left(tmp_path: Path) -> None:
    project, _, older, _ = grown(tmp_path)
    older()

    for name in TABLES:
        project.open().adopt(name, Ask(reason="the state was lost"))

    project.ingest()  # the older state does not know the file; its rows are in Bronze
    if not (plan := project.plan()).is_empty:
        project.apply(plan)
    assert project.tables() == project.expected()
    assert not project.stale()
    assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}


def vouched(tmp_path: Path) -> Project:
    """Return a project whose tables hold a run that the state knows only because somebody vouched for its rows."""
    project = built(tmp_path, days=3)
    older = backup(project)
    project.set_factor(2)
    project.run()
    older()
    for table in ("gold.daily", "gold.monthly", "gold.trend"):
        project.open().adopt(table, Ask(reason="the state was lost"))
    return project


def test_a_table_that_was_set_back_does_not_make_the_state_look_old_again(tmp_path: Path) -> None:
    project = vouched(tmp_path)
    project.set_factor(3)
    project.run()
    max((project.folder("gold.daily") / "_delta_log").glob("*.json")).unlink()

    assert project.stale()["gold.daily"][2] == 3
    project.run()
    assert project.tables() == project.expected()


def test_a_table_whose_log_was_mended_does_not_make_the_state_look_old_again(tmp_path: Path) -> None:
    project = vouched(tmp_path)
    project.set_factor(3)
    project.run()
    entry = max((project.folder("gold.daily") / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:40])

    assert projects.remint(project, "repair", "--apply", "--reason", "a sector was lost").exit_code == 0

    assert not [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]
    assert not project.stale()


def test_a_state_of_before_tables_were_told_by_more_than_their_version_is_no_older_one(tmp_path: Path) -> None:
    project = vouched(tmp_path)
    with closing(sqlite3.connect(state_file(project))) as opened:
        opened.execute("UPDATE tables_seen SET mark = '', table_id = ''")
        opened.commit()

    assert not [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]
    assert not project.stale()
    project.land("c", [event(950, 2)])
    project.ingest()
    project.run()
    assert project.tables() == project.expected()


def test_what_was_committed_and_taken_back_leaves_no_partition_to_adopt_and_no_symptom(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    older = backup(project)
    project.set_factor(2)
    project.rollback(project.run().run_id)
    older()

    for table in ("gold.daily", "gold.monthly", "gold.trend"):
        (found,) = [s for s in project.open().upkeep.doctor(()) if s.health is Health.BAD]
        assert f"remint adopt {table} " in found.hint
        assert "0 partitions, 0 rows" in projects.remint(project, "adopt", table, "--reason", "test").output

    assert not [s for s in project.open().upkeep.doctor(()) if s.health is Health.BAD]


DYING = """
import os, signal, sys
from pathlib import Path
from remint.model.request import Request
from remint.workspace import Workspace
from tests.e2e.crashes import Barrier, armed

workspace = armed(Workspace(Path(sys.argv[1])), Barrier(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)))
workspace.apply(workspace.make_plan(Request(requested_by="test")))
"""


def killed_before(project: Project, step: int) -> bool:
    """Run what is stale in a process that is killed before its ``step``; False when it came to its end."""
    command = [sys.executable, "-c", DYING, str(project.root), str(step)]
    return subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode == -signal.SIGKILL


@proof
def test_a_state_whose_log_was_deleted_is_noticed_or_whole(tmp_path: Path) -> None:
    """A killed process leaves its last transactions in the log of the SQLite file; somebody deletes that."""
    base = built(tmp_path / "base", days=3)
    base.set_factor(2)
    with closing(sqlite3.connect(state_file(base))) as state:
        state.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = Barrier(1 << 30, lambda: None)
    counted = base.clone(tmp_path / "whole")
    armed(counted.open(), whole).apply(counted.plan())
    noticed, steps = 0, range(1, len(whole.calls), size(12, 1))
    for step in steps:
        project = base.clone(tmp_path / f"{step}")
        assert killed_before(project, step)
        before = project.versions()
        forget_the_log(project)

        if before != base.versions():
            noticed += 1
            assert isinstance(refused(project, project.plan), RemintError)
            for name in TABLES:
                project.open().adopt(name, Ask(reason="the state was lost"))
        for run in project.outstanding():
            project.open().resume(run.run_id)
        project.run()
        assert project.tables() == project.expected()
    assert noticed
    report("store-faults", cases=len(steps), part="log-deleted", commits_noticed=noticed)


@proof
def test_somebody_who_holds_the_state_is_waited_for_and_then_named(tmp_path: Path) -> None:
    base = built(tmp_path / "base", days=3)
    base.set_factor(2)
    path = base.root / "remint.toml"
    path.write_text(path.read_text() + "[store]\nwait_seconds = 0.5\n")
    before = base.versions(), base.live()
    with closing(sqlite3.connect(state_file(base), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        held_s = size(0, 30)
        while True:
            found = remint(base, "run")
            assert found.returncode == 1
            assert found.stderr.count("error RM502") == 1
            assert "next: " in found.stderr
            if time.monotonic() - began >= held_s:
                break
        assert remint(base, "status").returncode == 0
        other.execute("ROLLBACK")

    assert (base.versions(), base.live()) == before
    assert remint(base, "run").returncode == 0
    assert base.tables() == base.expected()
    report("store-faults", cases=1, part="held")


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A folder that is used without root's rights, because root may write everywhere."""
    me = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        os.seteuid(me)


def test_a_state_that_cannot_be_written_changes_nothing_and_says_so(folder_of_nobody: Path) -> None:
    project = built(folder_of_nobody / "p", days=3)
    project.set_factor(2)
    if os.geteuid() == 0:
        for place in (folder_of_nobody, *folder_of_nobody.rglob("*")):
            os.chown(place, pwd.getpwnam("nobody").pw_uid, -1)
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    for file in state_file(project).parent.glob("state.db*"):
        file.chmod(0o444)
    plan_before = project.versions(), project.live()

    with pytest.raises(StoreError, match="is read-only"):
        project.run()

    assert (project.versions(), project.live()) == plan_before
    for file in state_file(project).parent.glob("state.db*"):
        file.chmod(0o644)
    project.run()
    assert project.tables() == project.expected()
    report("store-faults", cases=1, part="read-only")
