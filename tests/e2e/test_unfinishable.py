"""What a run that was killed was about to publish is gone: it is not published, and the run can be ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from remint.errors import BronzeChanged, Unfinishable
from remint.execution.symptom import Health
from remint.model.request import Ask
from remint.model.run import Run, RunState
from remint.workspace import Workspace
from tests.e2e import projects
from tests.e2e.crashes import Killed, Meddled, meddling
from tests.e2e.projects import Project, built, event

pytestmark = pytest.mark.slow

Act = Callable[[Workspace], object]


@pytest.fixture(params=["delta", "iceberg"])
def project(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project of three days."""
    monkeypatch.setattr(projects, "tables_in", request.param)
    return built(tmp_path, days=3)


def die() -> None:
    raise Killed


def killed(project: Project, act: Act, before: str = "publish", number: int = 0) -> Run:
    """Die before the n-th call of a method, and return the run that is outstanding."""
    with pytest.raises(Killed):
        act(meddling(project.open(), Meddled(before, die, number=number)))
    (run,) = project.outstanding()
    return run


def apply(project: Project) -> Act:
    return lambda workspace: workspace.apply(project.plan())


def ingest(workspace: Workspace) -> object:
    return workspace.ingest((), Ask(reason="test"))


def staged(project: Project, run: Run, table: str) -> list[Path]:
    """Return the files that a run wrote for a table."""
    found = [p for p in project.folder(table).rglob("*.parquet") if run.run_id in p.name]
    assert found
    return found


def lose(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink()


def cut(files: Iterable[Path]) -> None:
    for file in files:
        file.write_bytes(file.read_bytes()[:50])


def healed(project: Project) -> None:
    """Require that what is stale is made, and that nothing is wrong then."""
    project.run()
    assert project.tables() == project.expected()
    assert not project.stale()
    assert [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD] == []


@pytest.mark.parametrize("damage", [lose, cut])
def test_a_run_whose_staged_files_are_not_as_they_were_is_not_finished_but_taken_back(
    project: Project, damage: Callable[[Iterable[Path]], None]
) -> None:
    before = project.live(), project.digests()
    project.set_factor(2)
    # On Iceberg all tables change at once, so none of them has; on Delta one has.
    run = killed(project, apply(project), number=1 if project.format == "delta" else 0)
    landed = {table for table in before[0] if project.live()[table] != before[0][table]}
    damage(staged(project, run, "gold.trend"))

    with pytest.raises(Unfinishable, match=r"gold\.trend: .*parquet is (missing|truncated)") as raised:
        project.open().resume(run.run_id)
    assert "remint waive" in (raised.value.hint or "")
    assert project.open().store.run(run.run_id).state is RunState.PUBLISHING
    ended = project.open().waive(run.run_id, "the files are gone")

    assert len(landed) == (project.format == "delta")
    assert ended.run.state is RunState.WAIVED
    assert set(ended.taken_back) == landed
    assert ended.live_in == ()
    assert (project.live(), project.digests()) == before
    healed(project)


def test_a_run_whose_table_is_gone_is_taken_back_from_the_others(project: Project) -> None:
    project.set_factor(2)
    run = killed(project, apply(project), before="finish")
    shutil.rmtree(project.folder("gold.daily"))
    if project.format == "iceberg":
        found = project.open().upkeep.find_repair(())
        project.open().upkeep.repair(found, Ask(reason="the disk is new"))

    with pytest.raises(Unfinishable, match=r"gold\.daily"):
        project.open().resume(run.run_id)
    project.open().waive(run.run_id, "its files are gone")

    healed(project)


def test_a_table_made_anew_while_its_log_alone_is_gone_is_a_conflict(project: Project) -> None:
    """Its staged files are there still, so that the run could go on; but what they were to replace is not live."""
    project.set_factor(2)
    run = killed(project, apply(project))
    if project.format == "iceberg":
        project.lakehouse.catalog().drop_table("gold.daily")
    else:
        shutil.rmtree(project.folder("gold.daily") / "_delta_log")

    with pytest.raises(Exception, match=r"gold\.daily"):
        project.open().resume(run.run_id)
    project.rollback(run.run_id)

    healed(project)


@pytest.mark.parametrize("damage", [lose, cut])
def test_an_ingest_does_not_publish_files_that_are_not_as_they_were(
    project: Project, damage: Callable[[Iterable[Path]], None]
) -> None:
    project.land("b", [event(900, 1, 77)])
    run = killed(project, ingest)
    damage(staged(project, run, "bronze.events"))

    with pytest.raises(Unfinishable, match=r"bronze\.events: .*parquet is (missing|truncated)"):
        project.open().resume(run.run_id)
    project.open().waive(run.run_id, "the file is gone")
    project.ingest()

    healed(project)


@pytest.mark.parametrize("damage", [lose, cut])
def test_an_ingest_stages_again_what_it_had_staged_and_is_not_as_it_was(
    project: Project, damage: Callable[[Iterable[Path]], None]
) -> None:
    project.land("b", [event(900, 1, 77)])
    run = killed(project, ingest, before="intend")
    damage(staged(project, run, "bronze.events"))

    project.open().resume(run.run_id)

    healed(project)


@pytest.mark.parametrize("before", ["intend", "publish"])
def test_an_ingest_is_not_gone_on_with_where_its_table_is_gone(project: Project, before: str) -> None:
    project.land("b", [event(900, 1, 77)])
    run = killed(project, ingest, before=before)
    if project.format == "iceberg":
        project.lakehouse.catalog().drop_table("bronze.events")
    else:
        shutil.rmtree(project.folder("bronze.events") / "_delta_log")

    with pytest.raises((BronzeChanged, Unfinishable), match=r"bronze\.events: .*there is no table in"):
        project.open().resume(run.run_id)

    assert project.lakehouse.version("bronze.events") is None


def test_a_rollback_whose_earlier_files_are_gone_is_taken_back(project: Project) -> None:
    project.set_factor(2)
    undone = project.run()
    before = project.live()
    run = killed(project, lambda w: w.rollback(undone.run_id, project.ask()))
    files = [p for p in project.folder("gold.daily").rglob("*.parquet") if undone.run_id not in p.name]
    lose(files)

    with pytest.raises(Unfinishable, match=r"gold\.daily"):
        project.open().resume(run.run_id)
    project.open().waive(run.run_id, "the earlier files are gone")

    assert project.live() == before
    assert project.tables() == project.expected()
