"""Four eyes: what needs a second person does not run without one, and runs once with one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import (
    ApprovalBySamePerson,
    ApprovalExpired,
    ApprovalMissing,
    PlanOutdated,
    PlanUsed,
    TransformFailed,
    UnknownPlan,
    UsageError,
)
from remint.model.event import Event, EventKind
from remint.model.plan import Plan
from remint.model.request import BackfillType, Mode, Request
from remint.model.run import Run, RunState
from remint.store.values import AuditEntry
from remint.workspace import Workspace
from tests.e2e.projects import Project, built, day_at

HOUR = timedelta(hours=1)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A built project with a stale gold.daily."""
    made = built(tmp_path / "p", days=3)
    made.set_factor(2)
    return made


def forced(project: Project, **fields: Any) -> Plan:
    """Return the plan of a forced backfill that tester asked for, saved."""
    asked = {"type": BackfillType.FORCED, "override_state": True, "reason": "corrupt prices", **fields}
    workspace = project.open()
    plan = workspace.make_plan(Request(mode=Mode.BACKFILL, requested_by="tester", **asked))
    workspace.save_plan(plan)
    return plan


def approve(project: Project, plan: Plan, who: str = "bea", good_for: timedelta = HOUR) -> None:
    project.open().approve(plan, who, "agreed with finance", good_for)


def entries(project: Project, run: Run) -> list[AuditEntry]:
    return [r.entry for r in project.open().store.audit_of(run.run_id)]


def call(project: Project, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["-C", str(project.root), *arguments])
    return result.exit_code, result.stdout, result.stderr


# -- what counts -------------------------------------------------------------------------------------------------------


def test_a_forced_backfill_without_an_approval_leaves_no_run(project: Project) -> None:
    plan = forced(project)
    before, runs = project.fingerprint(), len(project.open().store.runs(99))

    with pytest.raises(ApprovalMissing, match="a forced backfill overrides pipeline state") as caught:
        project.apply(plan)

    assert f"remint approve {plan.plan_id} --as NAME" in str(caught.value.hint)
    assert project.fingerprint() == before
    assert len(project.open().store.runs(99)) == runs


def test_with_an_approval_it_runs_once(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)

    run = project.apply(plan)

    assert (run.state, run.type, run.override_state, run.approved_by) == (RunState.SUCCEEDED, "forced", True, "bea")
    assert project.tables() == project.expected()
    assert project.open().store.approvals_of(plan.plan_id)[0].used_by == run.run_id
    with pytest.raises(PlanUsed):
        project.apply(plan)


@pytest.mark.parametrize("name", ["tester", " TESTER ", "Tester"])
def test_nobody_approves_their_own_plan(project: Project, name: str) -> None:
    plan = forced(project)

    with pytest.raises(ApprovalBySamePerson):
        approve(project, plan, name)

    assert project.open().store.approvals(9) == []


def test_an_approval_that_ran_out_counts_no_more(project: Project) -> None:
    plan = forced(project)
    approve(project, plan, good_for=timedelta(minutes=30))
    project.ticks += 60

    with pytest.raises(ApprovalExpired, match="by bea ran out at"):
        project.apply(plan)

    approve(project, plan, "carl")
    assert project.apply(plan).approved_by == "carl"


def test_an_approval_is_of_one_plan_and_a_new_plan_voids_it(project: Project) -> None:
    first = forced(project)
    approve(project, first)
    second = forced(project, reason="another reason")

    with pytest.raises(ApprovalMissing, match=second.plan_id):
        project.apply(second)


def test_an_approved_plan_that_no_longer_fits_keeps_its_approval_unused(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)
    project.run("gold.daily")

    with pytest.raises(PlanOutdated):
        project.apply(plan)

    assert project.open().store.approvals_of(plan.plan_id)[0].used_by is None


def test_a_plan_file_edited_after_its_approval_is_refused(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)
    path = project.root / ".remint" / "plans" / f"{plan.plan_id}.json"
    data = json.loads(path.read_text())
    data["request"]["selectors"] = ["silver.events"]
    path.write_text(json.dumps(data))

    with pytest.raises(UnknownPlan, match="was edited"):
        project.open().load_plan(plan.plan_id)


def test_an_edit_that_takes_the_need_for_approval_out_is_refused(project: Project) -> None:
    plan = forced(project)
    path = project.root / ".remint" / "plans" / f"{plan.plan_id}.json"
    data = json.loads(path.read_text())
    data["needs_approval"] = []
    path.write_text(json.dumps(data))

    assert call(project, "apply", plan.plan_id)[0] == 2


@pytest.mark.parametrize("good_for", [timedelta(), timedelta(days=31)])
def test_an_approval_is_good_for_some_time_and_not_for_ever(project: Project, good_for: timedelta) -> None:
    with pytest.raises(UsageError, match="at most 30 days"):
        approve(project, forced(project), good_for=good_for)


def test_a_plan_that_was_applied_cannot_be_approved(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)
    project.apply(plan)

    with pytest.raises(PlanUsed):
        approve(project, plan, "carl")


RACE = """
import sys, time
from pathlib import Path
from remint.workspace import Workspace
from remint.errors import RemintError
workspace = Workspace(Path(sys.argv[1]))
plan = workspace.load_plan(sys.argv[2])
require = Workspace._started
def together(self, *arguments):
    # Both have passed every check before either begins: the transaction alone decides.
    (Path(sys.argv[1]) / f"ready-{sys.argv[3]}").touch()
    while len(list(Path(sys.argv[1]).glob("ready-*"))) < 2:
        time.sleep(0.01)
    return require(self, *arguments)
Workspace._started = together
try:
    print("ran", workspace.apply(plan).run_id)
except RemintError as error:
    print("refused", error.code, error.message)
"""


@pytest.mark.slow
def test_of_two_processes_with_one_approval_one_runs(project: Project) -> None:
    plan = forced(project)
    project.open()
    # The processes go by the real clock.
    Workspace(project.root).approve(plan, "bea", "agreed", HOUR)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(project.root), plan.plan_id, str(n)], stdout=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]

    said = sorted(p.communicate(timeout=120)[0].strip() for p in started)

    assert said[0].startswith("ran r-")
    run_id = said[0].split()[1]
    assert said[1].startswith("refused RM333")
    assert run_id in said[1]
    assert [r.run_id for r in project.open().store.runs(99) if r.plan_id == plan.plan_id] == [run_id]
    assert project.tables() == project.expected()


# -- reinforced logging ------------------------------------------------------------------------------------------------


def test_a_forced_run_is_logged_at_every_step_with_approver_and_reason(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)
    run = project.apply(plan)

    logged = entries(project, run)
    given = next(r.entry for r in project.open().store.audit(99) if r.entry.action == "approve")

    assert (given.actor, given.reason, given.detail["plan_id"]) == ("bea", "agreed with finance", plan.plan_id)
    assert [(e.action, e.status, *e.datasets[:1]) for e in logged] == [
        ("intend", "started"),
        ("apply", "started"),
        ("publish", "success", "gold.daily"),
        ("publish", "success", "gold.monthly"),
        ("publish", "success", "gold.trend"),
        ("apply", "success", "gold.daily"),
    ]
    assert {(e.detail["approved_by"], e.detail["approval_reason"]) for e in logged} == {("bea", "agreed with finance")}
    assert {(e.mode, e.type, e.override_state, e.reason) for e in logged} == {
        ("backfill", "forced", True, "corrupt prices")
    }


def test_an_ordinary_backfill_is_logged_as_a_whole(project: Project) -> None:
    run = project.run(span=f"{day_at(0)}..{day_at(2)}")

    logged = entries(project, run)

    assert [(e.action, e.status) for e in logged] == [("apply", "started"), ("apply", "success")]
    assert {e.type for e in logged} == {"temporal"}


def test_a_forced_run_that_fails_logs_its_end_too(project: Project) -> None:
    project.edit("sql/monthly.sql", "CAST(sum(amount) AS BIGINT)", "CAST('x' || sum(amount) AS BIGINT)")
    plan = forced(project)
    approve(project, plan)

    with pytest.raises(TransformFailed):
        project.apply(plan)

    logged = entries(project, project.open().store.runs(1)[0])
    assert [(e.action, e.status) for e in logged] == [
        ("intend", "started"),
        ("apply", "started"),
        ("apply", "failed"),
        ("alert", "failed"),
    ]
    assert {e.detail["approved_by"] for e in logged} == {"bea"}


# -- the command line --------------------------------------------------------------------------------------------------

FORCED = ("gold.daily+", "--type", "forced", "--override-state", "--reason", "corrupt prices")


def test_run_stops_after_the_plan_and_says_what_the_second_person_types(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMINT_USER", "ana")

    code, out, err = call(project, "run", *FORCED)
    plan_id = next(p.stem for p in (project.root / ".remint" / "plans").glob("*.json"))

    assert code == 4
    assert plan_id in out
    assert "error RM331" in err
    assert f'remint approve {plan_id} --as NAME --reason "..."; then: remint apply {plan_id}' in err
    assert call(project, "approve", plan_id, "--as", "ANA", "--reason", "me")[0] == 4
    assert call(project, "approve", plan_id, "--as", "bea", "--reason", "agreed", "--expires", "2h")[0] == 0
    assert "approved by bea: agreed (open until" in call(project, "show", plan_id)[1]
    assert call(project, "apply", plan_id)[0] == 0


def test_approvals_lists_open_used_and_expired_ones(project: Project) -> None:
    used, late, waiting = (forced(project, reason=f"reason {n}") for n in range(3))
    approve(project, used)
    approve(project, late, good_for=timedelta(minutes=1))
    approve(project, waiting, good_for=timedelta(days=30))
    project.apply(used)
    project.ticks += 5

    now = project.open().now()
    states = {a.plan_id: a.state(now).value for a in project.open().store.approvals(9)}

    assert states == {used.plan_id: "used", late.plan_id: "expired", waiting.plan_id: "open"}
    code, out, _ = call(project, "approvals", "--json")
    assert code == 0
    assert [a["approval"]["plan_id"] for a in json.loads(out)["approvals"]] == [
        waiting.plan_id,
        late.plan_id,
        used.plan_id,
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "needs a reason"), (("--reason", "x", "--expires", "soon"), "no length of time")],
)
def test_an_approval_must_be_complete(project: Project, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = call(project, "approve", forced(project).plan_id, "--as", "bea", *arguments)

    assert code == 2
    assert said in err


def test_a_plan_file_is_approved_by_its_path(project: Project) -> None:
    plan = forced(project)
    path = project.root / ".remint" / "plans" / f"{plan.plan_id}.json"

    assert call(project, "approve", str(path), "--as", "bea", "--reason", "agreed")[0] == 0
    assert project.open().store.approvals_of(plan.plan_id)[0].approver == "bea"


def test_type_and_override_are_echoed_everywhere(project: Project) -> None:
    plan = forced(project)
    approve(project, plan)
    run = project.apply(plan)

    shown = {c: call(project, *c.split(), "--json")[1] for c in ("runs", f"show {run.run_id}", "audit")}
    asked = json.loads(call(project, "show", plan.plan_id, "--json")[1])["plan"]["request"]

    assert (asked["mode"], asked["type"], asked["override_state"]) == ("backfill", "forced", True)
    for text in shown.values():
        assert '"type": "forced"' in text
        assert '"override_state": true' in text
    assert "forced" in call(project, "runs")[1]
    assert "mode backfill, type forced | override_state yes" in call(project, "show", plan.plan_id)[1]
    assert "backfill, type forced, override_state yes" in call(project, "show", run.run_id)[1]


@dataclass
class Heard:
    """Collects what a workspace announces."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def test_a_failure_is_an_alert(project: Project) -> None:
    project.edit("sql/monthly.sql", "CAST(sum(amount) AS BIGINT)", "CAST('x' || sum(amount) AS BIGINT)")
    heard = Heard()
    workspace = Workspace(project.root, emit=heard, clock=project.now)
    plan = workspace.make_plan(Request(requested_by="tester"))

    with pytest.raises(TransformFailed):
        workspace.apply(plan)

    alerts = [e.detail for e in heard.events if e.kind is EventKind.ALERT]
    assert len(alerts) == 1
    assert alerts[0].startswith(f"run {workspace.store.runs(1)[0].run_id} failed: ")
