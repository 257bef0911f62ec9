"""What a person is told on a bad day: every word of it is true, and the next command works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remint.errors import ChecksFailed, PlanOutdated, RemintError
from tests.e2e.projects import Project, built, day_at, event, remint


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built(tmp_path_factory.mktemp("saved") / "p", days=8)


@pytest.fixture
def project(saved: Project, tmp_path: Path) -> Project:
    return saved.clone(tmp_path / "p")


def superseded(project: Project) -> str:
    """Return the run that a check failed, and that a later run did without."""
    project.land("b", [event(100 + day, day, -5) for day in range(8)])
    project.ingest()
    with pytest.raises(ChecksFailed):
        project.run()
    project.land("c", [event(100 + day, day, 5, version=1) for day in range(8)])
    project.ingest()
    project.run()
    return project.outstanding()[0].run_id


def test_a_run_that_a_later_one_did_without_is_not_offered_to_be_resumed(project: Project) -> None:
    run_id = superseded(project)

    shown = remint(project, "status").output
    found = json.loads(remint(project, "status", "--json").output)["outstanding"]
    symptom = next(s for s in project.open().upkeep.doctor(()) if s.subject == run_id)

    assert "remint resume" not in shown
    assert f"next: remint rollback {run_id} --reason" in shown
    assert "it cannot be resumed: what it reads or replaces moved since it was planned: bronze.events" in shown
    assert [len(run["moved"]) for run in found] == [33]
    assert symptom.hint.startswith(f"remint rollback {run_id} --reason")
    assert remint(project, "rollback", run_id, "--reason", "not needed any more").exit_code == 0
    assert "outstanding" not in remint(project, "status").output


def test_to_resume_a_run_that_cannot_be_is_refused_before_anything_is_written_down(project: Project) -> None:
    run_id = superseded(project)
    before = project.open().store.run(run_id), len(project.open().store.audit_of(run_id))

    refused = remint(project, "resume", run_id)
    with pytest.raises(PlanOutdated) as raised:
        project.open().resume(run_id)

    assert refused.exit_code == 6
    assert refused.output.count("\n  bronze.events ") == 5
    assert "... and 28 more; --json lists all" in refused.output
    assert f"next: remint rollback {run_id} --reason" in refused.output
    assert "alert" not in refused.output
    assert len(json.loads(json.dumps(raised.value.as_dict()))["moved"]) == 33
    assert (project.open().store.run(run_id), len(project.open().store.audit_of(run_id))) == before


def test_a_resumed_run_that_ended_well_raises_no_alert(project: Project) -> None:
    project.land("b", [event(100, 9)])
    project.ingest()
    in_the_way = project.folder("gold.daily") / f"event_date={day_at(9)}"
    in_the_way.write_text("")
    with pytest.raises(RemintError):
        project.run()
    run_id = project.outstanding()[0].run_id
    assert "alert: " not in remint(project, "show", run_id).output
    in_the_way.unlink()

    resumed = remint(project, "resume", run_id)

    assert resumed.exit_code == 0
    assert "alert: " not in resumed.output
    assert f"recovered: run {run_id} failed" in resumed.output
    assert project.tables() == project.expected()


def reasons(project: Project, dataset: str, span: str | None = None) -> list[str]:
    actions = [a for a in project.plan(dataset, span=span).actions if a.dataset == dataset]
    return [r.detail for a in actions for r in a.reasons]


def test_a_plan_counts_a_row_once_however_many_partitions_read_it(project: Project) -> None:
    project.land("b", [event(100 + n, 1, tenant=f"new-{n}") for n in range(2)])
    project.ingest()
    project.run("silver.events")
    project.run("gold.daily")

    assert reasons(project, "gold.trend") == ["gold.daily was republished (+2 rows)"]
    assert reasons(project, "gold.monthly") == ["gold.daily was republished (+2 rows)"]


def test_a_plan_counts_the_rows_of_the_partitions_that_it_makes(project: Project) -> None:
    project.land("b", [event(100 + n, n) for n in range(8)])
    project.ingest()

    assert reasons(project, "silver.events") == ["+8 rows arrived in bronze.events"]
    assert reasons(project, "silver.events", f"{day_at(2)}..{day_at(4)}") == ["+3 rows arrived in bronze.events"]


def test_a_plan_gives_no_number_that_is_not_true_of_all_its_partitions(project: Project) -> None:
    for name, part in (("b", f"{day_at(4)}..{day_at(7)}"), ("c", day_at(0))):
        project.land(name, [event(100 + ord(name), 1, tenant=name)])
        project.ingest()
        project.run("silver.events")
        project.run("gold.daily")
        project.run("gold.trend", span=part)

    assert reasons(project, "gold.trend") == ["gold.daily was republished"]


def test_a_partition_is_named_by_its_key_or_as_its_folder_is(project: Project) -> None:
    run_id = project.open().store.runs(1)[0].run_id

    def answer(*words: str) -> str:
        return remint(project, "rollback", run_id, "--dry-run", *words).output

    assert answer("--partition", f"event_date={day_at(1)}") == answer("--partition", day_at(1))
    assert answer("--partition", "event_month=2026-09-01") == answer("--partition", "2026-09")
    assert "1 partition would go back" in answer("--partition", "event_month=2026-09")
    refused = answer("--dataset", "gold.daily", "--partition", f"day={day_at(1)}")
    assert f"'day={day_at(1)}' is no partition of gold.daily\n" in refused
    assert f"next: write it as --partition {day_at(0)} for gold.daily\n" in refused
    assert f"next: leave the column out: --range {day_at(1)}" in answer("--range", f"event_date={day_at(1)}")


def test_the_whole_history_is_that_of_what_is_recomputed(project: Project) -> None:
    counts = "silver.events 8, silver.events_quarantine 8, gold.daily 8, gold.monthly 1, gold.trend 8"

    def answer(*words: str) -> str:
        asked = ("plan", *words, "--rebuild", "--no-override-state", "--reason", "test")
        return remint(project, *asked).output

    whole, within = answer(), answer("--range", f"{day_at(0)}..{day_at(7)}")

    assert f"of what is selected: 33 partitions ({counts})\n" in whole
    assert "next: add --all if that is meant, or limit it: --range " in whole
    assert f"of what is selected, all of it within [{day_at(0)}, {day_at(8)}): 33 partitions" in within
    assert "error RM316" not in answer("--range", f"{day_at(0)}..{day_at(6)}")


def test_a_source_file_that_is_refused_says_how_the_run_goes_on(project: Project) -> None:
    file = project.root / "landing" / "b.jsonl.gz"
    file.write_bytes(b"\x1f\x8b no gzip")

    refused = remint(project, "ingest").output
    run_id = project.outstanding()[0].run_id
    file.unlink()

    assert f"or take it out of the source; then: remint resume {run_id}\n" in refused
    assert remint(project, "resume", run_id).exit_code == 0
    assert not project.outstanding()


def test_columns_that_are_not_those_of_the_contract_name_the_run_and_its_end(project: Project) -> None:
    project.edit("datasets.py", "{FACTOR} AS BIGINT)", "{FACTOR} AS VARCHAR)")

    stopped = remint(project, "run").output
    run_id = project.outstanding()[0].run_id

    assert "error RM403: gold.daily" in stopped
    assert f'then: remint rollback {run_id} --reason "..."; and plan again' in stopped
    assert remint(project, "rollback", run_id, "--reason", "the type was wrong").exit_code == 0


def test_a_mistake_in_the_project_says_what_to_do(project: Project) -> None:
    project._replace("sql/monthly.sql", "sum(events)", "now(), sum(events)")

    told = remint(project, "status").output

    assert "error RM200: " in told
    assert "next: correct it, then: remint status    # reads the project again" in told
