"""A lake in a bucket, made by Spark through the S3A file system: what DuckDB makes there, and no secret anywhere.

The jars are no part of PySpark: Spark fetches them from Maven Central once, 19 MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.buckets import Bucket
from tests.e2e import projects
from tests.e2e.projects import Project, event, history, write_project
from tests.e2e.test_engines import set_engine
from tests.engines.both import what_spark_lacks
from tests.proof import full_size, proof

pytestmark = [pytest.mark.slow, proof, full_size]

SDK = "software.amazon.awssdk"
PACKAGES = f"org.apache.hadoop:hadoop-aws:3.5.0,{SDK}:s3-transfer-manager:2.35.4,{SDK}:sts:2.35.4"
QUICK = "--conf spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1"


def run(project: Project, submit: str) -> subprocess.CompletedProcess[str]:
    """Rebuild everything with Spark, in a process of its own, which is given the jars in Spark's own way."""
    command = [sys.executable, "-m", "remint", "-C", str(project.root), "run", "--engine", "spark", "--all"]
    command += ["--rebuild", "--no-override-state", "--reason", "test"]
    env = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"{submit} pyspark-shell"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kept_in", ["delta", "iceberg"])
def test_tables_in_a_bucket_are_made_by_spark_as_by_duckdb(
    on_s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_in: str
) -> None:
    if missing := what_spark_lacks():
        pytest.skip(f"Spark cannot run here: {missing}")
    monkeypatch.setattr(projects, "tables_in", kept_in)
    project = write_project(tmp_path / "p")
    set_engine(project, 'digests = "portable"\n[engine.spark]\nmaster = "local[2]"')
    project.keep_tables_in(on_s3)
    project.land("a", [*history(2), event(50, 1, "no number")])
    project.ingest()
    log = tmp_path / "log"
    log.mkdir()

    said = run(
        project,
        f"{QUICK} --packages {PACKAGES} --exclude-packages {SDK}:bundle --conf spark.eventLog.enabled=true "
        f"--conf spark.eventLog.compress=false --conf spark.eventLog.dir={log.as_uri()}",
    )

    if "unresolved dependency" in said.stderr + said.stdout:
        pytest.skip("Spark cannot fetch the jars of the S3A file system: no way to Maven Central")
    assert said.returncode == 0, said.stderr
    assert project.tables() == project.expected()
    made = project.digests()
    live = set().union(*project.live().values())
    assert project.parts() == live
    assert {path for path in project.files() if path.endswith("/") or "spark" in path} == set()
    project.run(rebuild=True)
    assert project.digests() == made
    assert project.parts() == live  # all came out the same
    written = [p.read_bytes() for folder in (project.root, log) for p in folder.rglob("*") if p.is_file()]
    assert any(b"fs.s3a" in content for content in written)
    written += [text.encode() for text in (said.stdout, said.stderr)] + [*on_s3.objects(project.lake).values()]
    for secret in (on_s3.key, on_s3.secret):
        assert not any(secret.encode() in content for content in written)
