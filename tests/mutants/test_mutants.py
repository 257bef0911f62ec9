"""Tests that would not notice a planted fault prove nothing: every fault must turn at least one of them red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS, Fault
from tests.mutants.protocol import PROTOCOL
from tests.proof import FULL, proof, report, size

ROOT = Path(__file__).parents[2]
PASSED, FAILED = 0, 1
SMALL = {"REMINT_SIM": "first", "REMINT_PROOF": ""}
"""Proofs stop at the first thing that they find."""
PLANTED = tuple(fault for fault in (*FAULTS, *PROTOCOL) if FULL or fault.is_quick)
"""``make test`` plants the faults that a test notices at once; those that many histories must meet take longer."""
NO_FAULT = re.compile(r"^E +(Name|Syntax|Import|Attribute|Key)Error", re.MULTILINE)
"""What a fault that was not written well makes of the code."""

pytestmark = pytest.mark.slow


def outcome(source: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Return how pytest ended on ``tests`` with the code in ``source`` (0 passed, 1 failed), and what it said."""
    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={**os.environ, **SMALL, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code."""
    copied = tmp_path_factory.mktemp("mutants") / "src"
    shutil.copytree(ROOT / "src", copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def test_every_fault_can_be_planted(source: Path) -> None:
    changed = [f.name for f in (*FAULTS, *PROTOCOL) if (source / "remint" / f.file).read_text().count(f.right) != 1]

    assert not changed, "the code has changed: write these faults anew"


@proof
def test_the_copy_without_a_fault_passes(source: Path) -> None:
    """Some of the tests, in small: the rest of ``make test`` are all of them, on the code itself."""
    tests = sorted({test for fault in PLANTED for test in fault.tests})
    code, said = outcome(source, tuple(tests[: size(2, len(tests))]))

    assert code == PASSED, said


@proof
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_turns_a_test_red(source: Path, fault: Fault) -> None:
    path = source / "remint" / fault.file
    text = path.read_text()
    path.write_text(text.replace(fault.right, fault.wrong))
    try:
        code, said = outcome(source, fault.tests)
    finally:
        path.write_text(text)
    assert code == FAILED, f"no test of {fault.tests} notices:\n{said}"
    assert fault.says in said, f"it is noticed for another reason:\n{said}"
    assert not NO_FAULT.search(said), f"it broke the code:\n{said}"
    report("mutants", cases=1, part=fault.name)
