"""Adopt: what somebody else wrote counts as published from then on, or is refused with words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction, CommitProperties

from remint.errors import (
    AdoptRefused,
    BronzeChanged,
    NotResumable,
    PlanError,
    RollbackRefused,
    RunError,
    UsageError,
    VersionNotRaised,
)
from remint.execution.verify import Proof
from remint.model.partition import DateRange
from remint.model.run import Run, RunKind, RunState
from tests.e2e import strangers
from tests.e2e.projects import FIRST_DAY, Project, built, day_at, event, history, remint, write_project


def adopt(project: Project, table: str, span: str | None = None) -> Run | None:
    return project.open().adopt(table, project.ask(), DateRange.parse(span) if span else None)


# -- foreign writes to a table of remint's -----------------------------------------------------------------------------


def test_what_was_compacted_by_another_tool_is_taken_as_it_is(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.append(project, "gold.trend", like=day_at(1))
    strangers.overwrite(project, "gold.trend", day_at(2))
    files = project.live()["gold.trend"]

    run = adopt(project, "gold.trend")

    assert run is not None
    assert (run.kind, run.state) == (RunKind.ADOPT, RunState.SUCCEEDED)
    assert project.live()["gold.trend"] == files
    assert not project.stale()
    assert project.plan().is_empty


def test_readers_of_what_was_adopted_are_stale_where_its_content_changed(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.overwrite(project, "gold.daily", day_at(2))
    adopt(project, "gold.daily")

    stale = project.stale()

    assert "gold.daily" not in stale
    assert stale["gold.monthly"][0] == 1
    assert stale["gold.trend"][0] == 2
    project.run()
    assert len(project.rows("gold.daily")) == 11
    assert project.plan().is_empty


def test_where_only_the_files_changed_nothing_below_is_stale(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    project.delta("gold.daily").optimize.compact()
    held = project.delta("gold.daily").to_pyarrow_table()
    write_deltalake(str(project.folder("gold.daily")), held, mode="overwrite")
    assert project.stale()["gold.daily"][2] == 4

    adopt(project, "gold.daily")

    assert not project.stale()


def test_a_partition_that_somebody_emptied_is_an_empty_unit(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.delete(project, "gold.trend", day_at(1))

    adopt(project, "gold.trend")

    assert not project.stale()
    assert project.digests()["gold.trend"][day_at(1)].split(":")[1] == "0"


def test_a_range_takes_only_its_partitions(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    for number in (1, 2):
        strangers.append(project, "gold.trend", like=day_at(number))

    adopt(project, "gold.trend", day_at(1))

    assert project.stale() == {"gold.trend": (1, 0, 1)}
    plan = project.plan()
    assert [list(a.keys) for a in plan.actions] == [[day_at(2)]]


def test_an_adopted_unit_is_made_again_when_its_input_changes(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.overwrite(project, "gold.daily", day_at(2))
    adopt(project, "gold.daily")
    project.land("b", [event(900, 2)])
    project.ingest()

    project.run()

    assert project.tables() == project.expected()


def test_verify_proves_what_was_adopted_or_says_how_it_differs(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.append(project, "gold.trend", like=day_at(1))
    adopt(project, "gold.trend")

    proofs = {p.key: p for p in project.open().verify(["gold.trend"], size=9)}

    assert proofs[day_at(1)].proof is Proof.DIFFERENT
    assert {p.proof for k, p in proofs.items() if k != day_at(1)} == {Proof.PROVEN}


def test_undoing_a_later_run_puts_back_what_was_adopted(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    strangers.append(project, "gold.trend", like=day_at(1))
    adopt(project, "gold.trend")
    before = project.live()["gold.trend"], project.rows("gold.trend")
    run = project.run("gold.trend", span=day_at(1), rebuild=True)
    assert project.rows("gold.trend") == project.expected()["gold.trend"]

    project.rollback(run.run_id)

    assert (project.live()["gold.trend"], project.rows("gold.trend")) == before


def test_an_adoption_itself_is_not_rolled_back(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.trend", like=day_at(1))
    run = adopt(project, "gold.trend")
    assert run is not None

    with pytest.raises(RollbackRefused, match="adopted what somebody else had written") as raised:
        project.rollback(run.run_id)

    assert "--rebuild" in str(raised.value.hint)


def test_logic_that_was_changed_under_its_version_cannot_be_vouched_for(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.daily", like=day_at(1))
    project._replace("datasets.py", "FACTOR = 1", "FACTOR = 2")

    with pytest.raises(VersionNotRaised):
        adopt(project, "gold.daily")

    assert project.outstanding() == []


def test_an_adoption_that_was_interrupted_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.trend", like=day_at(1))

    def stop(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("remint.execution.adopt.record_success", stop)
        with pytest.raises(RunError, match="disk full"):
            adopt(project, "gold.trend")
    (run,) = project.outstanding()
    with pytest.raises(NotResumable, match="interrupted before it adopted anything"):
        project.open().resume(run.run_id)
    project.give_up()

    adopt(project, "gold.trend")

    assert not project.stale()
    assert project.outstanding() == []


def test_a_table_that_moves_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.trend", like=day_at(1))
    workspace = project.open()
    start = workspace._started

    def meddled(*arguments: Any) -> Any:
        strangers.append(project, "gold.trend", like=day_at(2))
        return start(*arguments)

    monkeypatch.setattr(workspace, "_started", meddled)
    with pytest.raises(AdoptRefused, match="wrote to the table while it was read"):
        workspace.adopt("gold.trend", project.ask())

    assert project.stale()["gold.trend"][2] == 2


# -- tables that remint never published --------------------------------------------------------------------------------


def bronze_rows(days: int) -> pa.Table:
    rows = [{**e, "payload": json.dumps(e["payload"])} for e in history(days)]

    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).astimezone(UTC)

    kind = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "event_id": [r["event_id"] for r in rows],
            "event_time": pa.array([moment(r["event_time"]) for r in rows], kind),
            "updated_at": pa.array([moment(r["updated_at"]) for r in rows], kind),
            "payload": [r["payload"] for r in rows],
            "ingested_at": pa.array([datetime(2026, 10, 1, tzinfo=UTC)] * len(rows), kind),
            "ingestion_date": [FIRST_DAY] * len(rows),
        }
    )


def strange_bronze(root: Path, rows: pa.Table | None = None, cut: str = "ingestion_date") -> Project:
    """Return a project whose Bronze table was written by somebody else."""
    project = write_project(root)
    project.folder("bronze.events").mkdir(parents=True)
    write_deltalake(str(project.folder("bronze.events")), bronze_rows(4) if rows is None else rows, partition_by=[cut])
    return project


def test_a_bronze_table_is_brought_under_remint_with_what_arrived_in_it(tmp_path: Path) -> None:
    project = strange_bronze(tmp_path / "a")
    with pytest.raises(BronzeChanged):
        project.plan()

    adopt(project, "bronze.events")
    project.run()

    same = built(tmp_path / "b", days=4)
    assert project.digests()["gold.monthly"] == same.digests()["gold.monthly"]
    assert project.rows("silver.events") == same.expected()["silver.events"]
    assert not project.stale()


def test_the_adoption_of_bronze_counts_keys_that_occur_twice_and_sends_to_what_can_be_done(tmp_path: Path) -> None:
    rows = bronze_rows(4)
    project = strange_bronze(tmp_path, pa.concat_tables([rows, rows.slice(0, 2)]))

    first = remint(project, "adopt", "bronze.events", "--reason", "test").output
    write_deltalake(str(project.folder("bronze.events")), bronze_rows(5).slice(11), mode="append")
    second = remint(project, "adopt", "bronze.events", "--reason", "test")
    project.run()
    gold = strangers_gold(project)

    assert "14 rows taken as they are" in first
    assert "that nothing ingested was lost; 4 rows with the key of another row of it\n" in first
    assert "next: remint plan " in first
    assert "verify" not in first
    assert "lost; 1 row with the key of another row of it\n" in second.output
    assert "not checked: that the logic makes these rows" in gold
    assert "next: remint verify gold.daily " in gold


def strangers_gold(project: Project) -> str:
    """Compact a Gold table with another tool, adopt it, and return what is said."""
    project.delta("gold.daily").optimize.compact()
    rows = project.delta("gold.daily").to_pyarrow_table()
    write_deltalake(str(project.folder("gold.daily")), rows, mode="overwrite")
    return remint(project, "adopt", "gold.daily", "--reason", "test").output


def test_rows_that_are_ingested_later_come_beside_those_that_were_adopted(tmp_path: Path) -> None:
    project = strange_bronze(tmp_path)
    adopt(project, "bronze.events")
    project.run()
    project.land("b", [*history(4)[:2], event(900, 2)])

    run = project.ingest()
    project.run()

    counts = json.loads(run.summary)
    assert (counts["rows_added"], counts["rows_duplicate"]) == (1, 2)
    assert len(project.rows("silver.events")) == 13


def test_what_others_append_to_bronze_is_adopted_with_its_arrivals_alone(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    more = bronze_rows(5).slice(12)
    more = more.set_column(5, "ingestion_date", pa.array([project.now().date()] * more.num_rows))
    write_deltalake(str(project.folder("bronze.events")), more, mode="append")

    adopt(project, "bronze.events")
    project.run()

    assert [r for r in project.rows("silver.events") if r[5] == day_at(4)]
    assert len(project.rows("silver.events")) == 15
    assert not project.stale()


def test_bronze_that_lost_rows_is_not_adopted(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    (key,) = project.digests()["bronze.events"]
    strangers.take_out(project, "bronze.events", key)

    with pytest.raises(AdoptRefused, match=r"append-only, but 1 of its ingested files are not live any more"):
        adopt(project, "bronze.events")


def test_bronze_rows_without_an_event_time_are_refused(tmp_path: Path) -> None:
    rows = bronze_rows(2)
    rows = rows.set_column(1, "event_time", pa.nulls(rows.num_rows, rows.schema.field("event_time").type))
    project = strange_bronze(tmp_path, rows)

    with pytest.raises(AdoptRefused, match="6 rows have no event_time"):
        adopt(project, "bronze.events")


def test_a_gold_table_with_a_history_is_brought_under_remint(tmp_path: Path) -> None:
    other = built(tmp_path / "a", days=4)
    rows = other.delta("gold.daily").to_pyarrow_table()
    project = write_project(tmp_path / "b")
    project.folder("gold.daily").mkdir(parents=True)
    write_deltalake(str(project.folder("gold.daily")), rows, partition_by=["event_date"])
    project.land("a", history(4))
    project.ingest()
    project.run("silver.events")

    adopt(project, "gold.daily")

    assert project.digests()["gold.daily"] == other.digests()["gold.daily"]
    assert "gold.daily" not in project.stale()
    assert {p.proof for p in project.open().verify(["gold.daily"], size=9)} == {Proof.PROVEN}


# -- what cannot be taken ----------------------------------------------------------------------------------------------


def test_a_table_that_is_not_as_declared_is_refused_with_every_difference(tmp_path: Path) -> None:
    rows = bronze_rows(2).drop_columns(["payload"]).append_column("extra", pa.array([1] * 6))
    rows = rows.set_column(0, "event_id", pa.array(range(6)))
    project = strange_bronze(tmp_path, rows, cut="event_id")

    with pytest.raises(AdoptRefused) as raised:
        adopt(project, "bronze.events")

    for words in (
        "it is partitioned by event_id, declared is ingestion_date",
        "column event_id: expected string, found long",
        "column payload: the table has none",
        "column extra: not in the contract",
    ):
        assert words in raised.value.message
    assert project.outstanding() == []


def test_a_feature_that_file_replacement_would_corrupt_is_refused(tmp_path: Path) -> None:
    project = strange_bronze(tmp_path)
    path = next((project.folder("bronze.events") / "_delta_log").glob("*0.json"))
    lines = []
    for line in path.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        if "protocol" in entry:
            entry["protocol"] = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["domainMetadata"]}
        lines.append(json.dumps(entry))
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(AdoptRefused, match="it uses domainMetadata, which remint does not write"):
        adopt(project, "bronze.events")


def test_rows_without_a_partition_value_are_refused(tmp_path: Path) -> None:
    rows = bronze_rows(2)
    rows = rows.set_column(5, "ingestion_date", pa.nulls(rows.num_rows, pa.date32()))
    project = strange_bronze(tmp_path, rows)

    with pytest.raises(PlanError, match="somebody else wrote rows without ingestion_date"):
        adopt(project, "bronze.events")


@pytest.mark.parametrize("place", ["loose.parquet", "2026/09/loose.parquet", "ingestion_date=2026-01-01/loose.parquet"])
def test_a_file_outside_of_the_folder_of_its_partition_is_refused(tmp_path: Path, place: str) -> None:
    project = strange_bronze(tmp_path)
    folder = project.folder("bronze.events")
    source = next(folder.glob("ingestion_date=*/*.parquet"))
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(source.read_bytes())
    table = DeltaTable(str(folder))
    add = AddAction(place, source.stat().st_size, {"ingestion_date": "2026-09-20"}, 0, True, "{}")
    table.create_write_transaction([add], "append", table.schema(), partition_by=["ingestion_date"])

    with pytest.raises(AdoptRefused, match="1 files do not lie in the folder of their partition") as raised:
        adopt(project, "bronze.events")

    assert f"{place}: live as 2026-09-20" in raised.value.message


def test_a_file_in_a_folder_below_that_of_its_partition_is_taken(tmp_path: Path) -> None:
    project = strange_bronze(tmp_path)
    folder = project.folder("bronze.events")
    source = next(folder.glob("ingestion_date=*/*.parquet"))
    place = "ingestion_date=2026-09-20/deep/er.parquet"
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_bytes(source.read_bytes())
    table = DeltaTable(str(folder))
    add = AddAction(place, source.stat().st_size, {"ingestion_date": "2026-09-20"}, 0, True, "{}")
    table.create_write_transaction([add], "append", table.schema(), partition_by=["ingestion_date"])

    adopt(project, "bronze.events")

    assert project.digests()["bronze.events"]["2026-09-20"].split(":")[1] == "24"


def test_a_live_file_that_is_not_on_disk_is_refused(tmp_path: Path) -> None:
    project = strange_bronze(tmp_path)
    next(project.folder("bronze.events").glob("ingestion_date=*/*.parquet")).unlink()

    with pytest.raises(AdoptRefused, match="1 live files are not below its folder"):
        adopt(project, "bronze.events")


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdoptRefused, match="there is no table"):
        adopt(write_project(tmp_path), "bronze.events")


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_needs_a_reason_and_leaves_it_in_the_audit_log(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.trend", like=day_at(1))

    bare = remint(project, "adopt", "gold.trend")
    done = remint(project, "adopt", "gold.trend", "--reason", "backup was restored", "--json")
    again = remint(project, "adopt", "gold.trend", "--reason", "backup was restored")

    assert bare.exit_code == UsageError.exit_code
    found = json.loads(done.output)
    assert (found["format"], found["units"], found["files"], found["record_count"]) == ("remint.adopt/1", 1, 2, 6)
    assert "nothing to adopt" in again.output
    entries = [r.entry for r in project.open().store.audit(2)]
    assert [(e.action, e.status, e.reason) for e in entries] == [
        ("adopt", "success", "backup was restored"),
        ("adopt", "started", "backup was restored"),
    ]
    assert (entries[0].affected_start, entries[0].record_count) == (day_at(1), 6)


def test_status_and_plan_say_whose_commit_a_foreign_partition_is_of(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    held = project.delta("gold.trend").to_pyarrow_table()
    about = CommitProperties(custom_metadata={"userName": "ana"})
    write_deltalake(str(project.folder("gold.trend")), held, mode="append", commit_properties=about)

    plan = remint(project, "plan", "gold.trend")

    assert "WRITE by ana" in plan.output
