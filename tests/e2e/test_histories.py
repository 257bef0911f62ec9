"""Random histories on real tables: whatever happened before, one full run makes every table what the oracle says."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from remint.errors import PlanOutdated, RollbackRefused
from remint.model.run import RunKind, RunState
from tests.e2e import strangers
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project, day_at, event, history, keyed_project, version, write_project
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

DAYS = 8
STEPS = 12


def land_late_rows(project: Project, rng: random.Random) -> None:
    number = 1000 + project.ticks * 10
    rows = [event(number + i, rng.randrange(DAYS + 2), rng.choice([5, 50, "many"])) for i in range(rng.randint(1, 3))]
    project.land(f"late-{project.ticks:04}", rows)
    project.ingest()


def land_corrections(project: Project, rng: random.Random) -> None:
    numbers = rng.sample(range(DAYS * 2), 2)
    version = project.ticks % 20
    rows = [event(n, n // 2, rng.randrange(100), tenant=f"t{n % 3}", version=version) for n in numbers]
    project.land(f"corrected-{project.ticks:04}", rows)
    project.ingest()


def land_versions_of_other_days(project: Project, rng: random.Random) -> None:
    names = [f"e-{n}" for n in rng.sample(range(DAYS * 2), 3)]
    rows = [version(n, rng.randrange(DAYS), rng.randrange(60), rng.choice([5, 50, 7, "many"])) for n in names]
    project.land(f"moved-{project.ticks:04}", rows)
    project.ingest()


def edit_logic(project: Project, rng: random.Random) -> None:
    project.set_factor(rng.choice([f for f in (1, 2, 3) if f != project.factor]))


def edit_window(project: Project, rng: random.Random) -> None:
    window = rng.choice([w for w in (1, 3, 7) if w != project.window])
    project.edit("datasets.py", f"WINDOW = {project.window}\n", f"WINDOW = {window}\n")
    project.window = window


def run_all(project: Project, rng: random.Random) -> None:
    del rng
    plan = project.plan()
    if not plan.is_empty:
        project.apply(plan)


def run_a_range(project: Project, rng: random.Random) -> None:
    first = rng.randrange(DAYS - 2)
    selectors = rng.choice([(), ("gold.daily",), ("silver.events+",), ("gold.trend",)])
    plan = project.plan(*selectors, span=f"{day_at(first)}..{day_at(first + 2)}", rebuild=rng.random() < 0.2)
    if not plan.is_empty:
        project.apply(plan)


def apply_a_plan_that_may_be_outdated(project: Project, rng: random.Random) -> None:
    plan = project.plan()
    land_late_rows(project, rng)
    if not plan.is_empty:
        try:
            project.apply(plan)
        except PlanOutdated:
            assert not project.outstanding()


def roll_back(project: Project, rng: random.Random) -> None:
    runs = [r for r in project.open().store.runs(20, [RunState.SUCCEEDED]) if r.kind is not RunKind.INGEST]
    if runs:
        before = project.fingerprint()
        try:
            project.rollback(rng.choice(runs[:3]).run_id)
        except RollbackRefused:
            assert project.fingerprint() == before


def meddle(project: Project, rng: random.Random) -> None:
    table = rng.choice(["silver.events", "gold.daily", "gold.trend"])
    if project.live().get(table):
        key = rng.choice(sorted({r[-1] if table == "silver.events" else r[0] for r in project.rows(table)}))
        act: Callable[[Project, str, str], None] = rng.choice([strangers.delete, strangers.overwrite])
        act(project, table, key)


def crash_and_resume(project: Project, rng: random.Random) -> None:
    plan = project.plan()
    try:
        armed(project.open(), Fuse(rng.randrange(40), rng.choice(list(When)))).apply(plan)
    except Killed:
        for run in project.outstanding():
            project.open().resume(run.run_id)


STEPS_BY_WEIGHT = {
    land_late_rows: 4,
    land_corrections: 3,
    land_versions_of_other_days: 4,
    edit_logic: 2,
    edit_window: 1,
    run_all: 4,
    run_a_range: 4,
    apply_a_plan_that_may_be_outdated: 2,
    roll_back: 3,
    meddle: 2,
    crash_and_resume: 2,
}


@proof
@pytest.mark.parametrize("seed", range(size(2, 100)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed)
    report("project-histories", cases=1, part=str(seed), steps=STEPS)


def play(tmp_path: Path, seed: int) -> None:
    """Take the steps of a history; a full run after them must leave what the oracle says."""
    rng = random.Random(seed)
    project = keyed_project(tmp_path) if seed % 2 else write_project(tmp_path)
    project.land("a", history(DAYS, each=2))
    project.ingest()
    for step in rng.choices(list(STEPS_BY_WEIGHT), list(STEPS_BY_WEIGHT.values()), k=STEPS):
        step(project, rng)
        assert not project.outstanding(), step.__name__

    run_all(project, rng)

    assert project.tables() == project.expected()
    assert not project.stale()
    assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}
    assert {v.proof.value for v in project.open().verify((), size=3)} == {"proven"}
