"""Tests that would not notice a planted fault prove nothing: every fault must turn at least one of them red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS, Fault
from tests.mutants.protocol import PROTOCOL, SIMULATOR
from tests.proof import FULL, proof, report

ROOT = Path(__file__).parents[2]
PASSED, FAILED = 0, 1
SMALL = {"REMINT_SIM": "first", "REMINT_PROOF": ""}
"""Proofs stop at the first thing that they find."""
CHEAP = tuple(fault for fault in (*FAULTS, *PROTOCOL) if fault.tests != SIMULATOR)
"""Faults that ``make test`` plants; those that histories must meet take longer."""

pytestmark = pytest.mark.slow


def outcome(source: Path, tests: tuple[str, ...]) -> int:
    """Return how pytest ended on ``tests`` with the code in ``source``: 0 all passed, 1 some failed, else it broke."""
    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={**os.environ, **SMALL, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    return result.returncode


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code."""
    copied = tmp_path_factory.mktemp("mutants") / "src"
    shutil.copytree(ROOT / "src", copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def test_the_copy_without_a_fault_passes(source: Path) -> None:
    assert outcome(source, tuple(sorted({test for fault in CHEAP for test in fault.tests}))) == PASSED


@proof
@pytest.mark.parametrize("fault", (*FAULTS, *PROTOCOL) if FULL else CHEAP, ids=lambda fault: fault.name)
def test_a_planted_fault_turns_a_test_red(source: Path, fault: Fault) -> None:
    path = source / "remint" / fault.file
    text = path.read_text()
    assert text.count(fault.right) == 1, f"{fault.file} has changed: write the fault {fault.name} anew"
    path.write_text(text.replace(fault.right, fault.wrong))
    try:
        assert outcome(source, fault.tests) == FAILED, f"no test of {fault.tests} notices"
    finally:
        path.write_text(text)
    report("mutants", cases=1, part=fault.name)
