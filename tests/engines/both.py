"""Each engine behind the seam, for the suite that states what all of them promise."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from remint.engines.base import Maker
from remint.engines.duckdb import DuckDBEngine
from remint.engines.spark import SparkEngine
from remint.engines.spark_needs import missing_java, missing_library
from remint.engines.spark_session import SparkTarget, start_spark

ENGINES = ["duckdb", "spark"]
REMOTE = os.environ.get("REMINT_TEST_SPARK_REMOTE", "")
"""A Spark Connect server to run the suite on, in the place of a session of this process."""
HERE = SparkTarget(remote=REMOTE, master="local[2,2]")
"""A task may fail once."""
CHEAP = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    # A few rows need neither many partitions, nor code made for them, nor the second compiler: that is most of a
    # short life. The portability suite has the code made.
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@cache
def what_spark_lacks() -> str:
    """Return in words what is missing for Spark on this machine; empty where nothing is."""
    return missing_library("pyspark.sql") or missing_java(os.environ.get("JAVA_HOME", ""))


@cache
def spark_session() -> Any:
    """The one Spark of this process, started as a user's own program would; engines take it as it is."""
    if REMOTE:
        return start_spark(HERE, Path(tempfile.mkdtemp()))
    if missing := what_spark_lacks():
        pytest.skip(f"Spark cannot run here: {missing}")
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder.master(HERE.master)
    for name, value in {**CHEAP, "spark.local.dir": tempfile.mkdtemp()}.items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = builder.getOrCreate()
    session.sparkContext.pythonExec = sys.executable
    return session


def make_engine(name: str, folder: Path, *, threads: int = 2, scheme: str = "") -> Maker:
    """Return a new engine that may read and write below ``folder``."""
    if name == "duckdb":
        return make_embedded(folder, threads=threads, scheme=scheme)
    spark_session()
    return SparkEngine(HERE, folder / "tmp")


def make_embedded(folder: Path, *, threads: int = 2, scheme: str = "") -> DuckDBEngine:
    """Return the engine that looks at single files and answers people, whichever made the rows."""
    return DuckDBEngine(memory_limit="512MB", threads=threads, folder=folder / "tmp", allowed=(folder,), scheme=scheme)
