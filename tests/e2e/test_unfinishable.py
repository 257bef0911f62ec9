"""What a run that was killed was about to publish is gone: it is not published, and the run can be ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from remint.errors import BronzeChanged, Unfinishable, WaiveRefused
from remint.execution.symptom import Health
from remint.model.request import Ask
from remint.model.run import Run, RunState
from remint.workspace import Workspace
from tests.e2e import projects
from tests.e2e.crashes import Killed, Meddled, meddling
from tests.e2e.projects import Project, built, event, remint

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
def test_an_ingest_makes_again_what_it_was_about_to_publish(
    project: Project, damage: Callable[[Iterable[Path]], None]
) -> None:
    project.land("b", [event(0, 0, 1), event(900, 1, 77), "no row"])
    run = killed(project, ingest)
    for table in ("bronze.events", "bronze.events_quarantine"):
        damage(staged(project, run, table))

    project.open().resume(run.run_id)

    healed(project)


@pytest.mark.parametrize("damage", [lose, cut])
def test_an_ingest_does_not_publish_files_that_cannot_be_made_again(
    project: Project, damage: Callable[[Iterable[Path]], None]
) -> None:
    source = project.land("b", [event(900, 1, 77)])
    run = killed(project, ingest)
    damage(staged(project, run, "bronze.events"))
    source.rename(source.with_suffix(".away"))

    with pytest.raises(Unfinishable, match=r"bronze\.events: .*parquet is (missing|truncated)") as raised:
        project.open().resume(run.run_id)
    assert "remint waive" in (raised.value.hint or "")
    project.open().waive(run.run_id, "the file is gone")
    source.with_suffix(".away").rename(source)
    project.ingest()

    healed(project)


def test_rows_that_an_ingest_has_added_are_not_taken_out_of_bronze(tmp_path: Path) -> None:
    """On Delta, whose tables change one after the other, the rejected rows of a file may be lost that is half there."""
    project = built(tmp_path, days=3)
    source = project.land("b", [event(900, 1, 77), "no row"])
    run = killed(project, ingest, number=1)
    lose(staged(project, run, "bronze.events_quarantine"))
    source.rename(source.with_suffix(".away"))

    with pytest.raises(Unfinishable, match=r"bronze\.events_quarantine") as raised:
        project.open().resume(run.run_id)
    assert "remint waive" not in (raised.value.hint or "")
    with pytest.raises(WaiveRefused, match=r"has added rows to bronze\.events, which nothing is taken out of"):
        project.open().waive(run.run_id, "the file is gone")
    source.with_suffix(".away").rename(source)
    project.open().resume(run.run_id)

    healed(project)


def test_a_run_whose_live_files_are_damaged_is_taken_back_while_that_is_possible(project: Project) -> None:
    before = project.live(), project.digests()
    project.set_factor(2)
    run = killed(project, apply(project), before="finish")
    cut(staged(project, run, "gold.daily"))

    with pytest.raises(Unfinishable, match=r"gold\.daily: .* is truncated"):
        project.open().resume(run.run_id)
    done = project.open().waive(run.run_id, "the disk is new")

    assert done.taken_back == ("gold.daily", "gold.monthly", "gold.trend")
    assert (project.live(), project.digests()) == before
    healed(project)


@pytest.mark.parametrize("before", ["publish", "bar", "set_state"])
def test_a_waiver_that_was_killed_is_finished_by_another_one(project: Project, before: str) -> None:
    live = project.live()
    project.set_factor(2)
    run = killed(project, apply(project), before="finish")
    lose(staged(project, run, "gold.trend"))
    with pytest.raises(Unfinishable):
        project.open().resume(run.run_id)
    killed(project, lambda workspace: workspace.waive(run.run_id, "the files are gone"), before=before)

    said = remint(project, "waive", run.run_id, "--reason", "the files are gone")

    assert said.exit_code == 0, said.output
    assert "torn" not in said.output
    assert project.live() == live
    healed(project)


def test_what_bars_a_waived_run_from_a_table_is_no_damage(tmp_path: Path) -> None:
    """The entry of its commit was torn, and that which bars it stands in its place."""
    project = built(tmp_path, days=3)
    project.set_factor(2)
    run = killed(project, apply(project), number=1)
    lose(staged(project, run, "gold.trend"))
    entry = max((project.folder("gold.daily") / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:40])
    with pytest.raises(Unfinishable):
        project.open().resume(run.run_id)
    project.open().waive(run.run_id, "the files are gone")

    assert project.open().upkeep.find_repair(()).acts == ()
    healed(project)
    assert project.open().upkeep.find_repair(()).acts == ()


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
