"""Projects whose state is on PostgreSQL: killed at every step, through random histories, side by side."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import test_crash, test_histories
from tests.e2e.crashes import When
from tests.e2e.projects import Project
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow

SCENES = size(1, len(test_crash.SCENES))
DEATHS = size(2, 10_000)
"""Of each scene and side; at full size every step."""


@proof
@pytest.mark.usefixtures("on_postgres")
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", [test_crash.undoing, *test_crash.SCENES[:-1]][:SCENES])
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, test_crash.Act]], when: When
) -> None:
    base, act = scene(tmp_path / "base")
    rng = random.Random(f"{scene.__name__} {when}")
    cases = test_crash.killed_everywhere(base, act, when, lambda s: sorted(rng.sample(s, min(DEATHS, len(s)))))
    report("postgres-crashes", cases=cases, part=f"{scene.__name__}-{when}")


@proof
@pytest.mark.usefixtures("on_postgres")
@pytest.mark.parametrize("seed", range(size(1, 20)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    test_histories.play(tmp_path, seed)
    report("postgres-histories", cases=1, part=str(seed))
