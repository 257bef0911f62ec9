"""The scenarios in which other tools were seen to fail; the numbers are those of the comparison in the docs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.disk import sha256_of
from remint.errors import ChecksFailed, NotResumable
from remint.model.plan import Plan, StaleCause
from tests.e2e.generated import Drawn
from tests.e2e.projects import MADE, Project, built, day_at, event, history, write_project
from tests.planner.oracle import Cut, Read, Table, moved


def units(plan: Plan, *, certain: bool) -> dict[str, list[str]]:
    """Return the keys that a plan names, by dataset."""
    return {name: list(keys) for name, keys in plan.action_units(certain=certain).items()}


def remint(project: Project, *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and all that it printed."""
    result = CliRunner().invoke(cli, ["-C", str(project.root), *arguments])
    return result.exit_code, result.stdout + result.stderr


def lake_bytes(project: Project) -> dict[str, str]:
    """Return the SHA-256 of every file below the lake, logs of tables included."""
    lake = project.root / "lake"
    return {str(p.relative_to(lake)): sha256_of(p) for p in sorted(lake.rglob("*")) if p.is_file()}


def spoiled(root: Path) -> Project:
    """Return a built project into which a day with a negative amount came, which silver's contract forbids."""
    project = built(root, days=10)
    project.land("b", [event(900, 4, -5), event(901, 5, 7)])
    project.ingest()
    return project


def test_t1_a_failing_check_leaves_no_changed_row_in_any_table(tmp_path: Path) -> None:
    project = spoiled(tmp_path)
    before = project.fingerprint()

    with pytest.raises(ChecksFailed, match="amount") as raised:
        project.run()

    assert raised.value.exit_code == 5
    assert project.fingerprint() == before
    assert not [row for table in MADE for row in project.rows(table) if "e-900" in row or -5 in row]
    (run,) = project.outstanding()
    assert (run.kind, run.state) == ("apply", "failed")
    code, out = remint(project, "status")
    assert code == 0
    assert f"outstanding: run {run.run_id}: apply failed" in out
    assert (
        f"next: remint resume {run.run_id} once what stopped it is mended, remint rollback {run.run_id} "
        '--reason "..." to give it up' in out
    )


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


def test_t2_after_the_source_is_corrected_a_normal_run_heals_everything(tmp_path: Path) -> None:
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


def test_t2_the_normal_command_heals_while_the_failed_run_is_outstanding_and_names_it(tmp_path: Path) -> None:
    project = spoiled(tmp_path)
    assert remint(project, "run")[0] == 5
    failed = project.outstanding()[0].run_id
    project.land("c", [event(900, 4, 5, version=1)])
    assert remint(project, "ingest")[0] == 0

    code, out = remint(project, "run")

    assert code == 0
    assert f"note: 1 failed run outstanding: {failed}: remint status shows how to end them" in out
    assert project.tables() == project.expected()
    assert not project.stale()
    assert remint(project, "waive", failed, "--reason", "the source was corrected")[0] == 0
    assert "outstanding" not in remint(project, "status")[1]


def test_t3_a_rebuild_that_is_killed_half_way_is_shown_resumed_and_never_half_live(tmp_path: Path) -> None:
    """kill -9 of a real process while it recomputes the fifteenth of thirty days."""
    project = write_project(tmp_path)
    project.land("a", history(30))
    project.ingest()
    project.run()
    project.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 8")
    project.set_factor(2)
    before = project.digests(), project.live(), project.versions()
    command = [sys.executable, "-m", "remint", "-C", str(tmp_path), "run", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "lake/gold/daily").glob(f"*={day_at(15)}/part-*-e1-[1-9]*")):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    code, out = remint(project, "status")

    (run,) = project.outstanding()
    assert code == 0
    assert f"next: remint resume {run.run_id}" in out
    assert "at work" not in out
    assert (project.digests(), project.live(), project.versions()) == before
    assert remint(project, "resume", run.run_id)[0] == 0
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


def test_t4_one_changed_day_of_thirty_replans_its_eight_days_of_a_seven_day_window(tmp_path: Path) -> None:
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


def test_t4_a_range_limits_where_work_starts_and_not_what_follows_from_it(tmp_path: Path) -> None:
    """The restatement is named as a range."""
    project = built(tmp_path, days=30)
    project.set_factor(3)

    plan = project.plan(span=f"{day_at(14)}..{day_at(16)}")
    project.apply(plan)

    starts = [day_at(d) for d in (14, 15, 16)]
    assert units(plan, certain=True) == {"gold.daily": starts}
    assert units(plan, certain=False)["gold.trend"] == [day_at(d) for d in range(14, 24)]
    assert project.stale() == {"gold.daily": (27, 0, 0), "gold.trend": (0, 30, 0), "gold.monthly": (0, 2, 0)}


@pytest.mark.parametrize("partitions", [99, 120, 1000])
def test_t5_one_of_many_upstream_partitions_makes_what_reads_them_all_stale(tmp_path: Path, partitions: int) -> None:
    by_tenant = Table(
        name="gold.by_tenant",
        cut=Cut("identity"),
        reads=(Read(alias="i0", source="bronze.raw", kind="roll_up"),),
        transform="sum",
        salt=1,
    )
    bronze = Table(name="bronze.raw", cut=Cut("day", "tenant"), events=Cut("day"))
    project = Drawn(tmp_path, tables={"bronze.raw": bronze, "gold.by_tenant": by_tenant})
    project.write()
    project.land_lines([(f"{moved('day', '2020-01-01', d)}T10:00:00", "acme", d) for d in range(partitions)])
    project.run()
    project.land_lines([(f"{moved('day', '2020-01-01', partitions // 2)}T11:00:00", "acme", 5)])

    code, out = remint(project, "plan", "--json", "--detailed-exitcode")

    assert code == 3
    action = json.loads(out)["plan"]["actions"][0]
    assert (action["dataset"], action["partitions"], action["certain"]) == ("gold.by_tenant", ["acme"], True)
    assert action["reasons"][0]["cause"] == "upstream"
    project.run()
    project.compare()
    assert remint(project, "plan", "--detailed-exitcode")[0] == 0


def test_t6_a_logic_edit_with_the_same_output_recomputes_one_dataset_and_nothing_below(tmp_path: Path) -> None:
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
def test_t7_an_edit_of_comments_or_layout_plans_nothing(tmp_path: Path, old: str, new: str) -> None:
    project = built(tmp_path, days=2)

    project.edit("sql/events.sql", old, new)

    assert project.plan().is_empty


def test_t8_a_logic_edit_reaches_the_whole_history(tmp_path: Path) -> None:
    """Not only today's partition."""
    project = built(tmp_path, days=20)
    project.set_factor(2)

    plan = project.plan()
    project.apply(plan)

    assert {r.cause for a in plan.actions if a.certain for r in a.reasons} == {StaleCause.LOGIC}
    assert project.tables() == project.expected()


def test_t8_a_logic_edit_whose_version_was_not_raised_is_refused(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    before = project.fingerprint()
    path = tmp_path / "datasets.py"
    path.write_text(path.read_text().replace("FACTOR = 1", "FACTOR = 2"))

    for command in (["plan"], ["run"], ["plan", "gold.daily", "--json"]):
        code, out = remint(project, *command)
        assert (code, "RM320" in out, "version=2" in out) == (2, True, True), command

    assert project.fingerprint() == before


def test_t9_days_without_data_are_not_recorded_as_done(tmp_path: Path) -> None:
    """What comes late for them is found by the next normal run."""
    absent = range(4, 25)
    project = write_project(tmp_path)
    project.land("a", [e for e in history(30) if int(str(e["event_id"])[2:]) // 3 not in absent])
    project.ingest()
    project.run()

    recorded = {key for name in MADE for key in project.digests()[name]}
    assert not recorded & {day_at(d) for d in absent}
    assert remint(project, "run")[0] == 0
    assert not {key for name in MADE for key in project.digests()[name]} & {day_at(d) for d in absent}

    project.land("b", [event(900 + d, d) for d in absent])
    project.ingest()
    assert remint(project, "run")[0] == 0

    assert project.tables() == project.expected()
    assert {day_at(d) for d in absent} <= project.digests()["gold.daily"].keys()


@pytest.mark.parametrize("command", [["plan"], ["plan", "--json"], ["plan", "gold.daily+", "--detailed-exitcode"]])
def test_t10_a_plan_leaves_every_byte_of_the_lake_as_it_was(tmp_path: Path, command: list[str]) -> None:
    project = built(tmp_path, days=10)
    project.set_factor(2)
    project.land("b", [event(900, 4)])
    project.ingest()
    before, ledger = lake_bytes(project), project.fingerprint()

    code, out = remint(project, *command)

    assert code in (0, 3)
    assert "gold.daily" in out
    assert lake_bytes(project) == before
    assert project.fingerprint() == ledger


def test_every_row_of_a_first_build_is_what_the_oracle_computes(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", [*history(40), event(900, 3, "many"), event(4, 1, 99, version=2), event(4, 1, 98, version=1)])
    project.land("b", [event(901, 2, 5), event(902, 39, None), event(0, 0, 10)])
    project.ingest()

    project.run()

    assert project.tables() == project.expected()
    assert set(project.digests()) >= set(MADE)
