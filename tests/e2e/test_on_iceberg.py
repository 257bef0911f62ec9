"""What the suites of runs, rollbacks and histories hold on Delta holds on Iceberg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remint.execution import observe
from remint.formats import iceberg_sql
from tests.e2e import test_clean_up, test_crash, test_histories, test_interleavings, test_tampering
from tests.e2e.crashes import Killed, When
from tests.e2e.projects import Project, built
from tests.e2e.test_foreign_on_iceberg import bad
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_iceberg")]


@proof
@pytest.mark.parametrize("seed", range(size(1, 100)))
def test_a_full_run_after_any_history_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    test_histories.play(tmp_path, seed)
    report("histories", cases=1, part=str(seed))


EVERY = size(24, 1)
SCENES = [test_crash.late_rows, test_crash.undoing, *test_crash.SCENES]


@proof
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", list(dict.fromkeys(SCENES))[: size(1, len(SCENES))])
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, test_crash.Act]], when: When
) -> None:
    base, act = scene(tmp_path / "base")
    cases = test_crash.killed_everywhere(base, act, when, lambda steps: steps[::EVERY])
    report("steps", cases=cases, part=f"{scene.__name__}-{when}")


@proof
def test_whatever_two_actors_do_in_whatever_order_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "PATIENCE_S", 0.0)
    world = test_interleavings.made(tmp_path / "base")
    cases, found = test_interleavings.interleaved(tmp_path, world, size(27, 1))
    assert not found, "\n".join(found)
    report("interleavings", cases=cases, wrong=len(found), pairs=len(test_interleavings.PAIRS) * 3)


@proof
def test_every_change_behind_remints_back_is_found_and_none_gets_into_a_result(tmp_path: Path) -> None:
    original = test_tampering.late(tmp_path / "original")
    # In small: the metadata that the catalog names, a manifest, a manifest that says something else, the catalog.
    test_tampering.tampered(original, tmp_path, size([7, 9, 10, 12], range(450)))


def metadata_files(project: Project) -> set[str]:
    """Return all that lies in the metadata folders of the tables."""
    return {path for path in project.files() if "/metadata/" in path}


def test_metadata_of_commits_that_were_not_made_goes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = built(tmp_path / "p", days=3)
    project.set_factor(2)
    needed = metadata_files(project)
    plan = project.plan()
    with monkeypatch.context() as patch:
        patch.setattr(iceberg_sql, "sync_local", dead)
        with pytest.raises(Killed):
            project.apply(plan)
    left = metadata_files(project) - needed
    assert len(left) > 5

    assert test_clean_up.sweep(project) == []  # the run can be resumed
    (run,) = project.outstanding()
    project.open().resume(run.run_id)
    after = metadata_files(project)
    assert left < after
    swept = {found.place.removeprefix(f"{project.top}/") for found in test_clean_up.sweep(project)}

    assert swept == left
    assert metadata_files(project) == after - left
    assert project.tables() == project.expected()
    assert test_clean_up.sweep(project) == []
    assert bad(project) == []


def dead(*_: object) -> None:
    """Die, as a process does."""
    raise Killed
