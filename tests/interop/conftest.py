"""The programs, one process each for all tests here, or the reason why one cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.interop.programs import FOLDER, Duck, Spark

_HOW = "; `make interop` fetches it from the package registries"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """Spark, started once."""
    if shutil.which("java") is None:
        pytest.skip("SKIPPED: what Spark reads and writes is not compared, because there is no Java on this machine")
    if not (FOLDER / "jars").is_dir():
        pytest.skip(f"SKIPPED: what Spark reads and writes is not compared, because it is not in {FOLDER}{_HOW}")
    started = Spark(tmp_path_factory.mktemp("spark"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duck]:
    """A DuckDB with its own readers of both formats."""
    if not (FOLDER / "duckdb").is_dir():
        pytest.skip(f"SKIPPED: DuckDB's own readers are not compared, because they are not in {FOLDER}{_HOW}")
    started = Duck(tmp_path_factory.mktemp("duckdb"))
    yield started
    started.stop()
