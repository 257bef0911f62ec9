"""Cleaning up at every moment of a live run takes nothing that anybody needs, and leaves nothing behind in the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remint.execution.clean import Litter
from remint.model.request import Ask, Mode
from remint.workspace import Workspace
from tests.e2e.crashes import MUTATING, Fuse, Killed, When, armed, killed_then_given_up
from tests.e2e.projects import Project, built, event
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

Act = Callable[[Workspace], Any]
NOW = timedelta(0)


class Cleaned:
    """Cleans up, as another process would, before every call that changes something."""

    def __init__(self, project: Project, every: int) -> None:
        self.project = project
        self.every = every
        self.calls = 0
        self.cleaned = 0
        self.removed: list[Litter] = []

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with a clean-up in front of it."""

        def swept(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls % self.every == 0:
                self.cleaned += 1
                self.removed += sweep(self.project)
            return call(*args, **kwargs)

        assert name in MUTATING
        return swept


def sweep(project: Project) -> list[Litter]:
    upkeep = Workspace(project.root).upkeep
    found = upkeep.find_litter((), NOW)
    if found:
        upkeep.clean(found, "test")
    return found


def ready(root: Path) -> Project:
    """Return a built project with late rows landed and ingested, and a file that a killed run left."""
    project = built(root, days=4)
    project.land("b", [event(900, 2), event(901, 3, "many")])
    return project


def ingesting(project: Project) -> Act:
    return lambda w: w.ingest((), Ask(reason="test"))


def applying(project: Project) -> Act:
    project.ingest()
    plan = project.plan()
    return lambda w: w.apply(plan)


def undoing(project: Project) -> Act:
    project.ingest()
    run = project.run()
    return lambda w: w.rollback(run.run_id, Ask(reason="test", mode=Mode.BACKFILL))


@proof
@pytest.mark.parametrize("scene", [ingesting, applying, undoing])
def test_cleaning_up_at_every_moment_of_a_run_takes_nothing_that_is_needed(
    tmp_path: Path, scene: Callable[[Project], Act]
) -> None:
    alone = ready(tmp_path / "alone")
    scene(alone)(alone.open())
    project = ready(tmp_path / "swept")
    act = scene(project)
    meddler = Cleaned(project, every=size(2, 1))

    act(armed(project.open(), meddler))  # type: ignore[arg-type]

    bad = [s for s in project.open().upkeep.doctor((), read_data=True) if s.health == "bad"]
    wrong = len(meddler.removed) + len(bad)
    wrong += project.tables() != alone.tables()
    report("clean-up", cases=meddler.cleaned, wrong=wrong, part=scene.__name__)


def test_two_passes_leave_nothing_of_runs_that_ended_and_all_of_others(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    project.set_factor(2)
    before = project.parts()
    killed_then_given_up(project, at=6)
    left = project.parts() - before
    stranger = project.folder("gold.daily") / "part-00000-of-somebody.parquet"
    stranger.write_bytes(b"?")
    unknown = project.folder("gold.daily") / "part-r-20200101-000000-abcd-0-0-x.parquet"
    unknown.write_bytes(b"?")
    (project.root / ".remint" / "plans").mkdir(exist_ok=True)
    half = project.root / ".remint" / "plans" / ".p-1.json.x"
    half.write_text("{")
    temporary = project.root / ".remint" / "tmp" / "verify-1" / "gold"
    temporary.mkdir(parents=True)

    assert project.open().upkeep.find_litter((), timedelta(days=10_000)) != []  # runs that ended have no grace
    first, second = sweep(project), sweep(project)

    assert left
    assert {litter.place for litter in first} == {
        *(f"{project.root}/lake{path}" for path in left),
        str(half),
        str(temporary.parent),
    }
    assert second == []
    assert project.parts() == {*before, *("/gold/daily/" + p.name for p in (stranger, unknown))}
    assert [(r.entry.action, r.entry.status) for r in project.open().store.audit(2)] == [
        ("clean", "success"),
        ("clean", "started"),
    ]
    kinds = {s.kind for s in project.open().upkeep.doctor(())}
    assert "strangers_file" in kinds
    project.run()
    assert project.tables() == project.expected()


def test_what_is_young_or_of_an_outstanding_run_or_of_an_old_version_stays(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.set_factor(2)
    project.run()
    project.set_factor(3)
    with suppress(Killed):
        armed(project.open(), Fuse(6, When.AFTER)).apply(project.plan())
    half = project.root / ".remint" / "plans" / ".p-1.json.x"
    half.parent.mkdir(exist_ok=True)
    half.write_text("{")
    os.utime(half, (4_000_000_000, 4_000_000_000))

    assert project.outstanding()
    assert project.open().upkeep.find_litter((), NOW) == []
