"""A table that is gone as a whole, and the one that is made in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remint.errors import BronzeChanged, LogDamaged, SourceUnavailable
from remint.execution.symptom import Health
from tests.e2e import projects, strangers
from tests.e2e.crashes import Killed, Meddled, meddling
from tests.e2e.projects import Project, built, day_at, remint

pytestmark = pytest.mark.slow


def die() -> None:
    raise Killed


def twice_built(root: Path) -> Project:
    """Return a project whose tables have two commits each."""
    project = built(root, days=3)
    project.set_factor(2)
    project.run()
    return project


@pytest.mark.parametrize("only_the_log", [False, True])
def test_a_table_that_is_gone_is_made_anew_and_nothing_is_missed_afterwards(tmp_path: Path, only_the_log: bool) -> None:
    project = twice_built(tmp_path)
    folder = project.folder("gold.daily")
    shutil.rmtree(folder / "_delta_log" if only_the_log else folder)

    assert remint(project, "status").exit_code == 0
    project.run()

    assert project.tables() == project.expected()
    assert not project.stale()
    assert [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD] == []
    assert project.open().upkeep.find_repair(()).acts == ()
    release = project.open().store.release()
    assert release
    assert release.versions["gold.daily"] == project.versions()["gold.daily"] == 1


def test_a_table_that_is_gone_after_it_was_mended_is_missed(tmp_path: Path) -> None:
    project = twice_built(tmp_path)
    entry = max((project.folder("gold.daily") / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:40])
    assert remint(project, "repair", "--apply", "--reason", "a sector was lost").exit_code == 0

    shutil.rmtree(project.folder("gold.daily"))

    assert project.stale()
    project.run()
    assert project.tables() == project.expected()


@pytest.mark.parametrize("kept_in", ["delta", "iceberg"])
@pytest.mark.parametrize("table", ["gold.daily", "bronze.events"])
def test_a_table_that_somebody_made_anew_up_to_the_version_that_was_seen_is_not_taken_for_it(
    tmp_path: Path, kept_in: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "tables_in", kept_in)
    project = built(tmp_path, days=3)
    version, rows = project.lakehouse.version(table), project.lakehouse.rows(table)
    assert version == 1
    project.lakehouse.make_anew(table, rows.slice(1))

    assert project.lakehouse.version(table) == version
    if table == "bronze.events":
        with pytest.raises(BronzeChanged):
            project.plan()
    else:
        assert project.stale()[table][2] == 3
        project.run()
        assert project.tables() == project.expected()
        assert not project.stale()


def set_back(project: Project, table: str, to: int) -> None:
    """Restore the log of a table as a backup has it."""
    for entry in (project.folder(table) / "_delta_log").glob("*.json"):
        if int(entry.stem) > to:
            entry.unlink()


def test_commits_after_the_version_to_which_a_table_was_set_back_are_not_missed(tmp_path: Path) -> None:
    """The first of them was somebody else's, so that no run journalled its number."""
    project = built(tmp_path, days=3)
    strangers.append(project, "gold.trend", like=day_at(1))
    project.run()
    project.set_factor(2)
    project.run()
    set_back(project, "gold.trend", 1)

    assert project.stale()["gold.trend"][2] == 3
    project.run()

    assert project.tables() == project.expected()
    assert [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD] == []
    assert project.open().upkeep.find_repair(()).acts == ()


def test_what_is_not_there_any_more_is_not_proven(tmp_path: Path) -> None:
    project = twice_built(tmp_path)
    shutil.rmtree(project.folder("gold.daily"))

    told = remint(project, "verify", "gold.daily")

    assert told.exit_code == 1
    assert "its files are not those that remint published: somebody who removed the table" in told.output
    assert "3 different" in told.output


def test_a_run_that_changed_nothing_is_not_offered_to_be_taken_back(tmp_path: Path) -> None:
    project = twice_built(tmp_path)

    told = remint(project, "run", "gold.daily", "--rebuild", "--all", "--no-override-state", "--reason", "sure?")

    assert told.exit_code == 0
    assert "0 partitions published, 3 came out the same" in told.output
    assert "rollback" not in told.output


def test_a_log_that_nobody_can_mend_says_how_its_table_is_made_anew(tmp_path: Path) -> None:
    project = twice_built(tmp_path)
    (project.folder("gold.daily") / "_delta_log" / f"{0:020d}.json").write_text("")

    (hopeless,) = project.open().upkeep.find_repair(()).hopeless
    with pytest.raises(LogDamaged):
        project.plan()

    assert f"mv {project.folder('gold.daily')} " in hopeless.hint
    project.folder("gold.daily").rename(tmp_path / "damaged")
    project.run()
    assert project.tables() == project.expected()


def test_status_names_the_run_that_mends_a_log_that_nobody_can_read(tmp_path: Path) -> None:
    project = twice_built(tmp_path)
    project.set_factor(3)
    with pytest.raises(Killed):
        meddling(project.open(), Meddled("publish", die, number=1)).apply(project.plan())
    (run,) = project.outstanding()
    entry = max((project.folder("gold.daily") / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:40])

    told = remint(project, "status")

    assert told.exit_code == 6
    assert f"remint resume {run.run_id}" in told.stdout
    assert f"next: remint resume {run.run_id}" in told.stderr
    project.open().resume(run.run_id)
    assert project.tables() == project.expected()


def test_a_source_whose_folder_is_gone_is_no_empty_source(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    (project.root / "landing").rename(project.root / "elsewhere")

    with pytest.raises(SourceUnavailable, match="landing is not there"):
        project.ingest()
    (project.root / "landing").mkdir()
    answer = remint(project, "ingest")

    assert answer.exit_code == 0
    assert "matches no file any more" in answer.output
