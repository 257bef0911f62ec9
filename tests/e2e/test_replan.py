"""``plan --diff``: is a saved plan still what planning again would give, and if not, why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import strangers
from tests.e2e.projects import Project, built, day_at, event, remint


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A built project into which a late event came."""
    made = built(tmp_path, days=5)
    made.land("b", [event(900, 2)])
    made.ingest()
    return made


def saved(project: Project, *words: str) -> str:
    return str(json.loads(remint(project, "plan", *words, "--json").output)["plan"]["plan_id"])


def test_a_plan_that_still_fits_is_said_to_do_so(project: Project) -> None:
    plan_id = saved(project)

    result = remint(project, "plan", "--diff", plan_id, "--detailed-exitcode")

    assert result.exit_code == 0
    assert f"plan {plan_id} still fits" in result.output
    assert f"next: remint apply {plan_id}" in result.output


def test_what_moved_is_named_with_the_run_and_what_it_adds(project: Project) -> None:
    plan_id = saved(project)
    project.land("c", [event(901, 2), event(902, 4)])
    run = project.ingest()

    result = remint(project, "plan", "--diff", plan_id, "--detailed-exitcode", "--json")

    found = json.loads(result.output)
    assert result.exit_code == 3
    assert found["format"] == "remint.plan-diff/1"
    assert found["moved"] == [f"bronze.events {day_at(2)}: more rows arrived by run {run.run_id}"]
    assert {tuple(c["partitions"]) for c in found["added"] if c["dataset"] == "silver.events"} == {
        (f"{day_at(4)}..{day_at(4)}",)
    }
    assert [c["after"]["reasons"][0]["detail"] for c in found["changed"] if c["dataset"] == "silver.events"] == [
        "+3 rows arrived in bronze.events"
    ]
    assert Path(found["file"]).stem == found["new"]


def test_a_foreign_commit_is_named(project: Project) -> None:
    plan_id = saved(project)
    strangers.append(project, "silver.events", like=day_at(2))

    result = remint(project, "plan", "--diff", plan_id)

    assert f"moved since: silver.events {day_at(2)}: somebody else wrote to it: version" in result.output
    assert "FOREIGN its files are not those that remint published" in result.output
    assert result.exit_code == 0


def test_a_plan_that_was_applied_has_nothing_left(project: Project) -> None:
    plan_id = saved(project)
    assert remint(project, "apply", plan_id).exit_code == 0

    found = json.loads(remint(project, "plan", "--diff", plan_id, "--json").output)

    assert found["added"] == found["changed"] == []
    assert {c["dataset"] for c in found["removed"]} >= {"silver.events", "gold.daily"}
    assert found["file"] is None


def test_another_request_is_compared_when_it_is_given(project: Project) -> None:
    plan_id = saved(project)

    result = remint(project, "plan", "silver.events", "--diff", plan_id)

    assert "asks for another selectors" in result.output
    assert "- gold.daily" in result.output
