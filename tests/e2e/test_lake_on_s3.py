"""A project does the same wherever its tables lie: on a disk of this machine, or in a bucket of an S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.projects import built, event

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "s3"])
def somewhere(request: pytest.FixtureRequest) -> str:
    """Where the tables of the projects of this test lie."""
    if request.param == "s3":
        request.getfixturevalue("on_s3")
    return str(request.param)


def test_a_history_is_built_and_late_rows_correct_it(somewhere: str, tmp_path: Path) -> None:
    project = built(tmp_path / "p", 4)
    assert project.tables() == project.expected()

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    project.run()

    assert project.tables() == project.expected()
    assert project.stale() == {}
