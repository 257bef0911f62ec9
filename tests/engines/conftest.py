"""Lakes to ingest into, each in its own folder, all closed at the end."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engines.ingesting import BRONZE, Lake, MakeLake


@pytest.fixture
def make_lake(tmp_path: Path) -> Iterator[MakeLake]:
    with ExitStack() as opened:
        yield lambda bronze=BRONZE: opened.enter_context(Lake(_fresh(tmp_path), bronze))


@pytest.fixture
def lake(make_lake: MakeLake) -> Lake:
    return make_lake()


def _fresh(folder: Path) -> Path:
    return folder / str(len(list(folder.iterdir())))
