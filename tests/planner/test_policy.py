"""Which plans are refused, which ask for a second person, and what they are told to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from remint.errors import (
    InvalidRange,
    PeakHours,
    PolicyRefused,
    TooManyBytes,
    TooManyRows,
    TooManyRuns,
    TooManySeconds,
    TooMuchMoney,
    UsageError,
    WholeHistory,
    WindowTooLong,
)
from remint.model.cost import Estimate
from remint.model.mapping import Same
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.request import BackfillType, Mode, Request
from remint.planner import peak_hours
from remint.planner.build import build_plan
from remint.planner.policy import Policy, Rule, judge, judge_start, unjudged, windows
from remint.planner.staleness import domains
from remint.planner.survey import World
from tests.planner.worlds import BY_ARRIVAL, NOW, Lake, bronze, derived

DAYS = [(date(2026, 9, 20) + timedelta(days=n)).isoformat() for n in range(30)]
SPAN = DateRange.parse("2026-09-20..2026-10-19")
NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)


def lake() -> Lake:
    made = Lake(
        bronze(), derived("silver.events", ("bronze.raw", BY_ARRIVAL)), derived("gold.daily", ("silver.events", Same()))
    )
    made.arrive(DAYS)
    made.apply(made.plan())
    return made


def planned(estimate: Estimate | None = None, **fields: Any) -> Plan:
    """Return the plan of a changed silver.events, with an estimate."""
    made = lake()
    made.relogic("silver.events", "v2")
    plan = made.plan("silver.events", **fields)
    return replace(plan, estimate=estimate or Estimate(seconds=100.0, money=2.5, bytes_scanned=10**9, runs=3))


BROKEN: list[tuple[Rule, dict[str, Any], type[PolicyRefused], str]] = [
    (Rule.MAX_SECONDS, {"max_seconds": 50.0}, TooManySeconds, "about 100.0 s; [policy] max_seconds allows 50.0"),
    (Rule.MAX_MONEY, {"max_money": 1.0}, TooMuchMoney, "about 2.5000 EUR; [policy] max_money allows 1.0"),
    (Rule.MAX_BYTES_SCANNED, {"max_bytes_scanned": 10**8}, TooManyBytes, "open 1,000,000,000 bytes"),
    (Rule.MAX_ROWS, {"max_rows": 150}, TooManyRows, "read 300 rows; [policy] max_rows allows 150"),
    (Rule.LARGEST_WINDOW_DAYS, {"largest_window_days": 7}, WindowTooLong, "covers 30 days"),
]


@pytest.mark.parametrize(("rule", "limit", "kind", "said"), BROKEN)
def test_a_broken_limit_refuses_or_asks(
    rule: Rule, limit: dict[str, Any], kind: type[PolicyRefused], said: str
) -> None:
    plan = planned(range=SPAN)

    with pytest.raises(kind) as caught:
        judge(plan, Policy(**limit))
    asked = judge(plan, Policy(**limit, ask=frozenset({rule})))

    assert said in caught.value.message
    assert caught.value.exit_code == 4
    assert len(asked) == 1
    assert said in asked[0]
    assert asked[0].endswith(f"({rule})")


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(max_seconds=100.0, max_money=2.5, max_bytes_scanned=10**9, max_rows=300, largest_window_days=30),
    ],
)
def test_a_plan_that_keeps_to_its_limits_passes(policy: Policy) -> None:
    assert judge(planned(range=SPAN), policy) == ()


def test_the_hint_is_the_command_that_keeps_to_the_limit() -> None:
    plan = planned(range=SPAN, reason="new rule")

    with pytest.raises(TooManySeconds) as slow:
        judge(plan, Policy(max_seconds=50.0))
    with pytest.raises(WindowTooLong) as long:
        judge(plan, Policy(largest_window_days=7))

    assert "--range 2026-09-20..2026-10-19 --split 15 --mode backfill --no-override-state" in str(slow.value.hint)
    assert "--split 7" in str(long.value.hint)


def test_a_limit_that_refuses_comes_before_one_that_asks() -> None:
    policy = Policy(max_seconds=1.0, max_rows=1, ask=frozenset({Rule.MAX_SECONDS}))

    with pytest.raises(TooManyRows):
        judge(planned(range=SPAN), policy)


def test_what_no_past_run_tells_is_not_judged_and_said_to_be() -> None:
    plan = planned(Estimate(unknown_actions=1), range=SPAN)
    policy = Policy(max_seconds=1.0, max_money=1.0)

    assert judge(plan, policy) == ()
    assert unjudged(plan, policy) == (
        "max_seconds is not judged for 1 action that no past run tells about",
        "max_money is not judged for 1 action that no past run tells about",
    )
    assert unjudged(planned(range=SPAN), policy) == ()


def test_the_known_part_alone_can_be_too_much() -> None:
    with pytest.raises(TooManySeconds):
        judge(planned(Estimate(seconds=80.0, unknown_actions=1), range=SPAN), Policy(max_seconds=50.0))


def test_a_backfill_without_a_range_covers_what_it_recomputes() -> None:
    plan = planned(mode=Mode.BACKFILL, override_state=False)

    with pytest.raises(WindowTooLong, match="covers 30 days"):
        judge(plan, Policy(largest_window_days=7))
    assert judge(planned(), Policy(largest_window_days=7)) == (), "incremental runs have no window"


def test_a_forced_backfill_always_asks() -> None:
    plan = planned(range=SPAN, type=BackfillType.FORCED, override_state=True)

    assert judge(plan, Policy()) == ("a forced backfill overrides pipeline state",)
    assert plan.needs_approval == judge(plan, Policy())


def test_an_empty_plan_breaks_nothing() -> None:
    plan = lake().plan(range=SPAN, type=BackfillType.FORCED, override_state=True)

    assert plan.is_empty
    assert judge(plan, Policy(largest_window_days=1)) == ()


def test_a_logical_backfill_needs_a_change_of_logic() -> None:
    made = lake()
    made.arrive([DAYS[3]])

    with pytest.raises(UsageError, match="stale only for: data"):
        made.plan("silver.events", mode=Mode.BACKFILL, type=BackfillType.LOGICAL, override_state=False)
    assert not planned(mode=Mode.BACKFILL, type=BackfillType.LOGICAL, override_state=False).is_empty


# -- the whole history -------------------------------------------------------------------------------------------------


def rebuild(policy: Policy) -> Plan:
    made = lake()
    request = Request(rebuild=True, mode=Mode.BACKFILL, override_state=False, requested_by="ana")
    return build_plan(request, World(project="p", graph=made.graph, observed=made.observed()), policy, NOW)


def test_the_whole_history_is_refused_meant_or_asked_for() -> None:
    with pytest.raises(WholeHistory, match="whole history of what is selected: 60 partitions"):
        rebuild(Policy())
    assert rebuild(Policy(allow_all=True)).needs_approval == ()
    asked = rebuild(Policy(allow_all=True, ask=frozenset({Rule.WHOLE_HISTORY}))).needs_approval
    assert [a.endswith("60 partitions (silver.events 30, gold.daily 30) (whole_history)") for a in asked] == [True]


# -- at the start ------------------------------------------------------------------------------------------------------

PEAK = (peak_hours.PeakHours.parse("08:00-20:00 Europe/Madrid"),)


def test_no_backfill_starts_in_peak_hours() -> None:
    plan = planned(range=SPAN)

    with pytest.raises(PeakHours, match="2026-10-20T12:00Z, in the peak hours 08:00-20:00 Europe/Madrid") as caught:
        judge_start(plan, Policy(peak_hours=PEAK), NOON, 0)

    assert caught.value.hint == f"after 2026-10-20T18:00Z: remint apply {plan.plan_id}"
    assert caught.value.retryable
    assert judge_start(plan, Policy(peak_hours=PEAK), NOON + timedelta(hours=6), 0) == ()
    assert len(judge_start(plan, Policy(peak_hours=PEAK, ask=frozenset({Rule.PEAK_HOURS})), NOON, 0)) == 1


def test_incremental_runs_start_at_any_time() -> None:
    assert judge_start(planned(), Policy(peak_hours=PEAK), NOON, 0) == ()


def test_a_plan_can_be_made_in_peak_hours() -> None:
    made = lake()
    made.relogic("silver.events", "v2")
    request = Request(range=SPAN, mode=Mode.BACKFILL, override_state=False, requested_by="ana")
    world = World(project="p", graph=made.graph, observed=made.observed())

    assert not build_plan(request, world, Policy(peak_hours=PEAK), NOON).is_empty


@pytest.mark.parametrize(("running", "refused"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_quota_counts_runs_in_progress(running: int, refused: bool) -> None:
    if refused:
        with pytest.raises(TooManyRuns, match=f"{running} runs in progress; .* allows 2"):
            judge_start(planned(), Policy(max_running=2), NOON, running)
        assert judge_start(planned(), Policy(max_running=2, ask=frozenset({Rule.MAX_RUNNING})), NOON, running)
    else:
        assert judge_start(planned(), Policy(max_running=2), NOON, running) == ()


# -- windows -----------------------------------------------------------------------------------------------------------


def cut(made: Lake, span: str, days: int, policy: Policy | None = None, **fields: Any) -> list[str]:
    request = Request(
        range=DateRange.parse(span), mode=Mode.BACKFILL, override_state=False, requested_by="ana", **fields
    )
    held = domains(made.graph, made.observed())
    found = windows(request, made.graph, held, days, policy=policy or Policy(), now=NOW)
    return [w.range.describe() for w in found if w.range]


def test_windows_without_a_partition_are_left_out() -> None:
    made = Lake(bronze(), derived("silver.events", ("bronze.raw", BY_ARRIVAL)))
    made.arrive(["2026-09-01", "2026-09-21"])

    assert cut(made, "2026-09-01..2026-09-30", 10) == ["[2026-09-01, 2026-09-11)", "[2026-09-21, 2026-10-01)"]


def test_a_range_is_refused_as_a_whole_before_its_first_window() -> None:
    with pytest.raises(InvalidRange, match="after today"):
        cut(lake(), "2026-10-01..2026-12-01", 10)
    with pytest.raises(InvalidRange, match="names 0 partitions"):
        cut(lake(), "2025-10-01..2025-12-01", 10)


def test_splitting_is_no_way_around_the_whole_history() -> None:
    with pytest.raises(WholeHistory):
        cut(lake(), "2026-09-20..2026-10-19", 10, rebuild=True)
    assert len(cut(lake(), "2026-09-20..2026-10-19", 10, Policy(allow_all=True), rebuild=True)) == 3
