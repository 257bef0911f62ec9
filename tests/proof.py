"""The long proofs: how large they are, and the figures that they leave for docs/reliability.md.

``make test`` runs every proof small; ``make test-faults`` runs those marked ``proof`` at full size, and then
``docs/figures.py`` puts the figures that they leave in ``.proof/`` into the page.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, TypeVar

import pytest

FULL: Final = os.environ.get("REMINT_PROOF") == "full"
LEFT: Final = Path(__file__).parents[1] / ".proof"
of = ""
"""What the suites are held on, where that is not what they are mostly held on: it ends the names of their rows."""


T = TypeVar("T")


def size(small: T, full: T) -> T:
    """Return how many cases to try: ``small`` in ``make test``, ``full`` in ``make test-faults``."""
    return full if FULL else small


def report(row: str, *, cases: int, wrong: int = 0, part: str = "", **more: int | str) -> None:
    """Leave the figures of one suite, or of one ``part`` of it; a suite without cases is a failure.

    Args:
        row: name of the suite, as in docs/reliability.md: words with hyphens.
        cases: how many were tried; parts are added up.
        wrong: how many ended otherwise than they must.
        part: of a suite that several tests share.
        more: further figures; numbers are added up over the parts.
    """
    row += of
    assert cases > 0, f"{row} {part}: no case was tried"
    if FULL:
        LEFT.mkdir(exist_ok=True)
        name = f"{row}.{part}.json" if part else f"{row}.json"
        (LEFT / name).write_text(json.dumps({"cases": cases, "wrong": wrong, **more}, indent=1, sort_keys=True) + "\n")
    assert wrong == 0, f"{row} {part}: {wrong} of {cases} cases ended wrong"


proof = pytest.mark.proof
"""Marks a test that ``make test-faults`` runs at full size."""
full_size = pytest.mark.full_size
"""Marks a test that ``make test-faults`` alone runs."""
