"""One run, two processes: who may carry it out, and what a process that was taken for dead can still do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from remint.errors import NotResumable, RunAtWork, Superseded, WaiveRefused
from remint.model.lease import Holder
from remint.model.run import RunState
from remint.publishing import lease
from remint.store.values import Claim
from tests.e2e.crashes import Fuse, Meddled, When, armed, meddling
from tests.e2e.projects import Project, built, event, history, write_project
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

UNTOUCHED = 10_000


def logged(project: Project) -> list[tuple[str, str]]:
    """Return what the audit log says happened, oldest first."""
    return [(r.entry.action, r.entry.status) for r in reversed(project.open().store.audit(1000))]


def everything(project: Project) -> tuple[object, ...]:
    """Return all that a process could have changed: ledger, tables, logs of tables, files, audit log, runs."""
    store = project.open().store
    return project.fingerprint(), project.versions(), project.parts(), logged(project), store.runs(100)


def changed(root: Path) -> Project:
    """Return a built project whose logic has changed since, so that there is much to replace."""
    project = built(root, days=4)
    project.set_factor(2)
    project.land("b", [event(900, 2), event(901, 6)])
    project.ingest()
    return project


def test_a_run_that_a_process_is_at_work_on_is_left_to_it(tmp_path: Path) -> None:
    project = changed(tmp_path)
    moment = project.now()
    project.now = lambda: moment  # type: ignore[method-assign]
    said: list[str] = []

    def interfere() -> None:
        (run,) = project.outstanding()
        other = project.open()
        told = [s.detail for s in other.upkeep.doctor(()) if s.subject == run.run_id]
        assert [words for words in told if "at work on" in words] == told != []
        for act in (other.resume, lambda r: other.rollback(r, project.ask()), lambda r: other.waive(r, "test")):
            with pytest.raises(RunAtWork, match=r"at work on .*pid") as caught:
                act(run.run_id)
            said.append(str(caught.value.hint))
        assert list(other.upkeep.at_work()) == [run.run_id]

    meddling(project.open(), Meddled("stage", interfere, number=2)).apply(project.plan())

    assert len(said) == 3
    assert all("--take-over" in hint for hint in said)
    assert project.tables() == project.expected()
    assert not project.open().upkeep.at_work()


def takes_over(project: Project, give_up: bool) -> None:
    """Do as somebody does who takes the holder for dead: end its run, as another process would."""
    (run,) = project.outstanding()
    if give_up and run.state is not RunState.PUBLISHING:
        project.open().rollback(run.run_id, project.ask(), take_over=True)
    else:
        project.open().resume(run.run_id, take_over=True)


@proof
@pytest.mark.parametrize("give_up", [False, True], ids=["resumed", "given up"])
def test_a_holder_that_wakes_after_it_was_taken_over_changes_nothing(tmp_path: Path, *, give_up: bool) -> None:
    """It is paused right before each of its mutating calls in turn, while another one brings the run to its end."""
    base = changed(tmp_path / "base")
    plan = base.plan()
    fuse = Fuse(UNTOUCHED, When.BEFORE)
    armed(base.clone(tmp_path / "whole").open(), fuse).apply(plan)
    points = [n for n, call in enumerate(fuse.calls) if call != "create_run"]
    chosen = points[:: max(1, len(points) // size(3, len(points)))]

    for point in chosen:
        step, number = fuse.calls[point], fuse.calls[:point].count(fuse.calls[point])
        project = base.clone(tmp_path / f"{point}")
        then: list[object] = []

        def interfere(project: Project = project, then: list[object] = then) -> None:
            takes_over(project, give_up)
            then.append(everything(project))

        with pytest.raises(Superseded) as caught:
            meddling(project.open(), Meddled(step, interfere, number=number)).apply(plan)

        assert caught.value.exit_code == 6
        # What a staging query was busy writing is nobody's, and says so in its name; nothing else is new.
        before, after = then[0], everything(project)
        assert isinstance(before, tuple)
        extra = after[2] - before[2]  # type: ignore[operator]
        assert {name.split("-e")[1][0] for name in extra} <= {"1"}, f"at {step} {number}"
        assert (*after[:2], *after[3:]) == (*before[:2], *before[3:]), f"at {step} {number}"
        assert not project.outstanding()
        if give_up and project.stale():
            project.run()
        assert project.tables() == project.expected(), f"at {step} {number}"
    report("taken-over", cases=len(chosen), part="given-up" if give_up else "resumed")


def test_of_two_that_take_a_run_over_at_once_one_gets_it(tmp_path: Path) -> None:
    project = changed(tmp_path)
    with pytest.raises(BaseException, match="before"):
        armed(project.open(), Fuse(5, When.BEFORE)).apply(project.plan())
    (run,) = project.outstanding()
    first, second = (project.open()._tools.store for _ in range(2))
    holder = Holder(host="h", space="", pid=1, began="", nonce="n")
    claim = Claim(holder=holder, at="2026-11-02T12:00:00Z", until="2026-11-02T12:01:00Z", after_epoch=1)

    assert first.claim(run.run_id, claim) == 2
    with pytest.raises(RunAtWork):
        second.claim(run.run_id, claim)
    with pytest.raises(Superseded):
        second.set_state(run.run_id, RunState.FAILED)


def test_a_run_that_ended_is_not_claimed(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    run = project.open().store.runs(1)[0]

    with pytest.raises(NotResumable):
        project.open().resume(run.run_id)
    with pytest.raises(WaiveRefused):
        project.open().waive(run.run_id, "test")


def test_a_process_of_this_machine_is_known_to_be_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = replace(lease._this_process(os.getpid()), pid=child.pid, began=lease._began(child.pid), nonce="x")

    assert not lease._is_gone(alive)
    assert lease._is_gone(replace(alive, began="1"))
    assert not lease._is_gone(replace(alive, space="elsewhere", began="1"))
    child.kill()
    time.sleep(0.2)
    assert lease._is_gone(alive), "a zombie is gone"
    child.communicate()
    assert lease._is_gone(alive)


def remint(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_stopped_process_whose_lease_lapsed_wakes_up_to_nothing(tmp_path: Path) -> None:
    """For real: SIGSTOP, another process resumes to the end, SIGCONT."""
    project = write_project(tmp_path / "p")
    project.land("a", history(20))
    project.ingest()
    project.run()
    project.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 12\n[policy]\nlease_seconds = 2")
    project.set_factor(2)
    command = [sys.executable, "-m", "remint", "-C", str(project.root), "run"]
    holder = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list((project.root / "lake").glob("**/part-*-e1-2-*")) and holder.poll() is None:
        time.sleep(0.002)
    holder.send_signal(signal.SIGSTOP)
    (run,) = json.loads(remint(project, "status", "--json").stdout)["outstanding"]
    if run["at_work"]:  # else the machine was so busy that two seconds have passed
        assert run["at_work"]["holder"]["pid"] == holder.pid
        refused = remint(project, "resume", run["run_id"])
        assert refused.returncode in (0, 6)
    time.sleep(2.5)

    resumed = remint(project, "resume", run["run_id"])

    ended = everything(project)
    holder.send_signal(signal.SIGCONT)
    _, said = holder.communicate()
    assert (resumed.returncode, holder.returncode) in {(0, 6), (1, 6)}, resumed.stderr + said
    assert "RM413" in said
    assert everything(project)[:2] == ended[:2]
    assert everything(project)[3:] == ended[3:]
    assert project.tables() == project.expected()
    assert not project.outstanding()
