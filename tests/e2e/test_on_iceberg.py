"""What the suites of runs, rollbacks and histories hold on Delta holds on Iceberg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import test_crash, test_histories
from tests.e2e.crashes import When
from tests.e2e.projects import Project
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_iceberg")]


@proof
@pytest.mark.parametrize("seed", range(size(1, 100)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    test_histories.play(tmp_path, seed)
    report("histories-iceberg", cases=1, part=str(seed))


EVERY = size(12, 1)
SCENES = [test_crash.late_rows, test_crash.undoing, *test_crash.SCENES]


@proof
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", list(dict.fromkeys(SCENES))[: size(1, len(SCENES))])
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, test_crash.Act]], when: When
) -> None:
    base, act = scene(tmp_path / "base")
    cases = test_crash.killed_everywhere(base, act, when, lambda steps: steps[::EVERY])
    report("steps-iceberg", cases=cases, part=f"{scene.__name__}-{when}")
