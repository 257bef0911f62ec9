"""What remint did not write: seen, healed in Silver and Gold, refused in Bronze, and never overwritten unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from remint.errors import BronzeChanged, PlanError, PlanOutdated, PlanUsed, PublishConflict, UnknownPlan
from remint.loading.plan_file import read_plan
from remint.model.plan import StaleCause
from tests.e2e import strangers
from tests.e2e.crashes import Meddled, meddling
from tests.e2e.projects import Project, built, day_at, event

Stranger = Callable[[Project, str, str], None]


def append(project: Project, table: str, key: str) -> None:
    strangers.append(project, table, like=key)


STRANGERS = [append, strangers.overwrite, strangers.delete]


@pytest.mark.parametrize("write", STRANGERS)
@pytest.mark.parametrize("table", ["silver.events", "gold.daily", "gold.trend"])
def test_a_foreign_write_is_reported_and_healed(tmp_path: Path, table: str, write: Stranger) -> None:
    project = built(tmp_path, days=6)
    before = project.digests()
    write(project, table, day_at(3))

    plan = project.plan()
    found = project.stale()[table]
    project.apply(plan)

    assert found[2] == 1
    assert [(a.dataset, list(a.keys), a.reasons[0].cause) for a in plan.actions if a.certain] == [
        (table, [day_at(3)], StaleCause.FOREIGN)
    ]
    assert project.tables() == project.expected()
    assert project.digests() == before
    assert not project.stale()


def test_a_foreign_partition_that_no_input_calls_for_is_healed_too(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.append(project, "gold.daily", like=day_at(1), to=day_at(60))

    plan = project.plan()
    project.apply(plan)

    assert ("gold.daily", [day_at(60)]) in [(a.dataset, list(a.keys)) for a in plan.actions if a.certain]
    assert plan.actions[0].reasons[0].cause is StaleCause.MISSING
    assert project.tables() == project.expected()
    assert not project.stale()


def test_foreign_rows_without_a_partition_are_named_with_their_remedy(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.append_null(project, "gold.daily", like=day_at(1))

    with pytest.raises(PlanError, match=r"gold\.daily: somebody else wrote rows without event_date") as raised:
        project.plan()

    assert raised.value.hint is not None
    project.delta("gold.daily").delete("event_date IS NULL")
    assert not project.stale()


def test_a_foreign_write_stays_reported_while_runs_write_other_partitions(tmp_path: Path) -> None:
    project = built(tmp_path, days=10)
    append(project, "gold.daily", day_at(1))

    project.run("gold.daily", span=day_at(7), rebuild=True)
    project.set_factor(2)
    project.run("gold.daily", span=day_at(7))

    assert project.stale()["gold.daily"] == (9, 0, 1)


def test_a_foreign_commit_that_moves_no_file_makes_nothing_stale(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)

    project.delta("gold.daily").alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"})

    assert project.versions()["gold.daily"] == 2
    assert not project.stale()


def test_an_append_to_bronze_by_somebody_else_stops_planning(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    append(project, "bronze.events", "2026-11-02")

    with pytest.raises(BronzeChanged, match=r"bronze\.events") as raised:
        project.plan()

    assert raised.value.exit_code == 6


def test_a_file_taken_out_of_bronze_stops_planning(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.take_out(project, "bronze.events", "2026-11-02")

    with pytest.raises(BronzeChanged, match="2026-11-02"):
        project.plan()


def test_an_ingest_does_not_hide_what_somebody_else_did_to_bronze(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    append(project, "bronze.events", "2026-11-02")
    project.land("b", [event(900, 2)])
    project.ingest()

    with pytest.raises(BronzeChanged):
        project.plan()


def changed(root: Path) -> Project:
    """Return a built project in which every unit of gold is stale."""
    project = built(root, days=6)
    project.set_factor(2)
    return project


@pytest.mark.parametrize("write", STRANGERS)
def test_a_foreign_write_between_plan_and_apply_to_a_planned_partition_is_not_overwritten(
    tmp_path: Path, write: Stranger
) -> None:
    project = changed(tmp_path)
    plan = project.plan()
    write(project, "gold.daily", day_at(3))
    before = project.fingerprint()

    with pytest.raises((PlanOutdated, PublishConflict), match=day_at(3)) as raised:
        project.apply(plan)

    assert raised.value.exit_code == 6
    assert project.fingerprint() == before
    project.give_up()
    project.run()
    assert project.tables() == project.expected()


@pytest.mark.parametrize("table", ["gold.daily", "gold.trend", "gold.monthly"])
@pytest.mark.parametrize("write", STRANGERS)
def test_a_foreign_write_while_a_run_stages_is_a_conflict_and_nothing_is_published(
    tmp_path: Path, table: str, write: Stranger
) -> None:
    project = changed(tmp_path)
    key = "2026-09-01" if table == "gold.monthly" else day_at(3)
    before = project.tables()
    workspace = meddling(project.open(), Meddled("intend", lambda: write(project, table, key)))

    with pytest.raises(PublishConflict, match=key[:7]):
        workspace.apply(project.plan())

    others = [t for t in before if t != table]
    assert {t: project.rows(t) for t in others} == {t: before[t] for t in others}
    project.give_up()
    project.run()
    assert project.tables() == project.expected()
    assert not project.stale()


@pytest.mark.parametrize("number", [1, 2])
def test_a_conflict_after_the_first_commits_takes_them_back(tmp_path: Path, number: int) -> None:
    """The foreign write falls between the commits of two tables."""
    project = changed(tmp_path)
    before = project.tables()
    victim = ["gold.monthly", "gold.trend"][number - 1]
    key = "2026-09-01" if victim == "gold.monthly" else day_at(3)
    meddler = Meddled("publish", lambda: append(project, victim, key), number)

    with pytest.raises(PublishConflict):
        meddling(project.open(), meddler).apply(project.plan())

    assert {t: project.rows(t) for t in before if t != victim} == {t: r for t, r in before.items() if t != victim}
    assert [r.state for r in project.outstanding()] == ["failed"]
    project.give_up()
    project.run()
    assert project.tables() == project.expected()


def test_a_foreign_write_to_another_partition_during_a_run_survives_beside_it(tmp_path: Path) -> None:
    project = changed(tmp_path)
    plan = project.plan("gold.daily", span=day_at(2))
    workspace = meddling(project.open(), Meddled("intend", lambda: append(project, "gold.daily", day_at(4))))

    workspace.apply(plan)

    rows = project.rows("gold.daily")
    expected = {r[0]: r[3] for r in project.expected()["gold.daily"]}
    assert {r[3] for r in rows if r[0] == day_at(2)} == {
        r[3] for r in project.expected()["gold.daily"] if r[0] == day_at(2)
    }
    assert sum(r[0] == day_at(4) for r in rows) == 6, expected
    assert project.stale()["gold.daily"][2] == 1


def test_new_arrivals_for_a_planned_day_outdate_the_plan(tmp_path: Path) -> None:
    project = built(tmp_path, days=6)
    project.land("b", [event(900, 2)])
    project.ingest()
    plan = project.plan()
    project.land("c", [event(901, 2)])
    project.ingest()
    before = project.fingerprint()

    with pytest.raises(PlanOutdated, match=day_at(2)) as raised:
        project.apply(plan)

    assert raised.value.exit_code == 6
    assert project.fingerprint() == before
    assert not project.outstanding()


def test_arrivals_for_other_days_do_not_outdate_the_plan(tmp_path: Path) -> None:
    project = built(tmp_path, days=6)
    project.land("b", [event(900, 2)])
    project.ingest()
    plan = project.plan("silver.events")
    project.land("c", [event(901, 4)])
    project.ingest()

    project.apply(plan)

    assert {n: c[0] for n, c in project.stale().items()}["silver.events"] == 1
    project.run()
    assert project.tables() == project.expected()


def test_a_plan_is_applied_once(tmp_path: Path) -> None:
    project = changed(tmp_path)
    plan = project.plan()
    run = project.apply(plan)
    before = project.fingerprint()

    with pytest.raises(PlanUsed, match=run.run_id) as raised:
        project.apply(plan)

    assert raised.value.exit_code == 6
    assert project.fingerprint() == before


def test_a_plan_that_another_run_overtook_is_outdated(tmp_path: Path) -> None:
    project = changed(tmp_path)
    plan = project.plan()
    project.run("gold.daily", span=day_at(3))

    with pytest.raises(PlanOutdated, match=day_at(3)):
        project.apply(plan)

    assert not project.outstanding()


def test_a_plan_file_that_was_edited_is_refused(tmp_path: Path) -> None:
    project = changed(tmp_path)
    path = project.open().save_plan(project.plan())
    text = path.read_text()
    path.write_text(text.replace(f"{day_at(0)}..", f"{day_at(1)}.."))
    assert path.read_text() != text

    with pytest.raises(UnknownPlan):
        project.open().load_plan(path.stem)


def test_a_saved_plan_says_the_same_as_the_plan_itself(tmp_path: Path) -> None:
    project = changed(tmp_path)
    plan = project.plan()

    path = project.open().save_plan(plan)

    assert read_plan(path.read_text()) == plan
    assert json.loads(path.read_text())["plan_id"] == plan.plan_id


def test_a_plan_is_applied_as_it_was_made_and_not_as_the_project_reads_now(tmp_path: Path) -> None:
    project = changed(tmp_path)
    plan = project.plan()
    project.edit("datasets.py", "FACTOR = 2", "FACTOR = 5")

    project.apply(plan)

    assert project.tables() == project.expected()
    assert project.stale()["gold.daily"] == (6, 0, 0)
