"""The server of the state goes away while runs go on: restarts, ended sessions, answers that never arrive.

Real processes run; the server is restarted as ``pg_ctl restart -m immediate`` does, at seeded moments.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remint.errors import OutcomeUnknown, StoreUnreachable
from remint.store.values import AuditStatus
from remint.workspace import Workspace
from tests.databases import Server
from tests.e2e import test_crash
from tests.e2e.projects import Project, event, history, write_project
from tests.e2e.test_crash import left_behind, pick_up, unnamed
from tests.e2e.test_sigkill import files_in
from tests.lossy import Loses, LossyProxy, lossy
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

RESTARTS = size(3, 8)
ENDED = size(2, 3)
DAYS = size(7, 14)


def started(project: Project, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def with_much_to_do(root: Path) -> tuple[Project, Project]:
    """Return a built project with a change to publish in many batches, and the same one after the run."""
    base = write_project(root / "base")
    base.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 12")
    base.land("a", history(DAYS))
    base.ingest()
    base.run()
    base.set_factor(2)
    base.land("b", [event(900 + d, d, 3) for d in range(DAYS)])
    base.ingest()
    whole = base.clone(root / "whole")
    assert driven(whole, [], lambda: None) == 0
    return base, whole


def driven(project: Project, moments: list[int], strike: Callable[[], object]) -> int:
    """Run the project to its end, striking as soon as the lake holds so many files; return how many runs failed.

    Every failure must say one thing and how to go on; then the run is resumed, as an operator would.
    """
    failures, process = 0, started(project, "run")
    while True:
        while process.poll() is None:
            if moments and files_in(project) >= moments[0]:
                moments.pop(0)
                strike()
            time.sleep(0.002)
        said = process.communicate()[1]
        if process.returncode == 0 and not project.outstanding():
            return failures
        failures += 1
        assert process.returncode == 1, said
        assert said.count("error RM") == 1, said
        assert "next: " in said, said
        assert "Traceback" not in said
        runs = project.outstanding()
        process = started(project, "resume", runs[0].run_id) if runs else started(project, "run")


def agree(project: Project, whole: Project) -> None:
    """Hold the project against one that nothing happened to."""
    store, other = project.open().store, whole.open().store
    assert project.digests() == whole.digests()
    assert project.versions() == whole.versions()
    assert project.tables() == project.expected()
    assert len(project.parts()) == len(whole.parts())
    assert not project.stale()
    assert store.last_record()[0] == other.last_record()[0]
    assert len(store.releases()) == len(other.releases())
    assert store.watermarks() == other.watermarks()
    assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}


@proof
def test_a_server_that_goes_away_again_and_again_costs_at_most_resumes(tmp_path: Path, on_postgres: Server) -> None:
    base, whole = with_much_to_do(tmp_path)
    span = files_in(whole) - files_in(base)
    restarts = ended = failures = 0
    for seed in range(size(1, 12)):
        rng = random.Random(seed)
        project = base.clone(tmp_path / f"{seed}")
        moments = sorted(files_in(base) + m for m in rng.sample(range(1, span), RESTARTS + ENDED))
        strikes = rng.sample([True] * RESTARTS + [False] * ENDED, RESTARTS + ENDED)
        found: list[int] = []

        def strike(strikes: list[bool] = strikes, name: str = project.database, found: list[int] = found) -> None:
            if strikes.pop():
                on_postgres.restart()
            else:
                found.append(end_a_writer(on_postgres, name))

        failures += driven(project, moments, strike)

        assert not moments
        agree(project, whole)
        restarts, ended = restarts + RESTARTS, ended + sum(found)
    assert ended
    report("postgres-restarts", cases=restarts + ended, part="restarted", ended_writers=ended, failed_commands=failures)


def end_a_writer(server: Server, database: str) -> int:
    """End a session that is writing, as an administrator would; return how many, which is 0 when nobody wrote soon."""
    writing = f"FROM pg_stat_activity WHERE datname = '{database}' AND backend_xid IS NOT NULL"
    for _ in range(300):
        if found := server.sql(f"SELECT pg_terminate_backend(pid) {writing}"):
            return len(found)
    return 0


@pytest.fixture
def proxy(on_postgres: Server) -> Iterator[LossyProxy]:
    with lossy(on_postgres.socket) as made:
        yield made


def behind(proxy: LossyProxy, project: Project) -> Project:
    """Return the project, reaching its state through the proxy, with little patience."""
    project.keep_state_in(project.database, proxy.url(project.database))
    path = project.root / "remint.toml"
    path.write_text(path.read_text() + "wait_seconds = 0.3\n")
    return project


@proof
def test_a_commit_that_is_lost_on_its_way_is_done_once(tmp_path: Path, proxy: LossyProxy, on_postgres: Server) -> None:
    """A lost reply goes unnoticed; a lost request is an error; so is a lost reply when nobody can be asked."""
    base, act = test_crash.forced(tmp_path / "base")
    whole = behind(proxy, base.clone(tmp_path / "whole"))
    workspace = connected(whole)
    proxy.arm(-1, Loses.REPLY)
    act(workspace)
    commits, reference = proxy.commits, left_behind(whole)
    rng = random.Random(1)

    for loses, stays_away in ((Loses.REPLY, False), (Loses.REQUEST, False), (Loses.REPLY, True)):
        chosen = sorted(rng.sample(range(commits), size(1, commits)))
        for number in chosen:
            hurt = behind(proxy, base.clone(tmp_path / f"{loses}-{stays_away}-{number}"))
            workspace = connected(hurt)
            proxy.arm(number, loses, stays_away=stays_away)
            if loses is Loses.REQUEST:
                with pytest.raises(StoreUnreachable, match="nothing of it is there"):
                    act(workspace)
            elif stays_away:
                with pytest.raises(OutcomeUnknown, match="does not answer"):
                    act(workspace)
            else:
                act(workspace)
                assert without_failures(left_behind(hurt)) == reference, f"{loses} of commit {number}"
            proxy.arm(-1, loses)
            if stays_away or loses is Loses.REQUEST:
                pick_up(hurt, act, base.ticks)

            assert without_failures(left_behind(hurt)) == reference, f"{loses} of commit {number}"
            assert not unnamed(hurt), f"{loses} of commit {number}"
            on_postgres.drop(hurt.database)
        report("postgres-restarts", cases=len(chosen), part=f"lost-{loses}{'-unanswered' * stays_away}")


def connected(project: Project) -> Workspace:
    """Return the project opened, with a connection to its state."""
    workspace = project.open()
    workspace.store.runs(1)
    return workspace


def without_failures(left: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the log says of a run that stopped."""
    return {**left, "audit": [entry for entry in left["audit"] if entry[1] is not AuditStatus.FAILED]}
