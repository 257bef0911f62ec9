"""A conflict in the middle of a publish: what was committed is taken back, whatever interrupts that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remint.errors import HalfPublished, PublishConflict
from remint.formats.base import Replacement, Table
from remint.model.run import RunState
from remint.workspace import Workspace
from tests.e2e.crashes import Killed
from tests.e2e.projects import Project, built

LAST = 3
"""gold.trend, published behind gold.daily and gold.monthly."""


class Meddler:
    """A table format beside which somebody else writes: ``act`` is called before the ``at``-th publish."""

    def __init__(self, tables: Any, at: int, act: Callable[[Table], None]) -> None:
        self._tables, self._at, self._act = tables, at, act
        self.published: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def publish(self, table: Table, replacement: Replacement) -> int:
        self.published.append(table.name)
        if len(self.published) == self._at:
            self._act(table)
        return int(self._tables.publish(table, replacement))


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

    def dying(table: Table, replacement: Replacement) -> int:
        if replacement.attempt == 2:
            raise Killed("while taking back")
        return publish(table, replacement)

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
