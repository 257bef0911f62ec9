"""The decision matrix: derived from a plan alone."""

from __future__ import annotations

from remint.model.dataset import Layer
from remint.model.matrix import Cell, Decision, matrix
from tests.planner.test_build import DAYS, lake

NOTHING = Cell(decision=Decision.NO, will=0, may=0)


def test_a_change_of_logic_reaches_its_layer_for_sure_and_those_below_perhaps() -> None:
    made = lake()
    made.relogic("silver.events", "v2")

    rows = matrix(made.plan())

    assert [row.change for row in rows] == ["silver.events LOGIC: the logic changed"]
    assert rows[0].layers == {
        Layer.BRONZE: NOTHING,
        Layer.SILVER: Cell(decision=Decision.YES, will=30, may=0),
        Layer.GOLD: Cell(decision=Decision.MAYBE, will=0, may=62),
    }
    assert list(rows[0].datasets) == ["silver.events", "gold.daily", "gold.monthly", "gold.trend"]


def test_two_changes_stand_in_two_rows_with_what_each_reaches() -> None:
    made = lake()
    made.relogic("gold.monthly", "v2")
    made.arrive([DAYS[3]], rows=5)

    rows = {row.change: row for row in matrix(made.plan())}

    assert set(rows) == {
        "silver.events DATA: +5 rows arrived in bronze.raw",
        "gold.monthly LOGIC: the logic changed",
    }
    assert rows["gold.monthly LOGIC: the logic changed"].layers[Layer.SILVER] == NOTHING
    assert rows["gold.monthly LOGIC: the logic changed"].datasets["gold.monthly"].will == 2
    assert rows["silver.events DATA: +5 rows arrived in bronze.raw"].datasets["gold.trend"].may == 8


def test_a_plan_without_work_has_no_rows() -> None:
    assert matrix(lake().plan()) == ()
