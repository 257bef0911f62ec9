"""Limits, peak hours, quotas, windows, priority, alerts and what a run took, from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import (
    ApprovalMissing,
    ChecksFailed,
    PeakHours,
    TooManyRows,
    TooManyRuns,
    TooManySeconds,
    TooMuchMoney,
)
from remint.model.event import Event, EventKind
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.request import Mode, Request
from remint.model.run import Run, RunKind, RunState
from remint.workspace import Workspace
from tests.e2e.projects import Project, built, day_at, event, history, write_project

DAYS = 9
ALL_DAYS = f"{day_at(0)}..{day_at(DAYS - 1)}"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A built project, to be cloned."""
    return built(tmp_path_factory.mktemp("policy") / "p", days=DAYS, each=20)


@pytest.fixture
def project(saved: Project, tmp_path: Path) -> Project:
    """A built project with a stale gold.daily."""
    made = saved.clone(tmp_path / "p")
    made.set_factor(2)
    return made


def limit(project: Project, **settings: Any) -> None:
    """Write a ``[policy]`` section."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    path = project.root / "remint.toml"
    path.write_text("\n".join([path.read_text(), "[policy]", *lines, ""]))


def backfill(project: Project, span: str = ALL_DAYS) -> Plan:
    return project.plan("gold.daily+", span=span)


def call(project: Project, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["-C", str(project.root), *arguments])
    return result.exit_code, result.stdout, result.stderr


def ticking(step: float) -> Any:
    """Return a stopwatch that shows ``step`` seconds more whenever it is read."""
    clock: Iterator[int] = count()
    return lambda: next(clock) * step


# -- cost --------------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_it_will_take_and_the_run_what_it_took(project: Project) -> None:
    path = project.root / "remint.toml"
    path.write_text(path.read_text() + '[cost]\ncurrency = "USD"\nper_hour = 3600\nper_tb_scanned = 5.0\n')

    plan = backfill(project)
    run = project.apply(plan)

    timings = project.open().store.timings_of(run.run_id)
    account = project.open().account(run)
    assert {t.dataset for t in timings} == {"gold.daily", "gold.trend", "gold.monthly"}
    assert all(t.seconds > 0 and t.rows_written and t.bytes_scanned and t.bytes_written for t in timings)
    assert account.estimated == plan.estimate
    assert plan.estimate.seconds
    assert plan.estimate.money
    assert (plan.estimate.runs, plan.estimate.unknown_actions) == (1, 0)
    assert account.actual.seconds == pytest.approx(sum(t.seconds for t in timings), abs=0.01)
    assert account.actual.money == pytest.approx(account.actual.seconds, rel=0.01)
    shown = call(project, "show", run.run_id)[1]
    assert "estimated        about" in shown
    assert "(learned from 1 run)" in shown
    assert "actual " in shown


def test_rows_that_were_read_are_counted_as_the_plan_counts_them(project: Project) -> None:
    plan = backfill(project)
    planned = {a.dataset: a.rows_read for a in plan.actions}

    run = project.apply(plan)

    read = {t.dataset: t.rows_read for t in project.open().store.timings_of(run.run_id)}
    assert read == planned


def test_bytes_scanned_are_those_of_the_files_that_were_opened(project: Project) -> None:
    run = project.apply(backfill(project))

    found = {t.dataset: t.bytes_scanned for t in project.open().store.timings_of(run.run_id)}
    live = project.live()["silver.events"]
    assert found["gold.daily"] == sum((project.root / "lake" / p.lstrip("/")).stat().st_size for p in live)


def test_before_anything_ran_a_plan_claims_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, days=1)
    fresh = Workspace(project.root)

    assert call(project, "init", str(tmp_path / "shop"))[0] == 0
    shop = Project(tmp_path / "shop")
    assert call(shop, "ingest")[0] == 0
    out = call(shop, "plan")[1]

    assert "cost: ? (no past run tells about 3 actions)" in out
    assert fresh.store.timings(["gold.daily"], 5)["gold.daily"]


def test_estimates_come_near_after_a_few_runs(saved: Project, tmp_path: Path) -> None:
    """With a stopwatch that counts steps, what is learned is exact, so the estimate must be too."""
    project = saved.clone(tmp_path / "p")
    for number, days in enumerate((1, 3, 5, 7), start=2):
        project.set_factor(number)
        workspace = Workspace(project.root, clock=project.now, stopwatch=ticking(0.5))
        workspace.apply(project.plan("gold.daily", span=f"{day_at(0)}..{day_at(days)}"))
    project.set_factor(9)

    estimate = project.plan("gold.daily", span=f"{day_at(0)}..{day_at(4)}").estimate
    recorded = [t.seconds for t in project.open().store.timings(["gold.daily"], 4)["gold.daily"]]

    assert recorded == [1.5] * 4
    assert estimate.seconds == pytest.approx(1.5)
    assert estimate.runs == 5


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_plan_over_its_limit_is_refused_and_nothing_is_saved(project: Project) -> None:
    limit(project, max_rows=10)

    code, _, err = call(
        project, "plan", "gold.daily", "--range", ALL_DAYS, "--no-override-state", "--reason", "new prices"
    )

    assert code == 4
    assert "error RM314: the plan would read 180 rows; [policy] max_rows allows 10" in err
    assert "left behind: nothing changed" in err
    assert f"next: remint run gold.daily --range {ALL_DAYS} --split 1 --mode backfill --no-override-state" in err
    assert not list(project.root.glob(".remint/plans/*"))


def test_a_limit_that_asks_makes_the_plan_wait_for_a_second_person(project: Project) -> None:
    limit(project, max_rows=10, ask=["max_rows"])
    plan = backfill(project)

    with pytest.raises(ApprovalMissing, match="max_rows allows 10"):
        project.apply(plan)
    project.open().approve(plan, "bea", "fine", timedelta(days=1))

    assert project.apply(plan).approved_by == "bea"


def test_a_limit_that_was_tightened_after_the_plan_holds_at_apply(project: Project) -> None:
    plan = backfill(project)
    limit(project, max_rows=10)

    with pytest.raises(TooManyRows):
        project.apply(plan)


def test_learned_seconds_and_money_are_limits(project: Project) -> None:
    limit(project, max_seconds=0.000001)
    with pytest.raises(TooManySeconds):
        backfill(project)

    path = project.root / "remint.toml"
    path.write_text(path.read_text().replace("max_seconds", "max_money") + "[cost]\nper_hour = 1000\n")
    with pytest.raises(TooMuchMoney):
        backfill(project)


def test_a_limit_without_history_is_not_judged_and_the_plan_says_so(tmp_path: Path) -> None:
    assert call(Project(tmp_path), "init", str(tmp_path / "shop"))[0] == 0
    shop = Project(tmp_path / "shop")
    call(shop, "ingest")
    limit(shop, max_seconds=0.000001)

    out = call(shop, "plan")[1]

    assert "note: max_seconds is not judged for 3 actions that no past run tells about" in out
    assert "next: remint apply" in out


# -- peak hours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "is_refused"),
    [
        ("2026-03-29T05:59:00", False),  # 07:59 in Madrid, the day the clock goes forward
        ("2026-03-29T06:00:00", True),
        ("2026-03-29T18:00:00", False),
        ("2026-10-25T06:30:00", False),  # 07:30 in Madrid, the day the clock goes back
        ("2026-10-25T07:00:00", True),
        ("2026-10-25T19:00:00", False),
    ],
)
def test_backfills_yield_to_production_over_both_changes_of_the_clock(
    project: Project, moment: str, is_refused: bool
) -> None:
    limit(project, peak_hours=["08:00-20:00 Europe/Madrid"])
    plan = backfill(project)
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    workspace = Workspace(project.root, clock=lambda: at)

    if is_refused:
        with pytest.raises(PeakHours, match="Europe/Madrid"):
            workspace.apply(plan)
        assert workspace.store.run_of_plan(plan.plan_id) is None
    else:
        assert workspace.apply(plan).state is RunState.SUCCEEDED


def test_in_peak_hours_a_plan_is_made_and_says_when_it_may_start(project: Project) -> None:
    limit(project, peak_hours=["00:00-24:00 UTC"])
    words = ("gold.daily", "--range", ALL_DAYS, "--no-override-state", "--reason", "x")

    code, out, _ = call(project, "plan", *words)
    refused = call(project, "run", *words)

    assert code == 0
    assert "would be refused now: it is " in out
    assert refused[0] == 4
    assert "error RM317" in refused[2]
    assert call(project, "run", "gold.daily", "--json")[0] == 0, "incremental runs go on"


# -- quota -------------------------------------------------------------------------------------------------------------


def test_a_run_in_progress_takes_a_place(project: Project) -> None:
    limit(project, max_running=1)
    plan = backfill(project)
    other = Run(
        run_id="r-other",
        kind=RunKind.APPLY,
        state=RunState.STAGING,
        plan_id=None,
        mode="backfill",
        override_state=False,
        trigger="manual",
        reason="long",
        requested_by="ana",
        started_at="2026-11-02T10:00:00Z",
    )
    tools = project.open()._tools
    tools.store.create_run(other)

    with pytest.raises(TooManyRuns, match="1 run in progress"):
        project.apply(plan)
    tools.store.set_state("r-other", RunState.FAILED)

    assert project.apply(plan).state is RunState.SUCCEEDED


# -- windows -----------------------------------------------------------------------------------------------------------

SPLIT = ("gold.daily", "--range", ALL_DAYS, "--no-override-state", "--reason", "new prices", "--split", "4")


def test_a_range_is_split_into_runs_of_their_own(project: Project) -> None:
    code, out, _ = call(project, "run", *SPLIT, "--json")

    windows = json.loads(out)["windows"]
    assert code == 0
    assert [w["range"] for w in windows] == [
        f"[{day_at(0)}, {day_at(4)})",
        f"[{day_at(4)}, {day_at(8)})",
        f"[{day_at(8)}, {day_at(9)})",
    ]
    ids = [w["run"]["run_id"] for w in windows]
    assert len(set(ids)) == 3
    assert [r.run_id for r in project.open().store.releases()][-3:] == ids
    assert {w["run"]["type"] for w in windows} == {"temporal"}
    rows = {(r[0], r[1]): r[3] for r in project.rows("gold.daily")}
    assert rows == {(r[0], r[1]): r[3] for r in project.expected()["gold.daily"]}


def test_a_window_that_has_nothing_to_do_is_no_run(project: Project) -> None:
    project.run("gold.daily", span=f"{day_at(0)}..{day_at(3)}")

    windows = json.loads(call(project, "run", *SPLIT, "--json")[1])["windows"]

    assert [w["run"] is None for w in windows] == [True, False, False]


def test_the_first_failing_window_stops_and_says_how_to_go_on(project: Project) -> None:
    project.land("bad", [event(900, 5, -5)])
    project.ingest()

    code, out, err = call(project, "run", "silver.events", *SPLIT[1:], "--rebuild", "--all")

    assert code == 5
    assert f"window 1 of 3 [{day_at(0)}, {day_at(4)})" in out
    assert f"this was window [{day_at(4)}, {day_at(8)}), 2 of 3; done: [{day_at(0)}, {day_at(4)})" in err
    assert f"then go on: remint run silver.events --range {day_at(4)}..{day_at(8)} --split 4 --mode backfill" in err
    newest = project.open().store.runs(2)
    assert [r.state for r in newest] == [RunState.FAILED, RunState.SUCCEEDED]


def test_each_window_is_judged_by_itself(project: Project) -> None:
    limit(project, largest_window_days=4)
    whole = tuple(w for w in SPLIT if w not in {"--split", "4"})

    assert call(project, "run", *whole)[0] == 4
    assert call(project, "run", *SPLIT)[0] == 0


# -- priority ----------------------------------------------------------------------------------------------------------

NICENESS = """
import os, sys
from remint.cli.main import cli
from remint.workspace import Workspace
Workspace.apply = lambda self, plan: (print("niceness", os.nice(0)), sys.exit(0))
cli(["-C", *sys.argv[1:]])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "priority", "niceness"),
    [
        (("--range", ALL_DAYS, "--no-override-state", "--reason", "x"), "low", 10),
        (("--range", ALL_DAYS, "--no-override-state", "--reason", "x"), "normal", 0),
        ((), "low", 0),
    ],
)
def test_a_backfill_runs_at_a_low_priority_by_default(
    project: Project, arguments: tuple[str, ...], priority: str, niceness: int
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "REMINT_POLICY__PRIORITY"}
    if priority != "low":
        environment["REMINT_POLICY__PRIORITY"] = priority

    done = subprocess.run(
        [sys.executable, "-c", NICENESS, str(project.root), "run", "gold.daily", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"niceness {max(niceness, os.nice(0))}" in done.stdout


# -- alerts ------------------------------------------------------------------------------------------------------------


def listened(project: Project) -> tuple[Workspace, list[Event]]:
    heard: list[Event] = []
    return Workspace(project.root, emit=heard.append, clock=project.now), heard


def alerts(heard: list[Event]) -> list[str]:
    return [e.detail for e in heard if e.kind is EventKind.ALERT]


def test_a_run_over_its_sla_is_an_alert(project: Project) -> None:
    limit(project, sla_seconds=1)
    workspace, heard = listened(project)

    run = workspace.apply(backfill(project))

    assert len(alerts(heard)) == 1
    assert alerts(heard)[0].startswith(f"run {run.run_id} took ")
    assert workspace.account(run).alerts[0]["kind"] == "sla"


def test_an_unusual_number_of_rows_is_an_alert_that_everybody_sees(saved: Project, tmp_path: Path) -> None:
    project = saved.clone(tmp_path / "p")
    project.land("flood", [event(5000 + n, 4) for n in range(300)])
    project.ingest()
    workspace, heard = listened(project)

    run = workspace.apply(project.plan("silver.events"))

    assert alerts(heard) == [f"silver.events {day_at(4)} has 320 rows; 15 to 25 are usual"]
    found = json.loads(call(project, "show", run.run_id, "--json")[1])["account"]["alerts"]
    assert [(a["kind"], a["partition"], a["rows"], a["usual"]) for a in found] == [("volume", day_at(4), 320, [15, 25])]
    logged = [r.entry for r in workspace.store.audit_of(run.run_id) if r.entry.action == "alert"]
    assert [e.detail["alert"] for e in logged] == alerts(heard)
    assert "320 rows" in call(project, "show", run.run_id)[1]


def test_the_command_line_warns(saved: Project, tmp_path: Path) -> None:
    project = saved.clone(tmp_path / "p")
    project.land("flood", [event(5000 + n, 4) for n in range(300)])
    project.ingest()

    _, out, err = call(project, "run", "silver.events")

    assert f"alert: silver.events {day_at(4)} has 320 rows" in out
    assert "alert " in err


def test_a_usual_run_raises_no_alert(saved: Project, tmp_path: Path) -> None:
    project = saved.clone(tmp_path / "p")
    project.land("few", [event(5000, 4)])
    project.ingest()
    workspace, heard = listened(project)

    workspace.apply(project.plan())

    assert alerts(heard) == []


# -- what a run did ----------------------------------------------------------------------------------------------------


def test_a_run_tells_range_datasets_volume_and_time_by_stage(project: Project) -> None:
    run = project.run("gold.daily+", span=f"{day_at(2)}..{day_at(4)}")

    account = json.loads(call(project, "show", run.run_id, "--json")[1])["account"]

    assert account["range"] == {"start": day_at(2), "end": day_at(5)}
    assert account["datasets"] == ["gold.daily", "gold.monthly", "gold.trend"]
    assert account["rows_written"] == sum(t.rows_written for t in project.open().store.timings_of(run.run_id)) > 0
    assert set(account["seconds_by_stage"]) == {"stage", "audit", "publish"}
    assert account["seconds_by_stage"]["stage"] > 0
    assert account["seconds_by_stage"]["publish"] > 0
    assert account["errors_by_stage"] == {}


def test_errors_are_counted_by_stage_over_all_attempts(saved: Project, tmp_path: Path) -> None:
    project = saved.clone(tmp_path / "p")
    project.land("bad", [event(900, 1, -5)])
    project.ingest()
    with pytest.raises(ChecksFailed):
        project.run()
    run = project.outstanding()[0]
    with pytest.raises(ChecksFailed):
        project.open().resume(run.run_id)

    account = project.open().account(project.open().store.run(run.run_id))

    assert account.errors_by_stage == {"audit": 2}
    assert {e["code"] for e in account.errors} == {"RM401"}
    assert [a["kind"] for a in account.alerts] == ["failed", "failed"]


def test_a_request_by_code_is_held_to_the_same_rules(project: Project) -> None:
    """Orchestrators call the workspace, not the command line."""
    limit(project, max_rows=10)

    with pytest.raises(TooManyRows):
        project.open().make_plan(
            Request(range=DateRange.parse(ALL_DAYS), mode=Mode.BACKFILL, override_state=False, requested_by="dagster")
        )


def test_a_dataset_cut_by_version_is_watched_and_says_that_its_logic_changed(tmp_path: Path) -> None:
    """Its keys have a value behind the day; what is missing beside an older version is due to the logic."""
    project = write_project(tmp_path / "p")
    project.edit("datasets.py", "import arrivals", "import logic_version, arrivals")
    kept = 'version=logic_version(VERSION, column="v", old="keep")'
    project.edit("datasets.py", '{"week": "sum(week)"}, version=VERSION', f'{{"week": "sum(week)"}}, {kept}')
    path = project.root / "contracts" / "gold.trend.yaml"
    path.write_text(f"{path.read_text()}      - {{name: v, physicalType: VARCHAR, required: true}}\n")
    project.land("first", history(DAYS))
    project.ingest()

    project.run()
    project.edit("datasets.py", "CURRENT ROW) AS BIGINT)", "CURRENT ROW) + 1 AS BIGINT)")
    plan = project.plan("gold.trend")

    assert [(a.units, {r.cause.value for r in a.reasons}) for a in plan.actions] == [(DAYS, {"logic"})]
    assert project.apply(plan).state is RunState.SUCCEEDED
