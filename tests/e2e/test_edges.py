"""What runs next to other runs, edits and files must not touch, forget or get stuck on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remint.errors import RollbackRefused
from remint.model.request import Ask
from remint.model.run import RunState
from tests.e2e.projects import DATASETS, built, day_at, event


def test_a_unit_outside_the_range_stays_as_it_is_when_what_it_reads_comes_out_the_same(tmp_path: Path) -> None:
    project = built(tmp_path, days=12)
    project.edit("datasets.py", "WINDOW = 7", "WINDOW = 6")
    project.edit("datasets.py", "count(*) AS events", "count(tenant) AS events")
    before = project.digests()["gold.trend"]

    project.run(span=day_at(2))

    after = project.digests()["gold.trend"]
    assert [k for k in after if after[k] != before[k]] in ([], [day_at(2)])
    assert project.stale()["gold.trend"][0] == 11


def test_a_unit_outside_the_range_that_follows_says_that_it_is_stale_itself_too(tmp_path: Path) -> None:
    project = built(tmp_path, days=12)
    project.set_factor(2)
    project.edit("datasets.py", "WINDOW = 7", "WINDOW = 6")

    plan = project.plan(span=day_at(2))

    (follows,) = [a for a in plan.actions if a.dataset == "gold.trend" and not a.certain]
    assert {r.cause for r in follows.reasons} == {"upstream", "logic"}


def test_an_earlier_run_can_be_rolled_back_once_the_later_one_was(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    first = project.digests()
    project.set_factor(2)
    earlier = project.run()
    project.set_factor(3)
    later = project.run()

    with pytest.raises(RollbackRefused, match=later.run_id):
        project.rollback(earlier.run_id)
    project.rollback(later.run_id)
    project.rollback(earlier.run_id)

    assert project.digests() == first
    assert project.open().store.run(earlier.run_id).state is RunState.ROLLED_BACK


def test_a_run_is_rolled_back_though_a_dataset_of_it_is_declared_no_more(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    first = project.live()
    project.set_factor(2)
    run = project.run()
    project.edit("datasets.py", "".join(DATASETS.splitlines(keepends=True)[-2:]).replace("\nVERSION", "VERSION"), "")

    project.rollback(run.run_id)

    assert project.live() == first


def test_another_key_is_another_logic(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.edit(
        "contracts/silver.events.yaml",
        "{name: updated_at, physicalType: TIMESTAMPTZ, required: true}",
        "{name: updated_at, physicalType: TIMESTAMPTZ, required: true, primaryKey: true, primaryKeyPosition: 2}",
    )

    (action,) = [a for a in project.plan().actions if a.certain]

    assert action.dataset == "silver.events"
    assert action.reasons[0].detail == "v1 -> v2 changes which row of a key wins"


def test_a_source_file_that_was_only_touched_or_copied_adds_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, days=1)
    path = project.land("b", [event(99, 0), "not json"])
    project.ingest()
    os.utime(path, (1, 1))
    (path.parent / "c.jsonl").write_bytes(path.read_bytes())
    before = project.live()

    run = project.ingest()

    assert project.live() == before
    assert '"rows_read": 0' in run.summary
    assert project.open().ingest((), Ask(reason="again")) is None
