"""A process that is killed for real, at seeded moments, and the commands that an operator types afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.projects import Project, day_at, event, history, write_project
from tests.proof import proof, size

pytestmark = pytest.mark.slow


def remint(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files_in(project: Project) -> int:
    """Return how many files the lake holds: data and log entries, published or not."""
    return sum(len(names) for _, _, names in os.walk(project.root / "lake"))


def killed_once(project: Project, files: int) -> bool:
    """Start a run and kill it as soon as the lake holds so many files; False when it was done before that."""
    command = [sys.executable, "-m", "remint", "-C", str(project.root), "run"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if files_in(project) >= files:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """A built project with a change to publish in many batches, and the same one after an uninterrupted run."""
    root = tmp_path_factory.mktemp("sigkill")
    base = write_project(root / "base")
    base.land("a", history(40))
    base.ingest()
    base.run()
    base.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 12")
    base.set_factor(2)
    base.land("b", [event(900 + d, d, 3) for d in range(40)])
    base.ingest()
    whole = base.clone(root / "whole")
    assert remint(whole, "run").returncode == 0
    return base, whole


@proof
@pytest.mark.parametrize("seed", range(size(1, 5)))
def test_a_process_killed_at_a_random_moment_is_resumed_to_the_same_end(
    tmp_path: Path, worlds: tuple[Project, Project], seed: int
) -> None:
    base, whole = worlds
    project = base.clone(tmp_path / "p")
    span = files_in(whole) - files_in(base)
    moment = files_in(base) + random.Random(seed).randint(1, span - 5)

    assert killed_once(project, moment)

    outstanding = json.loads(remint(project, "status", "--json").stdout)["outstanding"]
    assert [r["state"] for r in outstanding] in (["staging"], ["publishing"])
    assert remint(project, "resume", outstanding[0]["run_id"]).returncode == 0
    assert project.digests() == whole.digests()
    assert project.versions() == whole.versions()
    assert project.tables() == project.expected()
    assert len(project.parts()) == len(whole.parts())
    assert not project.stale()


def test_a_killed_run_that_is_given_up_leaves_the_project_as_it_was(
    tmp_path: Path, worlds: tuple[Project, Project]
) -> None:
    base, _ = worlds
    project = base.clone(tmp_path / "p")
    before, parts = project.fingerprint(), project.parts()
    assert killed_once(project, files_in(base) + 10)
    run_id = json.loads(remint(project, "status", "--json").stdout)["outstanding"][0]["run_id"]

    assert remint(project, "rollback", run_id, "--reason", "killed").returncode == 0

    assert project.fingerprint() == before
    assert project.parts() == parts
    assert day_at(3) in project.digests()["gold.daily"]
