"""Units that are unusual: empty, of no usable partition, tied, or leaving their partition."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import ChecksFailed, ProjectInvalid, TieInKeep, TransformFailed
from tests.e2e.projects import built, day_at, event, write_project

HIDDEN = f"FROM events WHERE event_date <> DATE '{day_at(2)}'"


@pytest.mark.parametrize("value", ["NULL", "DATE '0001-01-01'", "DATE '9999-12-31'"])
def test_a_transform_that_makes_an_unusable_partition_publishes_nothing(tmp_path: Path, value: str) -> None:
    project = write_project(tmp_path)
    path = tmp_path / "sql/events.sql"
    odd = f"CASE WHEN event_id = 'e-1' THEN {value} ELSE CAST(event_time AS DATE) END"
    path.write_text(path.read_text().replace("CAST(event_time AS DATE)", odd))
    project.land("a", [event(1, 0), event(2, 1)])
    project.ingest()

    with pytest.raises(TransformFailed, match="event_date"):
        project.run()

    assert not (project.folder("silver.events") / "_delta_log").exists()


def test_a_unit_whose_rows_are_gone_is_published_empty(tmp_path: Path) -> None:
    """Item 53 of the catalogue of bad input: the old rows leave, the unit stays known and fresh."""
    project = built(tmp_path, days=5)
    project.edit("datasets.py", "FROM events", HIDDEN)

    project.run()

    assert [r for r in project.rows("gold.daily") if r[0] == day_at(2)] == []
    assert [r for r in project.rows("gold.trend") if r[0] == day_at(2)] == []
    assert project.digests()["gold.daily"][day_at(2)].split(":")[1] == "0"
    assert not project.stale()


def test_an_empty_unit_fills_again(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    project.edit("datasets.py", "FROM events", HIDDEN)
    project.run()

    project.edit("datasets.py", HIDDEN, "FROM events")
    project.run()

    assert project.tables() == project.expected()


def test_a_parsing_dataset_may_not_lose_rows_on_the_way(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.edit("sql/events.sql", "FROM raw", "FROM raw WHERE amount > 12")
    before = project.fingerprint()

    with pytest.raises(ChecksFailed, match="every row is accounted for"):
        project.run()

    assert project.fingerprint() == before


def test_a_day_of_which_every_row_is_rejected_is_an_empty_unit(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", [event(1, 0), event(2, 1, "many"), event(3, 2)])
    project.ingest()

    project.run()

    assert day_at(1) in project.digests()["silver.events"]
    assert project.tables() == project.expected()
    assert not project.stale()


def test_a_project_without_any_data_plans_nothing(tmp_path: Path) -> None:
    project = write_project(tmp_path)

    assert project.plan().is_empty
    assert not project.stale()


def test_two_versions_of_a_row_that_nothing_orders_stop_the_run(tmp_path: Path) -> None:
    """Item 57."""
    project = built(tmp_path, days=2)
    project.edit("datasets.py", 'keep=("updated_at",)', 'keep=("tenant",)')
    project.land("b", [event(0, 0, 99, version=1)])
    project.ingest()
    before = project.fingerprint()

    with pytest.raises(TieInKeep, match="event_id=e-0") as raised:
        project.run()

    assert raised.value.exit_code == 5
    assert project.fingerprint() == before


def test_a_transform_that_writes_another_day_is_blocked(tmp_path: Path) -> None:
    """Item 52."""
    project = built(tmp_path, days=3)
    project.edit(
        "sql/events.sql", "CAST(event_time AS DATE)", "CAST(event_time + (24 + 0 * amount) * INTERVAL 1 HOUR AS DATE)"
    )
    before = project.fingerprint()

    with pytest.raises(ChecksFailed, match="rows stay in their partition"):
        project.run()

    assert project.fingerprint() == before


def test_a_window_that_is_declared_shorter_than_the_sql_reads_is_refused_with_both(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.edit("datasets.py", "before=WINDOW", "before=2")

    with pytest.raises(ProjectInvalid, match=r"declared gold.daily, own partition and the 2 before; read the 7 days"):
        project.open()
