"""A shadow run says what declared logic would publish, and leaves lake and store as they are."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import InvalidRange, PlanError, TransformFailed, VersionNotRaised
from remint.execution.shadow import Shadow
from remint.model.partition import DateRange
from remint.model.request import Trial
from tests.e2e.projects import Project, built, day_at

DERIVED = {"standings", "projections"}
"""Tables of the store that can be made again from the others."""


def lake(project: Project) -> dict[str, str]:
    """Return the SHA-256 of every file below the lake."""
    root = project.root / "lake"
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


def state(project: Project) -> dict[str, list[Any]]:
    """Return every row of every table of the store that is not derived."""
    with sqlite3.connect(project.root / ".remint" / "state.db") as con:
        names = [n for (n,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {n: con.execute(f"SELECT * FROM {n}").fetchall() for n in names if n not in DERIVED}


def unraised(project: Project, old: str, new: str) -> None:
    """Edit the logic without raising its version."""
    path = project.root / "datasets.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def shadow(project: Project, *names: str, first: int, last: int, **more: Any) -> Shadow:
    return project.open().shadow(
        Trial(selectors=names, span=DateRange.parse(f"{day_at(first)}..{day_at(last)}"), **more)
    )


def test_a_shadow_run_changes_neither_lake_nor_store(tmp_path: Path) -> None:
    project = built(tmp_path, days=8)
    unraised(project, "FACTOR = 1", "FACTOR = 3")
    before = lake(project), state(project)

    found = shadow(project, "gold.daily", first=4, last=5)

    assert (lake(project), state(project)) == before
    assert sum(len(d.differing) for d in found.diffs) > 0
    assert list((tmp_path / ".remint" / "tmp").glob("shadow-*")) == []


def test_a_shadow_run_shows_what_a_run_would_publish_inside_the_window(tmp_path: Path) -> None:
    project = built(tmp_path / "a", days=8)
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    found = {d.dataset: d for d in shadow(project, "gold.daily", first=4, last=5).diffs}

    assert list(found["gold.daily"].differing) == [day_at(4), day_at(5)]
    assert found["gold.daily"].comparison is not None
    assert found["gold.daily"].comparison.changed_columns == {"amount": 6}
    assert list(found["gold.trend"].differing) == [day_at(4), day_at(5)]
    real = project.clone(tmp_path / "b")
    unraised(real, "VERSION = 1", "VERSION = 2")
    real.run("gold.daily+", span=f"{day_at(4)}..{day_at(5)}")
    run = real.open().store.runs(1)[0]
    diff = {d.dataset: d for d in real.open().reader.diff(*real.open().cuts_of(run.run_id))}
    assert found["gold.daily"].comparison == diff["gold.daily"].comparison


def test_what_comes_out_the_same_is_not_followed_downstream(tmp_path: Path) -> None:
    project = built(tmp_path, days=6)
    unraised(project, "count(*) AS events", "count(event_id) AS events")

    found = shadow(project, "gold.daily", first=2, last=3)

    assert found.computed == {"gold.daily": 2}
    assert [len(d.differing) for d in found.diffs] == [0] * len(found.diffs)


def test_a_range_says_what_a_run_would_reach_outside_of_it(tmp_path: Path) -> None:
    project = built(tmp_path, days=8)
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    found = shadow(project, "gold.daily", first=4, last=4)

    assert list(found.beyond["gold.trend"]) == [day_at(n) for n in (5, 6, 7)]


def test_a_sample_takes_so_many_partitions_of_the_window(tmp_path: Path) -> None:
    project = built(tmp_path, days=9)
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    found = shadow(project, "gold.daily", first=0, last=8, sample=2)

    assert found.computed["gold.daily"] == 2
    assert list(found.diffs[0].differing) == [day_at(0), day_at(8)]


def test_silver_with_a_payload_is_tried_with_its_quarantine(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    unraised(project, '"amount": "BIGINT"}', '"amount": "BIGINT"}, rules={"small": "amount < 20"}')

    found = {d.dataset: d for d in shadow(project, "silver.events", first=0, last=4).diffs}

    comparison, aside = found["silver.events"].comparison, found["silver.events_quarantine"].comparison
    assert comparison is not None
    assert aside is not None
    assert comparison.removed == aside.added > 0


def test_a_check_that_would_stop_a_run_is_reported_and_exits_with_5(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    path = tmp_path / "contracts/gold.daily.yaml"
    path.write_text(
        path.read_text().replace(
            "name: amount, physicalType: BIGINT, required: true",
            "name: amount, physicalType: BIGINT, required: true, logicalTypeOptions: {maximum: 40}",
        )
    )
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    result = CliRunner().invoke(cli, ["-C", str(tmp_path), "shadow", "gold.daily", "--range", day_at(2)])

    assert result.exit_code == 5, result.output
    assert "would stop a run: gold.daily" in result.output
    assert "gold.trend: 1 partition different" in result.output


def test_a_window_that_is_not_small_must_be_meant(tmp_path: Path) -> None:
    project = built(tmp_path, days=100, each=1)

    with pytest.raises(PlanError, match=r"small window; this one computes 100 partitions of gold\.daily") as raised:
        shadow(project, "gold.daily", first=0, last=99)

    assert "--sample" in str(raised.value.hint)
    assert shadow(project, "gold.daily", first=0, last=99, allow_all=True).computed == {"gold.daily": 100}


def test_a_window_that_names_nothing_is_refused(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)

    with pytest.raises(InvalidRange, match="names 0 partitions"):
        shadow(project, "gold.daily", first=50, last=51)


def test_a_transform_that_does_not_run_leaves_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    unraised(project, "CAST(sum(amount) * {FACTOR} AS BIGINT)", "CAST(max(tenant) AS BIGINT)")

    with pytest.raises(TransformFailed) as raised:
        shadow(project, "gold.daily", first=1, last=2)

    assert "nothing changed" in raised.value.leaves
    assert list((tmp_path / ".remint" / "tmp").glob("shadow-*")) == []


def test_staged_files_stay_where_they_are_to_be_kept(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    result = CliRunner().invoke(
        cli, ["-C", str(tmp_path), "shadow", "gold.daily", "--range", day_at(2), "--keep", "--json"]
    )

    found = json.loads(result.output)
    assert found["format"] == "remint.shadow/1"
    assert found["computed"] == {"gold.daily": 1, "gold.monthly": 1, "gold.trend": 1}
    assert len(list(Path(found["folder"]).rglob("*.parquet"))) == 3


def test_a_plan_of_the_same_edit_names_the_readers_and_the_shadow_run(tmp_path: Path) -> None:
    project = built(tmp_path, days=4)
    unraised(project, "FACTOR = 1", "FACTOR = 3")

    with pytest.raises(VersionNotRaised, match="amount") as raised:
        project.plan()

    assert "remint shadow gold.daily" in str(raised.value.hint)
