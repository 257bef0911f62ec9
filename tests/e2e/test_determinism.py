"""The same project on the same data gives the same content, whatever differs about the process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remint.model.request import Ask, Request
from remint.workspace import Workspace

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "api_entitlements"

SCRIPT = """
import json, sys
from pathlib import Path
from remint.loading.plan_file import plan_text
from tests.e2e.projects import event, history, write_project

project = write_project(Path(sys.argv[1]))
project.edit("remint.toml", "threads = 1", sys.argv[2])
project.land("a", history(35, each=5))
project.land("b", [event(900 + i, i % 35, i if i % 7 else "many") for i in range(60)])
project.ingest()
plan = project.plan()
project.apply(plan)
print(json.dumps({"digests": project.digests(), "actions": json.loads(plan_text(plan))["actions"]}, sort_keys=True))
"""


def made(folder: Path, settings: str, **environment: str) -> str:
    """Return what a process makes of the project, in one line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), settings],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the first process makes."""
    return made(tmp_path_factory.mktemp("first"), "threads = 1", PYTHONHASHSEED="0", TZ="UTC")


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        ("threads = 2", {"PYTHONHASHSEED": "1"}),
        ("threads = 2\nbatch_rows = 40", {"PYTHONHASHSEED": "2"}),
        ("threads = 1", {"TZ": "Pacific/Apia", "LC_ALL": "tr_TR.UTF-8"}),
    ],
)
def test_units_and_plans_are_the_same_in_every_process(
    first: str, tmp_path: Path, settings: str, environment: dict[str, str]
) -> None:
    second = made(tmp_path / "second", settings, **environment)

    assert len(json.loads(first)["digests"]["gold.trend"]) == 35
    assert second == first


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The example, built on 20,000 events."""
    root = tmp_path_factory.mktemp("example") / "p"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__", ".remint", "lake", "landing"))
    size = ["--events", "20000", "--days", "30", "--out", "landing"]
    subprocess.run([sys.executable, "generate.py", *size], cwd=root, check=True, capture_output=True)
    workspace = Workspace(root)
    workspace.ingest((), Ask(reason="test"))
    workspace.apply(workspace.make_plan(Request(requested_by="tester")))
    return Workspace(root)


def test_every_unit_of_the_example_made_alone_equals_the_one_made_in_a_batch(example: Workspace) -> None:
    proofs = example.verify((), size=1000)

    assert len(proofs) >= 30 * 5
    assert {p.proof.value for p in proofs} == {"proven"}


def test_the_example_accounts_for_every_line_that_was_landed(example: Workspace) -> None:
    run = next(r for r in example.store.runs(10) if r.kind == "ingest")
    found = json.loads(run.summary)

    assert found["rows_read"] == found["rows_added"] + found["rows_duplicate"] + found["rows_rejected"]
    assert found["rows_added"] > 20_000
    assert found["rows_rejected"] > 0
    silver = example.reader.sql(
        "SELECT (SELECT count(*) FROM silver.api_usage), (SELECT count(*) FROM silver.api_usage_quarantine)"
    )
    valid, rejected = silver.rows[0]
    assert valid + rejected <= found["rows_added"]
    assert rejected > 0


def test_the_example_is_wholly_fresh_after_one_run(example: Workspace) -> None:
    assert example.make_plan(Request(requested_by="tester")).is_empty
