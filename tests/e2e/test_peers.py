"""The scenarios in which other tools were seen to fail; the numbers are those of the comparison in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import ChecksFailed, NotResumable
from remint.model.plan import Plan, StaleCause
from tests.e2e.projects import MADE, Project, built, day_at, event, history, write_project


def units(plan: Plan, *, certain: bool) -> dict[str, list[str]]:
    """Return the keys that a plan names, by dataset."""
    return {name: list(keys) for name, keys in plan.action_units(certain=certain).items()}


def spoiled(root: Path) -> Project:
    """Return a built project into which a day with a negative amount came, which silver's contract forbids."""
    project = built(root, days=10)
    project.land("b", [event(900, 4, -5), event(901, 5, 7)])
    project.ingest()
    return project


def test_a_failing_check_leaves_no_changed_row_in_any_table(tmp_path: Path) -> None:
    """T1."""
    project = spoiled(tmp_path)
    before = project.fingerprint()

    with pytest.raises(ChecksFailed, match="amount") as raised:
        project.run()

    assert raised.value.exit_code == 5
    assert project.fingerprint() == before
    assert [(r.kind, r.state) for r in project.outstanding()] == [("apply", "failed")]


def test_a_check_that_fails_in_the_last_dataset_holds_back_the_first_one_too(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    path = tmp_path / "contracts/gold.monthly.yaml"
    path.write_text(path.read_text() + "    quality: [{metric: rowCount, mustBeLessThan: 3}]\n")
    project.land("b", [event(900, 2)])
    project.ingest()
    before = project.fingerprint()

    with pytest.raises(ChecksFailed, match=r"gold\.monthly"):
        project.run(rebuild=True)

    assert project.fingerprint() == before


def test_a_failed_run_that_is_resumed_without_a_remedy_fails_again(tmp_path: Path) -> None:
    project = spoiled(tmp_path)
    with pytest.raises(ChecksFailed):
        project.run()
    before = project.fingerprint()

    with pytest.raises(ChecksFailed):
        project.open().resume(project.outstanding()[0].run_id)

    assert project.fingerprint() == before
    assert [r.state for r in project.outstanding()] == ["failed"]


def test_after_the_source_is_corrected_a_normal_run_heals_everything(tmp_path: Path) -> None:
    """T2."""
    project = spoiled(tmp_path)
    with pytest.raises(ChecksFailed):
        project.run()

    project.rollback(project.outstanding()[0].run_id)
    project.land("c", [event(900, 4, 5, version=1)])
    project.ingest()
    project.run()

    assert project.tables() == project.expected()
    assert not project.stale()
    assert not project.outstanding()


def test_a_run_that_was_given_up_leaves_no_file_and_cannot_be_resumed(tmp_path: Path) -> None:
    project = spoiled(tmp_path)
    before = project.parts()
    with pytest.raises(ChecksFailed):
        project.run()
    run_id = project.outstanding()[0].run_id
    assert project.parts() > before

    project.rollback(run_id)

    assert project.parts() == before
    with pytest.raises(NotResumable):
        project.open().resume(run_id)


def test_one_changed_day_of_thirty_replans_its_eight_days_of_a_seven_day_window(tmp_path: Path) -> None:
    """T4."""
    project = built(tmp_path, days=30)
    project.land("b", [event(900, 15, 100)])
    project.ingest()

    plan = project.plan()
    project.apply(plan)

    assert units(plan, certain=True) == {d: [day_at(15)] for d in ("silver.events", "silver.events_quarantine")}
    assert units(plan, certain=False) == {
        "gold.daily": [day_at(15)],
        "gold.trend": [day_at(d) for d in range(15, 23)],
        "gold.monthly": ["2026-10"],
    }
    assert project.tables() == project.expected()
    assert not project.stale()


def test_only_the_files_of_replanned_partitions_are_exchanged(tmp_path: Path) -> None:
    project = built(tmp_path, days=30)
    before = project.live()["gold.trend"]
    project.land("b", [event(900, 15, 100)])
    project.ingest()

    project.run()

    exchanged = {p.split("event_date=")[1][:10] for p in project.live()["gold.trend"] ^ before}
    assert exchanged == {day_at(d) for d in range(15, 23)}


def test_a_range_limits_where_work_starts_and_not_what_follows_from_it(tmp_path: Path) -> None:
    """T4, with the restatement named as a range."""
    project = built(tmp_path, days=30)
    project.set_factor(3)

    plan = project.plan(span=f"{day_at(14)}..{day_at(16)}")
    project.apply(plan)

    starts = [day_at(d) for d in (14, 15, 16)]
    assert units(plan, certain=True) == {"gold.daily": starts}
    assert units(plan, certain=False)["gold.trend"] == [day_at(d) for d in range(14, 24)]
    assert project.stale() == {"gold.daily": (27, 0, 0), "gold.trend": (0, 30, 0), "gold.monthly": (0, 2, 0)}


def test_a_logic_edit_with_the_same_output_recomputes_one_dataset_and_nothing_below(tmp_path: Path) -> None:
    """T6."""
    project = built(tmp_path, days=10)
    before = project.versions(), project.live()
    project.edit("sql/events.sql", "amount,", "amount + 0 AS amount,")

    plan = project.plan()
    run = project.apply(plan)

    assert set(units(plan, certain=True)) == {"silver.events"}
    assert project.records_of(run) == {"silver.events": 10}
    assert (project.versions(), project.live()) == before
    assert not project.stale()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FROM raw", "-- the raw rows\nFROM raw /* all of them */"),
        ("SELECT event_id, event_time", "select\n\n  event_id\n, event_time"),
        ("CAST(event_time AS DATE)", "cast( event_time as date )"),
    ],
)
def test_an_edit_of_comments_or_layout_plans_nothing(tmp_path: Path, old: str, new: str) -> None:
    """T7."""
    project = built(tmp_path, days=2)

    project.edit("sql/events.sql", old, new)

    assert project.plan().is_empty


def test_a_logic_edit_reaches_the_whole_history(tmp_path: Path) -> None:
    """T8: not only today's partition."""
    project = built(tmp_path, days=20)
    project.set_factor(2)

    plan = project.plan()
    project.apply(plan)

    assert {r.cause for a in plan.actions if a.certain for r in a.reasons} == {StaleCause.LOGIC}
    assert project.tables() == project.expected()


def test_days_without_data_are_not_recorded_as_done(tmp_path: Path) -> None:
    """T9: what comes late for them is found."""
    project = write_project(tmp_path)
    project.land("a", [e for e in history(30) if not 4 <= int(str(e["event_id"])[2:]) // 3 < 25])
    project.ingest()
    project.run()
    project.land("b", [event(900, 10)])
    project.ingest()

    project.run()

    assert project.tables() == project.expected()


def test_making_a_plan_changes_no_table(tmp_path: Path) -> None:
    """T10."""
    project = built(tmp_path, days=10)
    before, parts = project.fingerprint(), project.parts()
    project.set_factor(2)

    plan = project.plan()
    project.open().save_plan(plan)

    assert not plan.is_empty
    assert (project.fingerprint(), project.parts()) == (before, parts)


def test_every_row_of_a_first_build_is_what_the_oracle_computes(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", [*history(40), event(900, 3, "many"), event(4, 1, 99, version=2), event(4, 1, 98, version=1)])
    project.land("b", [event(901, 2, 5), event(902, 39, None), event(0, 0, 10)])
    project.ingest()

    project.run()

    assert project.tables() == project.expected()
    assert set(project.digests()) >= set(MADE)
