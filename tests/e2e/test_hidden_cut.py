"""Iceberg tables cut by the day of an instant: no column holds the day, and everything is as if one did."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import ProjectInvalid
from remint.execution.symptom import Health
from remint.execution.verify import Proof
from tests.e2e import projects, test_histories
from tests.e2e.lakehouses import Iceberg
from tests.e2e.projects import DATASETS, FILES, Project, built, event, write_project
from tests.proof import full_size, proof, size

pytestmark = pytest.mark.slow
PLAIN = 'silver("events", partition=day("event_date")'
HIDDEN = 'silver("events", partition=day("event_time", hidden=True)'


@pytest.fixture
def iceberg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects that are written in this test keep their tables in Iceberg."""
    monkeypatch.setattr(projects, "tables_in", "iceberg")


@pytest.fixture
def hidden(iceberg: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silver of every project of this test is cut by the day of the time of the event."""
    monkeypatch.setattr(projects, "FILES", {**FILES, "datasets.py": DATASETS.replace(PLAIN, HIDDEN)})


def silver(project: Project) -> Iceberg:
    assert isinstance(project.lakehouse, Iceberg)
    return project.lakehouse


@pytest.mark.usefixtures("hidden")
def test_late_rows_are_built_rolled_back_and_proved(tmp_path: Path) -> None:
    project = built(tmp_path / "p", 3)
    assert project.tables() == project.expected()
    table = silver(project).table("silver.events")
    assert str(table.spec()) == "[\n  1000: event_time_day: day(2)\n]"
    assert "event_time_day" not in table.schema().column_names
    before = project.tables()

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    assert set(project.stale()) >= {"silver.events"}
    run = project.run()
    assert project.tables() == project.expected()
    assert {p.proof for p in project.open().verify((), size=3)} == {Proof.PROVEN}
    project.rollback(run.run_id)

    held = project.tables()
    assert {t: held[t] for t in held if t != "bronze.events"} == {t: before[t] for t in held if t != "bronze.events"}
    shown = CliRunner().invoke(cli, ["--project", str(project.root), "show", "silver.events"])
    assert "day of event_time, hidden" in shown.output


@pytest.mark.usefixtures("iceberg")
@pytest.mark.parametrize("cut", [PLAIN, pytest.param(HIDDEN, marks=[proof, full_size])], ids=["plain", "hidden"])
def test_buckets_split_the_files_of_a_day_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    split = f'{cut}, buckets=("event_id", 3)'
    monkeypatch.setattr(projects, "FILES", {**FILES, "datasets.py": DATASETS.replace(PLAIN, split)})
    project = built(tmp_path / "p", 3)
    assert project.tables() == project.expected()
    table = silver(project).table("silver.events")
    assert [str(field.transform) for field in table.spec().fields] == ["day", "bucket[3]"]
    assert len(project.live()["silver.events"]) > 3
    before = project.tables()

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    run = project.run()
    assert project.tables() == project.expected()
    assert {p.proof for p in project.open().verify((), size=3)} == {Proof.PROVEN}
    project.rollback(run.run_id)

    held = project.tables()
    assert {t: held[t] for t in held if t != "bronze.events"} == {t: before[t] for t in held if t != "bronze.events"}
    table = silver(project).table("silver.events")
    assert len(list(table.scan(row_filter="event_id = 'e-1'").plan_files())) < len(list(table.scan().plan_files()))


@pytest.mark.usefixtures("iceberg")
def test_files_in_buckets_of_a_column_that_was_renamed_are_right_and_can_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = f'{PLAIN}, buckets=["amount", 3]'  # a list does as well
    monkeypatch.setattr(projects, "FILES", {**FILES, "datasets.py": DATASETS.replace(PLAIN, split)})
    project = built(tmp_path / "p", 3)
    before = project.open().reader.sql("SELECT event_id, amount FROM silver.events ORDER BY 1").rows
    with silver(project).table("silver.events").update_schema() as update:
        update.rename_column("amount", "value")
    project.edit("contracts/silver.events.yaml", "name: amount", "name: value")
    project.edit("sql/events.sql", "tenant, amount", "tenant, amount AS value")
    project.edit("datasets.py", "sum(amount) * {FACTOR}", "sum(value) * {FACTOR}")
    project.edit("datasets.py", 'buckets=["amount"', 'buckets=["value"')
    assert [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD] == []

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    project.rollback(project.run().run_id)

    assert project.open().reader.sql("SELECT event_id, value FROM silver.events ORDER BY 1").rows == before
    assert [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD] == []
    found = silver(project).table("silver.events").scan(row_filter="value >= 0")
    assert found.to_arrow().num_rows == len(before)


@pytest.mark.usefixtures("hidden")
@proof
@pytest.mark.parametrize("seed", range(size(1, 30)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    test_histories.play(tmp_path, seed)


@pytest.mark.usefixtures("hidden")
def test_readers_skip_files_by_the_instant(tmp_path: Path) -> None:
    table = silver(built(tmp_path / "p", 3)).table("silver.events")
    second = datetime(2026, 9, 21, tzinfo=UTC).isoformat()

    found = [task.file for task in table.scan(row_filter=f"event_time < '{second}'").plan_files()]

    assert len(found) < len(list(table.scan().plan_files()))


@pytest.mark.usefixtures("hidden")
def test_what_somebody_else_wrote_is_found_by_its_day_and_adopted(tmp_path: Path) -> None:
    project = built(tmp_path / "p", 2)
    table = silver(project).table("silver.events")
    row = table.scan().to_arrow().to_pylist()[0]
    row |= {"event_id": "mine", "event_time": datetime(2026, 10, 5, 13, 30, tzinfo=UTC)}
    table.append(pa.Table.from_pylist([row], table.schema().as_arrow()))

    status = CliRunner().invoke(cli, ["--project", str(project.root), "status", "silver.events"])
    assert "foreign" in status.output
    adopted = CliRunner().invoke(cli, ["--project", str(project.root), "adopt", "silver.events", "--reason", "mine"])

    assert adopted.exit_code == 0, adopted.output
    assert "2026-10-05" in project.open().store.heads(["silver.events"])["silver.events"]
    found = project.open().reader.sql("SELECT event_id FROM silver.events WHERE event_id = 'mine'")
    assert [tuple(r) for r in found.rows] == [("mine",)]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ('day("event_time", hidden=True, zone="Europe/Madrid")', "a hidden cut is by UTC, and not by Europe/Madrid"),
        ('day("event_time", hidden=True, by="tenant")', "a hidden cut of event_time takes no further column"),
        ('day("event_time", hidden="no")', "hidden is True or False, not 'no'"),
        ('day("event_date"), buckets=("who", 3)', "the contract has no column 'who' to make buckets of"),
        ('day("event_date"), buckets=16', "buckets=16 is no column with a number"),
        ('day("event_date", hidden=True)', "the partition column event_date is DATE; it must be TIMESTAMPTZ"),
    ],
)
@pytest.mark.usefixtures("iceberg")
def test_what_a_hidden_cut_cannot_be_is_refused(tmp_path: Path, declared: str, says: str) -> None:
    datasets = DATASETS.replace('partition=day("event_date"), inputs={"raw"', f'partition={declared}, inputs={{"raw"')
    project = write_project(tmp_path, {"datasets.py": datasets})

    with pytest.raises(ProjectInvalid) as caught:
        project.open()

    assert says in "\n".join(m.message for m in caught.value.mistakes)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (HIDDEN, "delta tables have no hidden cut of event_time"),
        (f'{PLAIN}, buckets=("event_id", 3)', "delta tables have no buckets"),
    ],
)
def test_a_delta_table_has_neither_hidden_cuts_nor_buckets(tmp_path: Path, declared: str, says: str) -> None:
    project = write_project(tmp_path, {"datasets.py": DATASETS.replace(PLAIN, declared)})

    with pytest.raises(ProjectInvalid, match=says):
        project.open()
