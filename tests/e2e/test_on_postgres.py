"""Projects whose state is on PostgreSQL: killed at every step, through random histories, side by side."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import Server
from tests.e2e import test_crash, test_histories
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

SCENES = size(1, len(test_crash.SCENES))
DEATHS = size(3, 10_000)
"""Of each scene and side; at full size every step."""


@proof
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", [test_crash.undoing, *test_crash.SCENES[:-1]][:SCENES])
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, on_postgres: Server, scene: Callable[[Path], tuple[Project, test_crash.Act]], when: When
) -> None:
    base, act = scene(tmp_path / "base")
    whole = base.clone(tmp_path / "whole")
    fuse = Fuse(test_crash.UNTOUCHED, when)
    act(armed(whole.open(), fuse))
    reference = test_crash.left_behind(whole)

    steps = list(enumerate(fuse.calls))
    chosen = random.Random(f"{scene.__name__} {when}").sample(steps, min(DEATHS, len(steps)))
    for number, step in sorted(chosen):
        hurt = base.clone(tmp_path / f"{number}")
        with pytest.raises(Killed):
            act(armed(hurt.open(), Fuse(number, when)))
        test_crash.pick_up(hurt, act, base.ticks)

        assert test_crash.left_behind(hurt) == reference, f"killed {when} call {number}, {step}"
        assert not test_crash.unnamed(hurt), f"killed {when} call {number}, {step}"
        on_postgres.drop(hurt.database)
    report("postgres-crashes", cases=len(chosen), part=f"{scene.__name__}-{when}")


@proof
@pytest.mark.parametrize("seed", range(size(1, 20)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, on_postgres: Server, seed: int) -> None:
    test_histories.play(tmp_path, seed)
    report("postgres-histories", cases=1, part=str(seed))
