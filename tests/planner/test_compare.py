"""What planning again changes against a saved plan."""

from __future__ import annotations

from dataclasses import replace

from remint.planner.compare import compare_plans
from tests.planner.test_build import DAYS, lake


def test_planning_again_on_the_same_world_changes_nothing() -> None:
    made = lake()
    made.arrive([DAYS[3]])

    assert compare_plans(made.plan(), made.plan(), ()).is_empty


def test_units_that_only_the_new_plan_has_are_added() -> None:
    made = lake()
    made.arrive([DAYS[3]])
    saved = made.plan("silver.events")

    made.arrive([DAYS[9]])
    found = compare_plans(saved, made.plan("silver.events"), ())

    assert [(c.dataset, list(c.keys), c.after.words if c.after else "") for c in found.added] == [
        ("silver.events", [DAYS[9]], "will rebuild")
    ]
    assert found.removed == ()


def test_units_that_need_nothing_any_more_are_removed() -> None:
    made = lake()
    made.arrive([DAYS[3]])
    saved = made.plan()

    made.apply(made.plan())
    found = compare_plans(saved, made.plan(), ())

    assert {c.dataset for c in found.removed} == {"silver.events", "gold.daily", "gold.trend", "gold.monthly"}
    assert (found.added, found.changed) == ((), ())


def test_another_reason_for_the_same_units_is_a_change() -> None:
    made = lake()
    made.arrive([DAYS[3]], rows=4)
    saved = made.plan("silver.events")

    made.arrive([DAYS[3]], rows=2)
    found = compare_plans(saved, made.plan("silver.events"), ())

    (change,) = found.changed
    assert change.before is not None
    assert change.after is not None
    assert [r.detail for r in (*change.before.reasons, *change.after.reasons)] == [
        "+4 rows arrived in bronze.raw",
        "+6 rows arrived in bronze.raw",
    ]


def test_what_may_run_and_then_will_is_a_change() -> None:
    made = lake()
    made.arrive([DAYS[3]])
    saved = made.plan()

    made.relogic("gold.daily", "v2")
    found = compare_plans(saved, made.plan(), ())

    words = {
        (c.before.words, c.after.words) for c in found.changed if c.dataset == "gold.daily" and c.before and c.after
    }
    assert words == {("may rebuild", "will rebuild")}


def test_what_moved_and_what_is_asked_otherwise_make_a_difference_alone() -> None:
    plan = lake().plan()
    other = replace(plan, request=replace(plan.request, reason="another"))

    assert compare_plans(plan, plan, ("gold.daily 2026-10-01: republished",)).moved
    assert compare_plans(plan, other, ()).asked == ("reason",)
    assert not compare_plans(plan, other, ()).is_empty
