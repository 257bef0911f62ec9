"""A conflict in the middle of a publish: what was committed is taken back, whatever interrupts that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remint.errors import HalfPublished, PlanError, PublishConflict, WaiveRefused
from remint.execution.symptom import Health
from remint.formats.base import Replacement, Table
from remint.model.run import RunState
from remint.workspace import Workspace
from tests.e2e.crashes import Fuse, Killed, Meddled, When, armed, meddling
from tests.e2e.projects import Project, built, remint

LAST = 3
"""gold.trend, published behind gold.daily and gold.monthly."""


class Meddler:
    """A table format beside which somebody else writes: ``act`` is called before the ``at``-th publish."""

    def __init__(self, tables: Any, at: int, act: Callable[[Table], None]) -> None:
        self._tables, self._at, self._act = tables, at, act
        self.published: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def publish(self, changes: list[tuple[Table, Replacement]]) -> Any:
        ((table, _),) = changes
        self.published.append(table.name)
        if len(self.published) == self._at:
            self._act(table)
        return self._tables.publish(changes)


def meddled(project: Project, at: int, act: Callable[[Table], None]) -> Workspace:
    workspace = project.open()
    tools = workspace._tools
    workspace.__dict__["_tools"] = replace(tools, tables=Meddler(tools.tables, at, act))
    return workspace


def delete_everything(project: Project) -> Callable[[Table], None]:
    return lambda table: project.delta(table.name).delete() and None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = built(tmp_path / "p", days=3)
    made.set_factor(2)
    return made


def test_a_conflict_after_the_first_commit_leaves_nothing_of_the_run_live(project: Project) -> None:
    before = project.live()
    workspace = meddled(project, LAST, delete_everything(project))

    with pytest.raises(PublishConflict) as caught:
        workspace.apply(project.plan())

    after = project.live()
    assert {t: after[t] for t in ("gold.daily", "gold.monthly")} == {
        t: before[t] for t in ("gold.daily", "gold.monthly")
    }
    assert after["gold.trend"] == set()
    assert "taken back" in caught.value.leaves
    assert [r.state for r in project.outstanding()] == [RunState.FAILED]


def test_what_the_other_writer_did_is_foreign_and_a_plan_heals_it(project: Project) -> None:
    with pytest.raises(PublishConflict):
        meddled(project, LAST, delete_everything(project)).apply(project.plan())
    project.rollback(project.outstanding()[0].run_id)

    assert project.stale()["gold.trend"] == (3, 0, 3)
    project.run()
    assert project.tables() == project.expected()
    assert project.stale() == {}


def test_a_kill_while_taking_back_is_finished_by_resume(project: Project) -> None:
    before = project.live()["gold.daily"]

    workspace = meddled(project, LAST, delete_everything(project))
    tables = workspace._tools.tables
    publish = tables.publish

    def dying(changes: list[tuple[Table, Replacement]]) -> Any:
        if any(replacement.attempt == 2 for _, replacement in changes):
            raise Killed("while taking back")
        return publish(changes)

    tables.publish = dying
    with pytest.raises(Killed):
        workspace.apply(project.plan())
    (run,) = project.outstanding()
    assert run.state is RunState.PUBLISHING
    assert project.live()["gold.daily"] != before

    with pytest.raises(PublishConflict, match="taken back now"):
        project.open().resume(run.run_id)

    assert project.live()["gold.daily"] == before
    assert [r.state for r in project.outstanding()] == [RunState.FAILED]


def test_a_commit_that_somebody_built_on_is_reported_and_not_undone(project: Project) -> None:
    def act(table: Table) -> None:
        project.delta("gold.daily").delete()
        project.delta(table.name).delete()

    with pytest.raises(HalfPublished, match="somebody changed that table again"):
        meddled(project, LAST, act).apply(project.plan())

    assert [r.state for r in project.outstanding()] == [RunState.PUBLISHING]


def test_a_half_published_run_is_waived_and_the_next_plan_heals_it(project: Project) -> None:
    def act(table: Table) -> None:
        project.delta("gold.daily").delete()
        project.delta(table.name).delete()

    with pytest.raises(HalfPublished) as caught:
        meddled(project, LAST, act).apply(project.plan())
    (run,) = project.outstanding()
    assert f"remint waive {run.run_id}" in str(caught.value.hint)
    with pytest.raises(PlanError, match=run.run_id):
        project.plan()

    project.open().waive(run.run_id, "the other job is gone")

    store = project.open().store
    assert store.run(run.run_id).state is RunState.WAIVED
    (entry,) = [r.entry for r in store.audit(100) if r.entry.action == "waive"]
    assert (entry.status, entry.reason, entry.detail["live_in"]) == ("waived", "the other job is gone", ["gold.daily"])
    project.run()
    assert project.tables() == project.expected()
    assert not project.outstanding()
    assert [s for s in project.open().upkeep.doctor(()) if s.health is Health.BAD] == []


def test_what_bars_a_stuck_run_from_a_table_is_no_torn_entry(project: Project) -> None:
    """The waiver was killed right after it had put that there, with the number of an attempt to publish."""

    def act(table: Table) -> None:
        project.delta("gold.daily").delete()
        project.delta(table.name).delete()

    def die() -> None:
        raise Killed

    with pytest.raises(HalfPublished):
        meddled(project, LAST, act).apply(project.plan())
    (run,) = project.outstanding()
    with pytest.raises(Killed):
        meddling(project.open(), Meddled("set_state", die)).waive(run.run_id, "the other job is gone")
    barred = project.versions()["gold.daily"]

    told = remint(project, "resume", run.run_id)

    assert "torn" not in told.output
    assert project.versions()["gold.daily"] == barred
    project.open().waive(run.run_id, "the other job is gone")
    project.run()
    assert project.tables() == project.expected()


def test_a_run_that_can_still_be_ended_is_not_waived(project: Project) -> None:
    with pytest.raises(Killed):
        armed(project.open(), Fuse(7, When.AFTER)).apply(project.plan())
    (run,) = project.outstanding()
    assert run.state is RunState.PUBLISHING

    with pytest.raises(WaiveRefused) as caught:
        project.open().waive(run.run_id, "test")

    assert f"remint resume {run.run_id}" in str(caught.value.hint)
    project.open().resume(run.run_id)
    assert project.tables() == project.expected()


def test_a_failed_run_is_waived_and_its_files_stay(project: Project) -> None:
    with pytest.raises(PublishConflict):
        meddled(project, LAST, delete_everything(project)).apply(project.plan())
    (run,) = project.outstanding()
    parts = project.parts()

    project.open().waive(run.run_id, "settled by hand")

    assert project.parts() == parts
    assert not project.outstanding()
