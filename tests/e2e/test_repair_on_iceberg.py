"""Damaged metadata of an Iceberg table: mended from the state before it and the journals of the runs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import tampering_iceberg
from tests.e2e.projects import Project, built, day_at, remint
from tests.e2e.test_foreign_on_iceberg import append, bad
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_iceberg")]

MENDED = ["metadata", "manifest edited", "manifest list", "catalog set back", "catalog points nowhere", "manifest"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, on_iceberg: None) -> Project:
    """A project whose tables have three commits each."""
    project = built(tmp_path_factory.mktemp("repair") / "original", days=3)
    for factor in (2, 3):
        project.set_factor(factor)
        project.run()
    return project


@proof
@pytest.mark.parametrize("kind", MENDED[: size(2, len(MENDED))])
def test_damaged_metadata_is_made_anew_from_the_journal(original: Project, tmp_path: Path, kind: str) -> None:
    for seed in range(size(1, 12)):
        project = original.clone(tmp_path / f"p{seed}")
        before = project.live(), project.versions(), project.tables()
        draw = random.Random(seed)
        tampering_iceberg.METADATA[kind](project, "gold.daily", draw)
        assert [s.subject for s in bad(project)].count("gold.daily") > 0

        found = project.open().upkeep.find_repair(())
        told = remint(project, "repair", "--apply", "--reason", "a sector was lost")

        assert found.hopeless == (), seed
        assert told.exit_code == 0, told.output
        assert (project.live(), project.versions(), project.tables()) == before
        assert bad(project) == []
        project.set_factor(4)
        project.run()
        assert project.tables() == project.expected()
    report("repairs", cases=size(1, 12), part=kind)


def test_a_commit_of_somebody_else_is_not_dropped_to_mend_what_is_below_it(original: Project, tmp_path: Path) -> None:
    project = original.clone(tmp_path / "p")
    append(project, "gold.daily", day_at(1))
    oldest = tampering_iceberg.opened(project, "gold.daily").metadata.snapshots[0]
    Path(oldest.manifest_list).unlink()
    held = project.files()

    told = remint(project, "repair", "gold.daily", "--apply", "--reason", "a sector was lost")

    assert told.exit_code == 1
    assert "no journal says what stood there" in told.output
    assert project.files() == held


def lose_states(folder: Path) -> None:
    for path in (folder / "metadata").glob("*.json"):
        path.write_bytes(b"")


@pytest.mark.parametrize("lose", [shutil.rmtree, lose_states], ids=["folder", "states"])
def test_a_table_of_which_nothing_can_be_read_is_made_anew(
    original: Project, tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    project = original.clone(tmp_path / "p")
    named = tampering_iceberg.opened(project, "gold.daily").metadata_location
    lose(project.folder("gold.daily"))
    assert remint(project, "status").exit_code == 6

    (act,) = project.open().upkeep.find_repair(()).acts
    told = remint(project, "repair", "--apply", "--reason", "rm -rf in the wrong window")
    seen = remint(project, "status")
    project.run()

    assert Path(named).name in act.words
    assert "repair succeeded" in told.output
    assert seen.exit_code == 0, seen.output
    assert project.tables() == project.expected()
    assert bad(project) == []
    assert project.open().upkeep.find_repair(()).acts == ()


def test_bronze_is_not_made_anew_without_its_metadata(original: Project, tmp_path: Path) -> None:
    project = original.clone(tmp_path / "p")
    lose_states(project.folder("bronze.events"))
    held = project.files()

    found = project.open().upkeep.find_repair(["bronze.events"])
    told = remint(project, "repair", "bronze.events", "--apply", "--reason", "rm -rf in the wrong window")

    assert found.acts == ()
    assert told.exit_code == 1
    assert "from a backup" in told.output
    assert project.files() == held


def test_a_bronze_file_that_is_gone_is_made_again_to_the_byte(original: Project, tmp_path: Path) -> None:
    project = original.clone(tmp_path / "p")
    (victim,) = project.lakehouse.files("bronze.events")
    content = Path(victim).read_bytes()
    Path(victim).unlink()

    told = remint(project, "repair", "bronze.events", "--apply", "--reason", "a sector was lost")

    assert told.exit_code == 0, told.output
    assert Path(victim).read_bytes() == content
    assert bad(project) == []


def test_a_catalog_that_is_gone_is_said_so_and_is_not_made_by_who_looks(original: Project, tmp_path: Path) -> None:
    project = original.clone(tmp_path / "p")
    catalog = project.root / "lake" / "catalog.db"
    catalog.rename(tmp_path / "away.db")

    told = [remint(project, *command) for command in (["status"], ["plan"], ["doctor"], ["repair"])]

    assert not catalog.exists()
    assert "the table is gone: the database of catalog remint is not there" in told[2].output
    assert "made anew: remint plan bronze" not in told[2].output
    (tmp_path / "away.db").rename(catalog)
    assert bad(project) == []
    assert not project.stale()
