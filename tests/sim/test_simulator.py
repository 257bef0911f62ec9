"""Random histories, in memory and on real tables: after every step, and at the end, everything is as it must be."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proof import FULL, proof, report, size
from tests.sim.delta import DeltaLake
from tests.sim.history import FAILURES, PAIRS, Coverage, Worlds, loaded, play, replay, shrunk, stored
from tests.sim.lake import MemoryLake
from tests.sim.watch import Violation

LAKES: dict[str, Any] = {"memory": MemoryLake, "delta": DeltaLake}
PARTS = size(2, 10)
"""Tests that share the histories, so that two processes can take them."""
FIRST = os.environ.get("REMINT_SIM") == "first"
"""Stop at the first violation: enough for a planted fault."""
OFTEN = 5
"""How often every step must be taken in a part of the full size."""
MOST = 0.6
"""Of all pairs of steps, what must be met there; some exclude each other."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk in memory, where there is one: nothing here is about the disk."""
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="remint-sim-", dir=shared if shared.is_dir() else tmp_path))
    yield place
    shutil.rmtree(place, ignore_errors=True)


def histories(row: str, part: int, cases: int, worlds: Worlds) -> Coverage:
    """Play a part of the histories of ``row``; what fails is shrunk, stored and printed."""
    coverage = Coverage()
    for seed in range(part * cases, (part + 1) * cases):
        try:
            play(worlds, seed, coverage)
        except Violation as error:
            if FIRST:
                raise
            found, words, script = coverage.violations[-1]
            few = shrunk(worlds, found, script, error.rule)
            path = stored(f"{row}-{found}", row, found, words, few)
            sys.stdout.write(f"seed {found}: {words}\n  stored in {path}:\n  " + "\n  ".join(map(str, few)) + "\n")
    sys.stdout.write(coverage.table() + "\n")
    return coverage


@proof
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_in_memory_everything_holds(folder: Path, part: int) -> None:
    cases = size(8, 1_000)

    met = histories("memory", part, cases, lambda seed: MemoryLake(folder, seed))

    report(
        "simulator",
        cases=cases,
        wrong=len(met.violations),
        part=str(part),
        steps=met.steps,
        kills=met.kills,
    )
    assert not FULL or met.ops_min >= OFTEN
    assert not FULL or len(met.pairs.keys() & set(PAIRS)) >= MOST * len(PAIRS)


@proof
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_to_delta_tables_everything_holds(folder: Path, part: int) -> None:
    cases = size(1, 30)

    met = histories("delta", part, cases, lambda seed: DeltaLake(folder, seed))

    report(
        "histories-delta",
        cases=cases,
        wrong=len(met.violations),
        part=str(part),
        steps=met.steps,
        kills=met.kills,
    )


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.json")), ids=lambda path: path.stem)
def test_a_history_that_failed_once_holds(folder: Path, path: Path) -> None:
    world, seed, script = loaded(path)

    replay(lambda found: LAKES[world](folder, found), seed, script)
