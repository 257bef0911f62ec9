"""Each engine behind the seam, for the suite that states what all of them promise."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from remint.engines.base import Engine
from remint.engines.duckdb import DuckDBEngine
from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.engines.spark import SparkEngine
from remint.engines.spark_session import SparkTarget, start_spark

ENGINES = ["duckdb", "spark"]
REMOTE = os.environ.get("REMINT_TEST_SPARK_REMOTE", "")
"""A Spark Connect server to run the suite on, in the place of a session of this process."""
HERE = SparkTarget(remote=REMOTE, master="local[2,2]", memory_limit="1GB", shuffle_partitions=2)
"""A task may fail once; two shuffle partitions are enough for a few rows."""


@cache
def spark_session() -> Any:
    """The one Spark of this process; engines take it as it is, each in a session of its own."""
    if not REMOTE and shutil.which("java") is None:
        pytest.skip("Spark needs Java 17, and there is no java on the PATH")
    return start_spark(HERE, Path("/tmp/remint-spark-tests"))


def make_engine(name: str, folder: Path, *, threads: int = 2, scheme: str = "") -> Engine:
    """Return a new engine that may read and write below ``folder``."""
    embedded = DuckDBEngine(
        memory_limit="512MB",
        threads=threads,
        folder=folder / "tmp",
        allowed=(folder,),
        scheme=PORTABLE_SCHEME if name == "spark" else scheme,
    )
    if name == "duckdb":
        return embedded
    spark_session()
    return SparkEngine(target=HERE, folder=folder / "tmp", embedded=embedded)
