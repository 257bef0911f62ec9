"""``remint init`` writes a project that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import ProjectError
from remint.loading.project import load_project
from remint.loading.scaffold import init_project
from remint.model.mapping import RollUp, Window


def test_the_project_loads_without_a_warning(tmp_path: Path) -> None:
    init_project(tmp_path, 'my "shop"')

    project = load_project(tmp_path)

    assert project.name == 'my "shop"'
    assert project.warnings == ()
    assert [d.name for d in project.graph] == [
        "bronze.orders",
        "bronze.orders_quarantine",
        "silver.orders",
        "gold.revenue_daily",
        "gold.revenue_monthly",
    ]


def test_the_project_shows_each_kind_of_mapping(tmp_path: Path) -> None:
    init_project(tmp_path)
    graph = load_project(tmp_path).graph

    assert graph["gold.revenue_daily"].inputs[0].mapping == Window(before=3)
    assert graph["gold.revenue_monthly"].inputs[0].mapping == RollUp()
    assert not any(d.transform and d.transform.single_thread for d in graph)


def test_every_file_that_is_named_was_written(tmp_path: Path) -> None:
    written = init_project(tmp_path / "shop")

    assert all(path.is_file() for path in written)
    assert {p for p in (tmp_path / "shop").rglob("*") if p.is_file()} == set(written)


@pytest.mark.parametrize("there", ["remint.toml", "datasets.py"])
def test_nothing_is_overwritten_and_then_nothing_is_written(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")

    with pytest.raises(ProjectError, match="exists already; nothing was written"):
        init_project(tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == [there]
