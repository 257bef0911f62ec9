"""What a plan says, and what applying it does."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.errors import InvalidRange, PlanError
from remint.model.mapping import RollUp, Same, SelfBefore, Window
from remint.model.partition import DateRange, Lookback
from remint.model.plan import ActionKind, StaleCause, plan_digest
from tests.planner.worlds import BY_ARRIVAL, NOW, Lake, bronze, derived

DAYS = [(date(2026, 9, 20) + timedelta(days=n)).isoformat() for n in range(30)]


def lake() -> Lake:
    made = Lake(
        bronze(),
        derived("silver.events", ("bronze.raw", BY_ARRIVAL)),
        derived("gold.daily", ("silver.events", Same())),
        derived("gold.trend", ("gold.daily", Window(before=7))),
        derived("gold.monthly", ("gold.daily", RollUp())),
    )
    made.arrive(DAYS)
    made.apply(made.plan())
    return made


def units(found: dict[str, list[str]]) -> dict[str, int]:
    return {name: len(keys) for name, keys in found.items()}


def test_a_first_plan_builds_every_unit_that_its_inputs_call_for() -> None:
    made = Lake(bronze(), derived("silver.events", ("bronze.raw", BY_ARRIVAL)))
    made.arrive(DAYS)

    plan = made.plan()

    assert [(a.dataset, a.kind, a.units, a.certain) for a in plan.actions] == [
        ("silver.events", ActionKind.BUILD, 30, True)
    ]
    assert plan.actions[0].reasons[0].cause is StaleCause.MISSING


def test_after_an_apply_nothing_is_left_to_do() -> None:
    plan = lake().plan()

    assert plan.is_empty
    assert plan.fresh_units == 30 + 30 + 30 + 2


def test_one_late_row_plans_exactly_its_cone() -> None:
    made = lake()
    made.arrive([DAYS[10]], rows=412)

    plan = made.plan()

    sure = {a.dataset: a.keys.as_ranges() for a in plan.actions if a.certain}
    maybe = {a.dataset: a.keys.as_ranges() for a in plan.actions if not a.certain}
    assert sure == {"silver.events": ["2026-09-30..2026-09-30"]}
    assert maybe == {
        "gold.daily": ["2026-09-30..2026-09-30"],
        "gold.trend": ["2026-09-30..2026-10-07"],
        "gold.monthly": ["2026-09..2026-09"],
    }
    assert plan.actions[0].reasons[0].detail == "+412 rows arrived in bronze.raw"
    assert {a.reasons[0].roots for a in plan.actions if not a.certain} == {
        ("silver.events DATA: +412 rows arrived in bronze.raw",)
    }


def test_an_output_identical_logic_edit_recomputes_one_dataset_and_nothing_below_it() -> None:
    made = lake()
    made.relogic("silver.events", "v2")
    for key, head in made.heads["silver.events"].items():
        made.outputs["silver.events", key] = int(head.digest.rsplit(":", 1)[1][:16], 16)

    assert units(made.apply(made.plan())) == {"silver.events": 30}
    assert made.plan().is_empty


def test_a_logic_change_reaches_everything_below_it() -> None:
    made = lake()
    made.relogic("gold.daily", "v2")

    assert units(made.apply(made.plan())) == {"gold.daily": 30, "gold.trend": 30, "gold.monthly": 2}
    assert made.plan().is_empty


def test_what_reads_its_own_day_before_follows_until_a_day_is_missing() -> None:
    made = Lake(
        bronze(),
        derived("silver.events", ("bronze.raw", BY_ARRIVAL)),
        derived("gold.balance", ("silver.events", Same()), ("gold.balance", SelfBefore(before=1))),
    )
    made.arrive(DAYS[:10] + DAYS[11:20])
    made.apply(made.plan())
    made.arrive([DAYS[4]])

    plan = made.plan()

    assert list(plan.action_units(certain=False)["gold.balance"]) == DAYS[4:10]
    assert units(made.apply(plan)) == {"silver.events": 1, "gold.balance": 6}


def test_a_range_limits_where_work_starts_and_what_depends_on_it_follows_outside() -> None:
    made = lake()
    made.relogic("gold.daily", "v2")

    plan = made.plan(range=DateRange.parse("2026-10-14..2026-10-16"))

    sure = {a.dataset: a.keys.as_ranges() for a in plan.actions if a.certain}
    maybe = {a.dataset: a.keys.as_ranges() for a in plan.actions if not a.certain}
    assert sure == {"gold.daily": ["2026-10-14..2026-10-16"]}
    assert maybe["gold.trend"] == ["2026-10-14..2026-10-19"]
    notes = {n.dataset: n.detail for n in plan.untouched}
    assert notes["gold.daily"].startswith("27 stale partitions outside the range left stale")


def test_what_is_not_selected_is_named_as_left_behind() -> None:
    made = lake()
    made.arrive([DAYS[3]])

    plan = made.plan("silver.events")

    assert {a.dataset for a in plan.actions} == {"silver.events"}
    notes = {n.dataset: n.detail for n in plan.untouched}
    assert notes["gold.daily"] == "not selected, and stale or about to be: 1 partition: 2026-09-23"
    assert notes["bronze.raw"] == "Bronze is never rewritten"


def test_a_plan_id_is_the_digest_of_its_content() -> None:
    made = lake()
    made.arrive([DAYS[3]])
    plan = made.plan()

    assert plan.plan_id == plan_digest(plan) == made.plan().plan_id
    assert plan.plan_id != made.plan(reason="another").plan_id


def test_requirements_name_what_is_read_and_what_is_replaced_and_nothing_else() -> None:
    made = lake()
    made.arrive([DAYS[3]])

    needed = {(r.dataset, tuple(r.keys), r.arrived) for r in made.plan("silver.events").requirements}

    assert needed == {("bronze.raw", (DAYS[3],), True), ("silver.events", (DAYS[3],), False)}


def test_rebuild_recomputes_fresh_units_and_says_that_it_was_asked() -> None:
    plan = lake().plan("gold.daily", range=DateRange.parse(DAYS[0]), rebuild=True)

    assert [(a.units, a.reasons[0].cause) for a in plan.actions] == [(1, StaleCause.REQUEST)]


def test_rebuilding_the_whole_history_needs_all() -> None:
    with pytest.raises(PlanError, match="whole history of what is selected: 92 partitions"):
        lake().plan(rebuild=True)
    plan = lake().plan(rebuild=True, allow_all=True)

    assert plan.actions[0].units == 30
    assert {r.detail for a in plan.actions for r in a.reasons} == {"recompute of the full table requested"}


def test_a_lookback_limits_where_work_starts() -> None:
    made = lake()
    made.relogic("gold.daily", "v2")

    plan = made.plan("gold.daily", range=Lookback.before(NOW, timedelta(days=13, hours=6)))

    assert [a.keys.describe() for a in plan.actions] == ["2026-10-18..2026-10-19"]


def test_a_range_that_names_nothing_is_refused() -> None:
    with pytest.raises(InvalidRange, match="names 0 partitions"):
        lake().plan(range=DateRange.parse("2025-01-01..2025-01-31"))


def test_a_future_range_is_refused() -> None:
    with pytest.raises(InvalidRange, match="ends after today, 2026-11-01"):
        lake().plan(range=DateRange.parse("2026-10-01..2026-12-01"))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("arrive"), st.sampled_from(DAYS)),
            st.tuples(st.just("logic"), st.sampled_from(["silver.events", "gold.daily", "gold.trend"])),
        ),
        max_size=4,
    )
)
def test_a_plan_is_sound_and_minimal_against_a_full_rebuild(edits: list[tuple[str, str]]) -> None:
    """Applied, it leaves every unit as a rebuild of everything would; and it ran only units that were not fresh."""
    made = lake()
    for number, (what, where) in enumerate(edits):
        if what == "arrive":
            made.arrive([where])
        else:
            made.relogic(where, f"v{number + 2}")
    before = {(n, k): h.fingerprint for n, by in made.heads.items() for k, h in by.items()}
    ran = made.apply(made.plan())
    incremental = {(n, k): h.digest for n, by in made.heads.items() for k, h in by.items()}

    made.forget()
    made.apply(made.plan())
    rebuilt = {(n, k): h.digest for n, by in made.heads.items() for k, h in by.items()}
    after = {(n, k): h.fingerprint for n, by in made.heads.items() for k, h in by.items()}

    assert incremental == rebuilt
    assert {(n, k) for n, keys in ran.items() for k in keys} == {u for u in after if before[u] != after[u]}
