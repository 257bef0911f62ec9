"""Everything that is not as published is found; nothing is computed from it; what can be mended is mended."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from remint.errors import BronzeChanged, FilesDamaged, LogDamaged, ReleaseIncomplete, RemintError, RepairRefused
from remint.execution.symptom import Health, Kind, Symptom
from tests.e2e import strangers, tampering
from tests.e2e.projects import MADE, Project, built, day_at, event, remint
from tests.e2e.tampering import data_files, linked, tamper
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose tables have several commits and files, with late rows waiting to be processed."""
    return late(tmp_path_factory.mktemp("tampering") / "original")


def late(root: Path) -> Project:
    """Return a project with late rows, some of them processed."""
    project = built(root, days=6)
    project.land("b", [event(900, 2), event(901, 3, "many")])
    project.ingest()
    project.run()
    project.land("c", [event(902, 2), event(903, 4)])
    project.ingest()
    return project


def bad(project: Project, *, read_data: bool) -> list[Symptom]:
    return [s for s in project.open().upkeep.doctor((), read_data=read_data) if s.health is Health.BAD]


@proof
def test_every_change_is_found_and_none_gets_into_a_result(original: Project, tmp_path: Path) -> None:
    tampered(original, tmp_path, range(size(14, 500)))


def tampered(original: Project, tmp_path: Path, numbers: Sequence[int]) -> None:
    """Change copies of a project, each as its number says, and judge what comes of it."""
    cases, kinds = len(numbers), tampering.kinds(original)
    expected = original.expected()
    missed: list[str] = []
    found: Counter[str] = Counter()
    refused = 0
    for number in numbers:
        draw = random.Random(number)
        project = linked(original, tmp_path / f"p{number}")
        change = tamper(project, kinds[number % len(kinds)], draw)
        symptoms = bad(project, read_data=change.needs_reading)
        found.update(s.kind for s in symptoms if s.subject == change.table)
        if not any(s.subject == change.table for s in symptoms):
            missed.append(f"{number}: {change} was not found")
        try:
            project.run()
        except RemintError as error:
            refused += 1
            if error.code == "RM900" or error.exit_code != 6 or not error.hint:
                missed.append(f"{number}: {change}: {error.code} {error}")
        except Exception as error:  # noqa: BLE001 - a traceback is what must not happen
            missed.append(f"{number}: {change}: {type(error).__name__} {error}")
        else:
            missed += [f"{number}: {change}: {t} is wrong" for t in wrong_results(project, change, expected)]
        shutil.rmtree(project.root)
    assert len(found) >= min(10, cases // 6)
    sys.stderr.write("".join(f"{line}\n" for line in missed))
    report("tampering", cases=cases, wrong=len(missed), part="found", refused=refused, kinds=len(found))


def wrong_results(project: Project, change: tampering.Change, expected: dict[str, object]) -> list[str]:
    """Return the tables that a run which went through left wrong, but for the one that was changed itself."""
    held = {}
    for table in MADE:
        if table in expected and table != change.table:
            held[table] = project.rows(table)
    return [table for table, rows in held.items() if rows != expected[table]]


def copied(project: Project, root: Path) -> Project:
    """Copy the project as cp -r does: every time of change is another."""
    shutil.copytree(project.root, root, copy_function=shutil.copyfile)
    copy = replace(project, root=root, lines=list(project.lines))
    copy.lakehouse.moved(project.top)
    return copy


def touched(project: Project, root: Path) -> Project:
    """Touch every file of the lake."""
    copy = linked(project, root)
    for path in (root / "lake").rglob("*"):
        os.utime(path)
    return copy


def compacted(project: Project, root: Path) -> Project:
    """Compact Bronze by the table's own means, past the flag that it is only appended to."""
    copy = linked(project, root)
    copy.lakehouse.compact("bronze.events")
    return copy


def vacuumed(project: Project, root: Path) -> Project:
    """Delete every file that no live version names."""
    copy = linked(project, root)
    for table in MADE:
        copy.lakehouse.vacuum(table)
    return copy


@pytest.mark.parametrize("act", [copied, touched, linked, compacted, vacuumed])
def test_what_changes_no_row_is_no_alarm(original: Project, tmp_path: Path, act: object) -> None:
    project = act(original, tmp_path / "p")  # type: ignore[operator]

    assert bad(project, read_data=True) == []
    project.run()
    assert project.tables() == project.expected()
    assert bad(project, read_data=True) == []
    project.land("d", [event(910, 1)])
    project.ingest()
    project.run()
    assert project.tables() == project.expected()


@pytest.mark.parametrize("kind", ["delete", "flip", "truncate"])
@pytest.mark.parametrize("table", ["bronze.events", "silver.events", "gold.daily", "gold.monthly"])
def test_a_damaged_file_is_mended_to_the_byte_or_made_again(
    original: Project, tmp_path: Path, table: str, kind: str
) -> None:
    project = linked(original, tmp_path / "p")
    victim = data_files(project, table)[0]
    held = victim.read_bytes()
    tampering.FILES[kind](victim, random.Random(1))
    damaged = victim.read_bytes() if victim.exists() else None
    upkeep = project.open().upkeep

    found = upkeep.find_repair(())

    assert found.hopeless == ()
    if table == "bronze.events":
        run = upkeep.repair(found, project.ask())
        kept = [p.read_bytes() for p in (project.root / ".remint" / "repairs").rglob("*.parquet")]
        assert damaged is None or damaged in kept
        assert victim.read_bytes() == held
        assert [r.entry.status for r in project.open().store.audit_of(run.run_id)] == ["started", "success"]
    else:
        assert found.acts == ()
        (again,) = found.rebuilds
        if kind != "flip":  # a flip that leaves the size is only seen by who hashes
            with pytest.raises(ReleaseIncomplete):
                project.open().reader.sql(f"SELECT * FROM {table}")
        with pytest.raises(RepairRefused, match="nothing that is wrong can be mended in place"):
            upkeep.repair(found, project.ask())
        name, *words = again.commands[0].replace('"..."', "damaged").split()
        assert name == "remint"
        done = remint(project, *words)
        assert done.exit_code == 0, done.output
    assert bad(project, read_data=True) == []
    project.run()
    assert project.tables() == project.expected()
    assert bad(project, read_data=True) == []


MENDED_LOGS = ["zero entry", "torn entry", "last entry dropped", "entry duplicated", "entry edited", "checkpoint"]


@pytest.mark.parametrize("kind", MENDED_LOGS)
@proof
@pytest.mark.parametrize("seed", range(size(1, 10)))
def test_a_damaged_log_is_written_anew_from_the_journal(
    original: Project, tmp_path: Path, kind: str, seed: int
) -> None:
    project = linked(original, tmp_path / "p")
    draw = random.Random(seed)
    before = project.live(), project.tables()
    while tampering.entries(project, (change := tamper(project, kind, draw)).table)[0].stat().st_size == 0:
        shutil.rmtree(project.root)  # what created the table is in no journal
        project = linked(original, tmp_path / "p")
    upkeep = project.open().upkeep

    found = upkeep.find_repair(())
    upkeep.repair(found, project.ask())

    assert found.hopeless == (), change
    assert (project.live(), project.tables()) == before
    assert bad(project, read_data=True) == []
    project.run()
    assert project.tables() == project.expected()


def test_bronze_whose_source_is_gone_is_said_to_be_lost_row_by_row(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    for victim in data_files(project, "bronze.events"):
        victim.unlink()
    (project.root / "landing" / "b.jsonl").unlink()
    with (project.root / "landing" / "c.jsonl").open("a") as file:
        file.write("\n")

    found = project.open().upkeep.find_repair(())

    assert [a.kind for a in found.acts] == ["reingest"]
    hints = sorted(s.hint for s in found.hopeless)
    assert "b.jsonl is not there any more" in hints[0]
    assert f"2 rows of {day_at(2)}, {day_at(3)} came from landing/b.jsonl" in hints[0]
    assert "c.jsonl is another file now" in hints[1]


def test_a_flipped_bit_in_bronze_stops_the_run_and_says_what_to_do(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    for victim in data_files(project, "bronze.events"):
        tampering.flip(victim, random.Random(3))
    before = project.tables

    with pytest.raises(FilesDamaged, match=r"bronze\.events: .* not as published\n.* SHA-256 .* SHA-256 ") as raised:
        project.run()

    assert raised.value.exit_code == 6
    assert "remint repair bronze.events" in str(raised.value.hint)
    assert before is not None


def test_a_file_that_is_gone_is_found_by_the_plan(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    for victim in data_files(project, "bronze.events"):
        victim.unlink()

    with pytest.raises(FilesDamaged, match="is missing"):
        project.plan()


def test_an_empty_entry_of_bronze_is_found_by_the_plan(original: Project, tmp_path: Path) -> None:
    """The table opens, and has the version that it had: only its rows are gone."""
    project = linked(original, tmp_path / "p")
    tampering.replaced(tampering.entries(project, "bronze.events")[-1], b"")

    with pytest.raises(BronzeChanged):
        project.plan()


def test_a_torn_entry_is_named_by_every_command(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    tampering.tear(project, "gold.daily", random.Random(1))

    with pytest.raises(LogDamaged, match=r"gold\.daily: the log .* 0{19}\d\.json is torn"):
        project.plan()


def test_a_rebuild_replaces_a_damaged_file_though_the_content_is_the_same(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    tampering.flip(data_files(project, "gold.daily")[0], random.Random(1))

    project.run("gold.daily", span=day_at(0), rebuild=True)

    assert bad(project, read_data=True) == []


def test_a_damaged_file_teaches_nothing_about_its_columns(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    tampering.flip(data_files(project, "silver.events")[0], random.Random(1))
    project.edit("datasets.py", "SELECT event_date, tenant, count(*)", "SELECT event_date, tenant, count(event_id)")

    with pytest.raises(FilesDamaged, match=r"silver\.events"):
        project.run("gold.daily")

    store = project.open().store
    contents = [h.digest for h in store.heads(["silver.events"])["silver.events"].values()]
    assert store.projections("silver.events", ("amount", "event_date", "event_id", "tenant"), contents) == {}


@pytest.mark.parametrize("table", ["heads", "arrived", "standings", "projections"])
def test_derived_state_that_is_wrong_is_found_and_made_again(original: Project, tmp_path: Path, table: str) -> None:
    import sqlite3

    project = linked(original, tmp_path / "p")
    before = project.stale()
    wrong = {
        "heads": "UPDATE heads SET digest = 'x' WHERE dataset = 'gold.daily'",
        "arrived": "UPDATE arrived SET rows = rows + 1",
        "standings": "UPDATE standings SET folded = replace(folded, '2026-09-22', '2026-09-23')",
        "projections": "UPDATE projections SET content = 'x' || content",
    }
    with sqlite3.connect(project.root / ".remint" / "state.db") as connection:
        assert connection.execute(wrong[table]).rowcount
    upkeep = project.open().upkeep

    found = bad(project, read_data=False)
    upkeep.repair(upkeep.find_repair(()), project.ask())

    names = {Kind.HEADS_WRONG, Kind.ARRIVED_WRONG, Kind.STANDINGS_WRONG, Kind.PROJECTION_UNKNOWN}
    assert {s.kind for s in found} & names
    assert bad(project, read_data=True) == []
    assert project.stale() == before


def test_a_subset_goes_through_all_files_one_after_the_other(original: Project, tmp_path: Path) -> None:
    from remint.model.subset import Subset

    project = linked(original, tmp_path / "p")
    tampering.flip(data_files(project, "gold.daily")[-1], random.Random(1))
    rounds = 0
    while not any(s.kind is Kind.FILE_FLIPPED for s in project.open().upkeep.doctor((), subset=Subset.parse("20%"))):
        rounds += 1

    assert rounds < 6
    parts = [project.open().upkeep.doctor((), subset=Subset.parse(f"{n}/3")) for n in (1, 2, 3)]
    assert sum(s.kind is Kind.FILE_FLIPPED for found in parts for s in found) == 1


def test_foreign_rows_are_left_to_a_person(original: Project, tmp_path: Path) -> None:
    project = linked(original, tmp_path / "p")
    strangers.append(project, "gold.daily", like=day_at(1))

    found = project.open().upkeep.find_repair(())

    assert found.acts == ()
    assert {s.kind for s in found.hopeless} == {Kind.FOREIGN_FILE}
    assert all("remint adopt" in s.hint for s in found.hopeless)
