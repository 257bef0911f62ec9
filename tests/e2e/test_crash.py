"""A run that dies at any durable step, and is resumed, leaves what an uninterrupted run leaves.

Every step is enumerated: the fuse is set one call later each time, until the run comes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remint.model.request import Mode
from remint.workspace import Ask, Workspace
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project, built, event, history, write_project

pytestmark = pytest.mark.slow

Act = Callable[[Workspace], Any]
"""One verb, as a process that knows nothing of earlier attempts carries it out; does nothing once it is done."""

UNTOUCHED = 10_000


def landed(root: Path) -> tuple[Project, Act]:
    """Return a project with two new files, one of them with bad rows, and the ingest of them."""
    project = built(root, days=3)
    project.land("b", [event(900, 1), event(901, 12), "no json", event(0, 0, 10)])
    project.land("c", [event(902, 2, "many")])
    return project, lambda w: w.ingest((), Ask(reason="test"))


def first_build(root: Path) -> tuple[Project, Act]:
    """Return a project that has only Bronze, and the first run, in several batches."""
    project = write_project(root)
    project.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 8")
    project.land("a", [*history(4), event(903, 1, "many")])
    project.ingest()
    return project, _applying(project)


def late_rows(root: Path) -> tuple[Project, Act]:
    """Return a built project with late rows: some units change, some come out the same, one day is new."""
    project = built(root, days=6)
    project.land("b", [event(900, 2), event(901, 9), event(902, 4, 0), event(4, 1, 17, version=1)])
    project.ingest()
    return project, _applying(project)


def undoing(root: Path) -> tuple[Project, Act]:
    """Return a project whose last run replaced units and made new ones, and the rollback of it."""
    project, act = late_rows(root)
    run_id = act(project.open()).run_id

    def undo(workspace: Workspace) -> Any:
        if workspace.store.run(run_id).state != "rolled_back":
            return workspace.rollback(run_id, Ask(reason="test", mode=Mode.BACKFILL))
        return None

    return project, undo


def _applying(project: Project) -> Act:
    plan = project.plan()
    return lambda w: None if w.store.run_of_plan(plan.plan_id) else w.apply(plan)


SCENES = [landed, first_build, late_rows, undoing]


def left_behind(project: Project) -> dict[str, Any]:
    """Return what a run leaves, without what differs by chance: the names of files and the times."""
    workspace = project.open()
    store = workspace.store
    entries = [(r.entry.action, r.entry.status, r.entry.record_count, r.entry.datasets) for r in store.audit(1000)]
    runs = [(r.run_id[:14], r.kind, r.state) for r in store.runs(1000)]
    heads = store.heads([d.name for d in workspace.graph])
    return {
        "versions": project.versions(),
        "digests": project.digests(),
        "files": {table: len(files) for table, files in project.live().items()},
        "audit": sorted(entries),
        "runs": sorted(runs),
        "releases": [r.versions for r in store.releases()],
        "ledger": {t: {k: (h.seq, h.fingerprint, h.logic) for k, h in by_key.items()} for t, by_key in heads.items()},
        "arrivals": store.arrivals("bronze.events"),
        "watermarks": store.watermarks(),
        "stale": project.stale(),
        "outstanding": project.outstanding(),
        "doctor": sorted({(s.subject, s.health.value) for s in workspace.doctor((), read_data=True)}),
        "source files": {u: (f.rows_added, f.rows_rejected) for u, f in store.source_files("bronze.events").items()},
    }


def pick_up(project: Project, act: Act, ticks: int, fuse: Fuse | None = None) -> None:
    """Do as an operator does after a crash: resume what is outstanding; without anything, start again.

    The clock stands at ``ticks`` again, so that a run that is started again is the same one.
    """
    project.ticks = ticks
    workspace = project.open()
    outstanding = workspace.store.outstanding()
    if fuse:
        armed(workspace, fuse)
    if outstanding:
        workspace.resume(outstanding[0].run_id)
    else:
        act(workspace)


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", SCENES)
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, Act]], when: When
) -> None:
    base, act = scene(tmp_path / "base")
    whole = base.clone(tmp_path / "whole")
    fuse = Fuse(UNTOUCHED, when)
    act(armed(whole.open(), fuse))
    reference = left_behind(whole)

    for number, step in enumerate(fuse.calls):
        hurt = base.clone(tmp_path / f"{number}")
        with pytest.raises(Killed):
            act(armed(hurt.open(), Fuse(number, when)))
        pick_up(hurt, act, base.ticks)

        assert left_behind(hurt) == reference, f"killed {when} call {number}, {step}"
        assert not unnamed(hurt), f"killed {when} call {number}, {step}"


def unnamed(project: Project) -> set[str]:
    """Return the Parquet files below the tables' folders that no ledger record ever named."""
    store = project.open().store
    named = {
        f"/{table.replace('.', '/')}/{path}" for table in project.versions() for path in store.paths_ever(table)
    }
    return project.parts() - named


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_whose_every_resume_is_killed_too_comes_to_the_same_end(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, Act]]
) -> None:
    """Each attempt dies one call later than the one before, so the deaths fall all over the resumes."""
    project, act = scene(tmp_path / "base")
    whole = project.clone(tmp_path / "whole")
    act(whole.open())
    deaths, ticks = 0, project.ticks

    while True:
        try:
            pick_up(project, act, ticks, Fuse(deaths, When.AFTER if deaths % 2 else When.BEFORE))
            break
        except Killed:
            deaths += 1

    assert deaths > 5
    assert left_behind(project) == left_behind(whole)
    assert not unnamed(project)
