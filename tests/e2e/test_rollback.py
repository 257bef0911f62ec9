"""A rollback puts back exactly what was there, or is refused before it changes anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remint.errors import RollbackRefused
from remint.model.plan import StaleCause
from remint.model.run import Run
from tests.e2e import strangers
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import MADE, Project, built, day_at, event


def rebuilt(root: Path) -> tuple[Project, Run]:
    """Return a built project and the run that then changed every amount of gold."""
    project = built(root, days=10)
    project.set_factor(2)
    return project, project.run()


def test_a_rollback_restores_digests_and_files_exactly(tmp_path: Path) -> None:
    project = built(tmp_path, days=10)
    before = project.digests(), project.live()
    project.set_factor(2)
    run = project.run()
    assert (project.digests(), project.live()) != before

    undo = project.rollback(run.run_id)

    assert (project.digests(), project.live()) == before
    assert (undo.kind, undo.state, undo.of_run) == ("rollback", "succeeded", run.run_id)
    assert project.open().store.run(run.run_id).state == "rolled_back"


def test_after_a_rollback_the_old_logic_is_fresh_and_the_new_one_is_stale(tmp_path: Path) -> None:
    project, run = rebuilt(tmp_path)

    project.rollback(run.run_id)

    assert project.stale()["gold.daily"] == (10, 0, 0)
    project.set_factor(1)
    assert not project.stale()
    assert project.tables() == project.expected()


def test_a_rollback_keeps_what_later_runs_wrote_to_other_partitions(tmp_path: Path) -> None:
    project = built(tmp_path, days=20)
    project.set_factor(2)
    first = project.run("gold.daily", span=day_at(3))
    second = project.run("gold.daily", span=day_at(15))
    later = {f for f in project.live()["gold.daily"] if day_at(15) in f}

    project.rollback(first.run_id)

    assert {f for f in project.live()["gold.daily"] if day_at(15) in f} == later
    assert project.stale()["gold.daily"] == (19, 0, 0)
    assert project.open().store.run(second.run_id).state == "succeeded"


def test_a_unit_that_a_later_run_wrote_again_is_not_rolled_back_and_the_run_is_named(tmp_path: Path) -> None:
    project, first = rebuilt(tmp_path)
    project.set_factor(3)
    second = project.run("gold.daily", span=day_at(2))
    before = project.fingerprint()

    with pytest.raises(RollbackRefused, match=second.run_id) as raised:
        project.rollback(first.run_id)

    assert raised.value.hint is not None
    assert second.run_id in raised.value.hint
    assert project.fingerprint() == before
    assert not project.outstanding()


def remove(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [remove, shorten, flip_a_bit])
def test_a_rollback_is_refused_when_a_file_that_it_needs_is_not_as_published(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    project = built(tmp_path, days=5)
    needed = strangers.files_of(project, "gold.daily", day_at(2))[0]
    project.set_factor(2)
    run = project.run()
    harm(needed)
    before = project.fingerprint()

    with pytest.raises(RollbackRefused, match="not on disk as it was published"):
        project.rollback(run.run_id)

    assert project.fingerprint() == before
    assert not project.outstanding()


def test_the_rollback_of_a_first_build_makes_its_units_missing_and_the_next_run_rebuilds_them(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    first = project.open().store.runs(1)[0]
    before = project.digests()

    project.rollback(first.run_id)

    assert all(not project.rows(t) for t in MADE)
    plan = project.plan()
    assert {r.cause for a in plan.actions if a.dataset == "silver.events" for r in a.reasons} == {StaleCause.MISSING}
    project.apply(plan)
    assert project.digests() == before
    assert project.tables() == project.expected()


def test_the_rollback_of_a_rollback_brings_back_what_was_undone(tmp_path: Path) -> None:
    project, run = rebuilt(tmp_path)
    after = project.digests(), project.live()
    undo = project.rollback(run.run_id)

    project.rollback(undo.run_id)

    assert (project.digests(), project.live()) == after
    assert not project.stale()


def test_the_rollback_of_the_rollback_of_a_first_build_brings_the_units_back(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    after = project.digests(), project.live()
    undo = project.rollback(project.open().store.runs(1)[0].run_id)

    project.rollback(undo.run_id)

    assert (project.digests(), project.live()) == after
    assert not project.stale()


def test_units_that_came_out_the_same_are_rolled_back_without_touching_their_files(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    before = project.versions(), project.live(), project.digests()
    project.edit("sql/events.sql", "amount,", "amount + 0 AS amount,")
    run = project.run()

    project.rollback(run.run_id)

    assert (project.versions(), project.live(), project.digests()) == before
    assert project.stale()["silver.events"] == (5, 0, 0)


def test_an_ingest_is_not_rolled_back(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    ingest = project.open().store.runs(2)[1]
    before = project.fingerprint()

    with pytest.raises(RollbackRefused, match="append-only"):
        project.rollback(ingest.run_id)

    assert project.fingerprint() == before


def test_a_run_is_rolled_back_once(tmp_path: Path) -> None:
    project, run = rebuilt(tmp_path)
    project.rollback(run.run_id)

    with pytest.raises(RollbackRefused, match="rolled_back"):
        project.rollback(run.run_id)

    assert not project.outstanding()


def test_a_rollback_over_a_foreign_write_is_refused_and_blocks_nothing(tmp_path: Path) -> None:
    project, run = rebuilt(tmp_path)
    strangers.append(project, "gold.daily", like=day_at(2))

    with pytest.raises(RollbackRefused, match=day_at(2)):
        project.rollback(run.run_id)

    assert not project.outstanding()
    project.run()
    assert project.tables() == project.expected()


def test_a_rollback_while_another_run_is_half_published_is_refused(tmp_path: Path) -> None:
    project, run = rebuilt(tmp_path / "p")
    project.set_factor(3)
    plan = project.plan()
    fuse = Fuse(10_000, When.AFTER)
    armed(project.clone(tmp_path / "whole").open(), fuse).apply(plan)
    with pytest.raises(Killed):
        armed(project.open(), Fuse(fuse.calls.index("publish"), When.AFTER)).apply(plan)
    half = project.outstanding()[0]

    with pytest.raises(RollbackRefused, match=half.run_id):
        project.rollback(run.run_id)

    assert [r.run_id for r in project.outstanding()] == [half.run_id]
    project.open().resume(half.run_id)
    assert project.tables() == project.expected()


def test_later_runs_that_read_what_is_undone_are_named_and_become_stale(tmp_path: Path) -> None:
    project = built(tmp_path, days=10)
    project.set_factor(2)
    daily = project.run("gold.daily")
    others = project.run()

    _, undo = project.open().rollback(daily.run_id, project.ask())

    assert {move.made_by for move in undo.stale} == {others.run_id}
    assert project.stale()["gold.trend"][0] == 10


def test_a_rollback_after_new_arrivals_leaves_their_partitions_stale(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    project.land("b", [event(900, 2, 5)])
    project.ingest()
    run = project.run()

    project.rollback(run.run_id)

    assert project.stale()["silver.events"] == (1, 0, 0)
    project.run()
    assert project.tables() == project.expected()
