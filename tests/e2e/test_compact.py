"""Rows that somebody deleted beside their files: seen, never lost, and adopted by writing what is left anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remint.errors import AdoptRefused, NotResumable
from remint.execution.verify import Proof
from remint.model.run import Run, RunState
from tests.e2e import projects
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project, built, day_at, remint
from tests.e2e.test_crash import UNTOUCHED, left_behind, unnamed
from tests.proof import proof, report, size

LEFT = [(day_at(1), "t1", 1, 20)]
"""The row of gold.daily on that day that is not deleted."""


@pytest.fixture(params=["delta", "iceberg"])
def project(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project in which two of the three rows of a partition of Gold are deleted beside their file."""
    monkeypatch.setattr(projects, "tables_in", request.param)
    made = built(tmp_path / "base", days=3)
    made.lakehouse.mask("gold.daily", day_at(1), [0, 2])
    return made


def adopt(project: Project, table: str = "gold.daily", *, compact: bool = True) -> Run | None:
    return project.open().adopt(table, project.ask(), compact=compact)


def test_a_partition_with_masked_rows_is_foreign_and_refused_until_somebody_asks_to_compact_it(
    project: Project,
) -> None:
    assert project.stale()["gold.daily"][2] == 1

    refused = remint(project, "adopt", "gold.daily", "--reason", "test")
    taken = remint(project, "adopt", "gold.daily", "--compact", "--reason", "test")

    assert (refused.exit_code, taken.exit_code) == (6, 0)
    assert "the files of 1 partition do not hold just their rows" in refused.output
    assert 'remint adopt gold.daily --compact --reason "..."' in refused.output
    assert "1 partition of them written anew, without what was deleted" in taken.output
    assert "2 rows taken" not in taken.output
    assert [row for row in project.rows("gold.daily") if row[0] == day_at(1)] == LEFT
    assert not {"bad"} & {s.health for s in project.open().upkeep.doctor((), read_data=True)}


def test_what_reads_it_becomes_stale_and_verify_says_what_is_gone(project: Project) -> None:
    adopt(project)

    stale = project.stale()
    proofs = {p.key: p for p in project.open().verify(["gold.daily"], size=9)}
    project.run()

    assert "gold.daily" not in stale
    assert stale["gold.monthly"][0] == 1
    assert (proofs[day_at(1)].proof, proofs[day_at(1)].rows_added) == (Proof.DIFFERENT, 2)
    assert not project.stale()
    assert len(project.rows("gold.daily")) == 7


def test_a_plan_brings_the_deleted_rows_back(project: Project) -> None:
    run = project.run()
    assert project.tables() == project.expected()
    project.rollback(run.run_id)

    assert project.tables() == project.expected()
    assert not project.stale()
    assert not {"bad"} & {s.health for s in project.open().upkeep.doctor((), read_data=True)}


def test_a_later_run_over_it_is_taken_back_to_the_rows_that_were_adopted(project: Project) -> None:
    adopt(project)
    before = project.live()["gold.daily"]
    run = project.run("gold.daily", span=day_at(1), rebuild=True)
    assert project.rows("gold.daily") == project.expected()["gold.daily"]

    project.rollback(run.run_id)

    assert project.live()["gold.daily"] == before
    assert [row for row in project.rows("gold.daily") if row[0] == day_at(1)] == LEFT


def test_bronze_that_was_ingested_is_never_written_anew(project: Project) -> None:
    (key,) = project.digests()["bronze.events"]
    project.lakehouse.mask("bronze.events", key, [0, 1])

    with pytest.raises(AdoptRefused, match=r"append-only, and .* holds ingested files beside what was changed"):
        adopt(project, "bronze.events")

    assert project.outstanding() == []


@proof
@pytest.mark.slow
@pytest.mark.parametrize("when", When)
def test_an_adoption_killed_at_any_step_is_finished_or_given_up_and_made_again(project: Project, when: When) -> None:
    whole = project.clone(project.root.parent / "whole")
    fuse = Fuse(UNTOUCHED, when)
    armed(whole.open(), fuse).adopt("gold.daily", whole.ask(), compact=True)
    reference = {name: found for name, found in left_behind(whole).items() if name not in ("audit", "runs")}
    summary = json.loads(reference.pop("summaries")[0])

    finished, chosen = 0, list(enumerate(fuse.calls))[:: size(3, 1)]
    for number, step in chosen:
        hurt = project.clone(project.root.parent / f"{number}")
        with pytest.raises(Killed):
            armed(hurt.open(), Fuse(number, when)).adopt("gold.daily", hurt.ask(), compact=True)
        for run in hurt.outstanding():
            finished += run.state is RunState.PUBLISHING
            if run.state is not RunState.PUBLISHING:
                with pytest.raises(NotResumable, match="interrupted before it adopted anything"):
                    hurt.open().resume(run.run_id)
                hurt.give_up()
        for run in hurt.outstanding():
            hurt.open().resume(run.run_id)
        if "gold.daily" in hurt.stale():
            adopt(hurt)

        found = left_behind(hurt)
        newest = json.loads(found.pop("summaries")[0])
        assert {name: found[name] for name in reference} == reference, f"killed {when} call {number}, {step}"
        assert newest.keys() == summary.keys()
        assert {p for p in unnamed(hurt) if "/part-r-" in p} == set(), f"killed {when} call {number}, {step}"
    assert finished
    report("steps", cases=len(chosen), part=f"adopting-{project.format}-{when}")
