"""Where Spark is, what it is set to mean, and what is said where it is not, or is something else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from remint.engines.spark_needs import require_spark_here
from remint.engines.spark_session import BucketAccess, SparkTarget, _require_spark, first_line, start_spark
from remint.errors import EngineRefused, EngineUnavailable
from tests.engines.both import HERE, REMOTE, spark_session

OF_THIS_PROCESS = pytest.mark.skipif(bool(REMOTE), reason="of a Spark in the process itself")


@OF_THIS_PROCESS
def test_a_session_that_is_there_is_taken_as_it_is_and_left_as_it_was(tmp_path: Path) -> None:
    held = spark_session()
    held.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")

    taken = start_spark(HERE, tmp_path)

    assert taken.sparkContext is held.sparkContext
    assert taken.conf.get("spark.sql.session.timeZone") == "UTC"
    assert held.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    held.conf.set("spark.sql.session.timeZone", "UTC")


def test_what_gives_other_answers_than_spark_is_refused_with_every_one_of_them(tmp_path: Path) -> None:
    spark_session()
    other = start_spark(HERE, tmp_path)
    _require_spark(other, "sc://here:1")
    other.conf.set("spark.sql.ansi.enabled", "false")

    with pytest.raises(EngineRefused, match="whole number that overflows: expected OVERFLOW, found -2") as raised:
        _require_spark(other, "sc://here:1")

    assert "a sum that overflows" in raised.value.message


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\nfrom remint.engines.spark_session import *\nfrom remint.errors import *\n"
        "try: start_spark(SparkTarget(remote='sc://host.invalid:1/;session_id=x'), Path('x'))\n"
        "except EngineUnavailable as error: print(error.code, error.message)\n"
    )

    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert said.stdout.startswith("RM452 Spark does not start (sc://host.invalid:1"), said.stderr


def test_a_process_without_pyspark_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)

    with pytest.raises(EngineUnavailable, match="not installed") as raised:
        start_spark(SparkTarget(), tmp_path)

    assert "remint[spark]" in (raised.value.hint or "")


def test_a_process_without_what_connect_needs_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)

    with pytest.raises(EngineUnavailable, match="not installed") as raised:
        start_spark(SparkTarget(remote="sc://host.invalid:1"), tmp_path)

    assert "remint[spark-connect]" in (raised.value.hint or "")


@OF_THIS_PROCESS
def test_a_session_that_cannot_reach_a_bucket_is_refused_with_the_jars_that_it_lacks(tmp_path: Path) -> None:
    spark_session()
    bucket = BucketAccess(lake="s3://lake/tables", endpoint="http://127.0.0.1:1", region="us-east-1")

    with pytest.raises(EngineUnavailable, match="this session has none") as raised:
        start_spark(replace(HERE, bucket=bucket), tmp_path)

    assert "--packages org.apache.hadoop:hadoop-aws:" in (raised.value.hint or "")


def java(folder: Path, version: str) -> str:
    """Return a JAVA_HOME whose java says that it is of a version."""
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\nprintf 'openjdk version \"{version}\"\\n' >&2\n")
    command.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("version", "found"),
    [("11.0.2", "found Java 11: "), ("1.8.0_402", "found Java 8: "), ("what", "found one of no version that is known")],
)
def test_a_java_that_is_too_old_is_named(tmp_path: Path, version: str, found: str) -> None:
    with pytest.raises(EngineUnavailable, match="Java 17 or newer is needed") as raised:
        require_spark_here(java(tmp_path, version))

    assert found in raised.value.message
    assert "openjdk-17" in (raised.value.hint or "")


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=f"JAVA_HOME is {tmp_path}, and it does not start"):
        require_spark_here(str(tmp_path))


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineUnavailable, match=r"pyspark is not installed .* no java is on the PATH") as raised:
        require_spark_here("")

    assert "remint[spark]" in (raised.value.hint or "")
    assert "openjdk-17" in (raised.value.hint or "")


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea"])
def test_a_java_that_will_do_is_no_matter(tmp_path: Path, version: str) -> None:
    require_spark_here(java(tmp_path, version))


def test_of_a_workers_error_the_last_words_are_shown() -> None:
    text = (
        "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n  File x\nOSError: gone\n"
    )

    assert first_line(RuntimeError(text)) == "OSError: gone"
    assert first_line(RuntimeError("")) == "RuntimeError"
