"""Drawn projects with SQL for every mapping and grain on real Delta tables: what a run leaves equals the oracle.

Counted as histories: each of the ``GRAPHS`` drawn projects is changed and brought up to date ``STEPS`` times.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from remint.errors import InvalidRange, RollbackRefused
from remint.model.run import RunKind, RunState
from tests.e2e.generated import Drawn, drawn_project
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

GRAPHS = size(3, 20)
STEPS = 7


def land_late_rows(project: Drawn, rng: random.Random) -> None:
    project.land_rows(rng, rng.randint(1, 3))


def edit_logic(project: Drawn, rng: random.Random) -> None:
    table = rng.choice([t for t in project.tables.values() if t.transform])
    project.declare(replace(table, salt=table.salt + 1))


def edit_a_comment(project: Drawn, rng: random.Random) -> None:
    table = rng.choice([t for t in project.tables.values() if t.transform])
    project.tables[table.name] = replace(table, style=table.style + 1)
    project.write()
    assert project.plan().is_empty


def run_a_part(project: Drawn, rng: random.Random) -> None:
    project.land_rows(rng, 1)
    name = rng.choice([n for n, t in project.tables.items() if t.transform])
    try:
        plan = project.plan(rng.choice([name, f"+{name}"]), span=rng.choice([None, "2026-10-31..2026-11-01"]))
    except InvalidRange:
        return
    if not plan.is_empty:
        project.apply(plan)


def roll_back(project: Drawn, rng: random.Random) -> None:
    runs = [r for r in project.open().store.runs(20, [RunState.SUCCEEDED]) if r.kind is RunKind.APPLY]
    with suppress(RollbackRefused):
        project.rollback(rng.choice(runs[:2]).run_id)


CHANGES: list[Callable[[Drawn, random.Random], None]] = [
    land_late_rows,
    land_late_rows,
    edit_logic,
    edit_a_comment,
    run_a_part,
    roll_back,
]


@proof
@pytest.mark.parametrize("seed", range(GRAPHS))
def test_a_drawn_project_equals_the_oracle_after_every_change(tmp_path: Path, seed: int) -> None:
    project, rng = drawn_project(tmp_path, seed), random.Random(seed)
    project.run()
    project.compare()

    for _ in range(STEPS):
        rng.choice(CHANGES)(project, rng)
        plan = project.plan()
        if not plan.is_empty:
            project.apply(plan)
        project.compare()
        assert project.plan().is_empty

    assert {v.proof.value for v in project.open().verify((), size=4)} == {"proven"}
    report("drawn-graphs", cases=STEPS, part=str(seed))
