"""What the suites of runs, rollbacks and histories hold on Delta holds on Iceberg."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import test_histories
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_iceberg")]


@proof
@pytest.mark.parametrize("seed", range(size(2, 100)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    test_histories.play(tmp_path, seed)
    report("histories-iceberg", cases=1, part=str(seed))
