"""Where Spark is, through the command line: submitted, behind Spark Connect, and not there at all."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.projects import Project, history, write_project
from tests.e2e.test_engines import set_engine
from tests.engines.both import CHEAP, what_spark_lacks
from tests.proof import full_size, proof

pytestmark = pytest.mark.slow

MADE = ("silver.events",)
ASKED = ["run", *MADE, "--engine", "spark", "--reason", "test"]
_PATIENCE_S = 120


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with rows to build, whose settings name no Spark."""
    project = write_project(tmp_path / "p")
    set_engine(project, 'digests = "portable"')
    project.land("a", history(1, 2))
    project.ingest()
    return project


@pytest.fixture
def java() -> None:
    if missing := what_spark_lacks():
        pytest.skip(f"Spark cannot run here: {missing}")


def submit(*words: str) -> list[str]:
    """Return a command of spark-submit, with a Spark that starts quickly."""
    import pyspark

    settings = {**CHEAP, "spark.log.level": "ERROR"}
    confs = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    return [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]", *confs, *words]


def built(project: Project) -> None:
    """Require that Spark built what was asked, and that DuckDB proves it."""
    for name in MADE:
        assert project.rows(name) == project.expected()[name]
    timings = project.open().store.timings(MADE, 9)
    assert {t.engine for found in timings.values() for t in found} == {"spark"}
    assert {u.proof for u in project.open().verify(MADE, size=9)} == {"proven"}


@proof
@full_size
def test_a_process_that_was_submitted_takes_the_session_it_is_given(
    project: Project, java: None, tmp_path: Path
) -> None:
    program = tmp_path / "run.py"
    program.write_text("from remint.cli.main import main\n\nmain()\n")
    command = submit(str(program), "-C", str(project.root), *ASKED)

    said = subprocess.run(
        command, env={**os.environ, "PYSPARK_PYTHON": sys.executable}, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stderr
    built(project)


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """Give the address of a Spark Connect server of its own."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    confs = ["--conf", f"spark.connect.grpc.binding.port={port}", "--conf", f"spark.local.dir={folder}"]
    command = submit(*confs, "--class", server, "spark-internal")
    env = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
    try:
        began = time.monotonic()
        while not _answers(port):
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            assert time.monotonic() - began < _PATIENCE_S
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _answers(port: int) -> bool:
    with closing(socket.socket()) as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_of_spark_connect_makes_the_same(project: Project, java: None, tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    with connect_server(tmp_path) as address:
        set_engine(project, f'digests = "portable"\n[engine.spark]\nremote = "{address}"')
        said = remint(project, *ASKED)

    assert said.returncode == 0, said.stderr
    built(project)


@proof
@full_size
@pytest.mark.parametrize("delay_s", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_an_executor_that_dies_costs_nothing_but_time(
    project: Project, java: None, tmp_path: Path, delay_s: float
) -> None:
    import pyspark

    set_engine(project, 'digests = "portable"\n[engine.spark]\nmaster = "local-cluster[2,1,1024]"')
    project.land("b", history(3, 400))
    project.ingest()
    env = {**os.environ, "SPARK_HOME": str(Path(pyspark.__file__).parent), "PYSPARK_PYTHON": sys.executable}
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *ASKED]
    with (tmp_path / "said").open("wb") as out:
        running = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=tmp_path, start_new_session=True)
        while not any((project.root / "lake").rglob("part-*-spark")):
            assert running.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.02)
        time.sleep(delay_s)
        was_at_work = running.poll() is None
        oldest = ["-o", "-s", str(running.pid), "-f", "CoarseGrainedExecutorBackend"]
        subprocess.run(["pkill", "-KILL", *oldest], check=True)

        assert running.wait(_PATIENCE_S) == 0, (tmp_path / "said").read_text()

    assert was_at_work
    built(project)


def remint(project: Project, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project in a process of its own."""
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_without_java_a_run_says_what_is_missing_before_anything_is_written(project: Project, tmp_path: Path) -> None:
    before, runs = project.files(), len(list(project.open().store.runs(99)))
    only = tmp_path / "bin"
    only.mkdir()
    assert shutil.which("java", path=str(only)) is None

    said = remint(project, *ASKED, PATH=str(only), JAVA_HOME="")

    assert said.returncode == 2
    assert "RM452" in said.stderr
    assert "Java 17 or newer is needed, and there is none: JAVA_HOME is not set, and no java is on the PATH" in (
        " ".join(said.stderr.split())
    )
    assert "openjdk-17" in said.stderr
    assert "--engine duckdb" in said.stderr
    assert project.files() == before
    assert len(list(project.open().store.runs(99))) == runs
    assert not project.outstanding()
