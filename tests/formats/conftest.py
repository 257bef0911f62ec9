"""One contract, held on every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.kinds import KINDS, Kind


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """One format in a folder of its own."""
    return KINDS[request.param](tmp_path)
