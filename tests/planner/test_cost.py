"""Estimates are learned from what runs took, and say ``None`` where nothing was learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.model.cost import Prices, Timing
from remint.model.mapping import Same
from remint.model.plan import Plan
from remint.planner.cost import NEWEST, rate, with_costs
from tests.planner.worlds import BY_ARRIVAL, Lake, bronze, derived


def timing(rows: int, seconds: float, run: str = "r-1", dataset: str = "silver.events") -> Timing:
    return Timing(
        run_id=run,
        dataset=dataset,
        batch=0,
        units=1,
        rows_read=rows,
        rows_written=rows,
        bytes_scanned=rows * 50,
        bytes_written=rows * 20,
        seconds=seconds,
        engine="duckdb",
        recorded_at="2026-10-14T08:00:00Z",
    )


def planned() -> Plan:
    made = Lake(
        bronze(), derived("silver.events", ("bronze.raw", BY_ARRIVAL)), derived("gold.daily", ("silver.events", Same()))
    )
    made.arrive(["2026-10-01", "2026-10-02"], rows=1000)
    made.apply(made.plan())
    made.arrive(["2026-10-02"], rows=500)
    return made.plan()


@given(st.floats(0, 100), st.floats(0, 1), st.lists(st.integers(0, 10**6), min_size=3, max_size=NEWEST, unique=True))
def test_timings_on_a_line_give_that_line(by_query: float, by_row: float, rows: list[int]) -> None:
    found = rate([timing(n, by_query + by_row * n) for n in rows])

    assert found
    assert found.by_row == pytest.approx(by_row, abs=1e-4, rel=1e-3)
    assert found.by_query + found.by_row * 10**6 == pytest.approx(by_query + by_row * 10**6, rel=1e-3, abs=1e-3)


def test_one_slow_run_on_a_busy_machine_moves_nothing() -> None:
    line = [timing(n * 1000, 1 + n) for n in range(1, 12)]

    found = rate([timing(3000, 900.0), *line])

    assert found
    assert (found.by_query, found.by_row) == (pytest.approx(1, abs=0.2), pytest.approx(0.001, rel=0.05))


def test_an_estimate_is_never_negative() -> None:
    found = rate([timing(n * 1000, 10 - n) for n in range(1, 6)])

    assert found
    assert min(found.by_row, found.by_query) >= 0


def test_too_few_sizes_give_the_median_by_row() -> None:
    found = rate([timing(100, 1.0), timing(100, 3.0), timing(200, 4.0)])

    assert found
    assert (found.by_query, found.by_row) == (0.0, pytest.approx(0.02))


def test_queries_that_read_nothing_cost_what_a_query_costs() -> None:
    found = rate([timing(0, 0.5), timing(0, 0.7)])

    assert found
    assert (found.by_query, found.by_row, found.bytes_by_row) == (pytest.approx(0.6), 0.0, None)


def test_only_the_newest_timings_count() -> None:
    new = [timing(n * 100, n * 1.0) for n in range(1, NEWEST + 1)]

    assert rate([*new, *(timing(n * 100, n * 50.0) for n in range(1, 100))]) == rate(new)


def test_without_any_history_nothing_is_claimed() -> None:
    plan = planned()

    assert plan.estimate.seconds is None
    assert plan.estimate.unknown_actions == len(plan.actions) == 2
    assert {(a.seconds, a.money, a.bytes_scanned) for a in plan.actions} == {(None, None, None)}


def test_actions_and_total_are_estimated_and_priced() -> None:
    history = {
        "silver.events": tuple(timing(n * 1000, 2 + n, f"r-{n}") for n in range(1, 6)),
        "gold.daily": tuple(timing(n * 1000, n / 2, f"r-{n}", "gold.daily") for n in range(1, 6)),
    }

    plan = with_costs(planned(), history, Prices(currency="USD", per_hour=3600.0, per_tb_scanned=10**12))

    silver, gold = plan.actions
    assert (silver.rows_read, silver.seconds, silver.bytes_scanned) == (1500, 3.5, 75_000)
    assert silver.money == pytest.approx(3.5 + 75_000)
    assert gold.seconds == pytest.approx((gold.rows_read or 0) / 2000, abs=1e-3)
    assert plan.estimate.seconds == pytest.approx((silver.seconds or 0) + (gold.seconds or 0))
    assert (plan.estimate.currency, plan.estimate.runs, plan.estimate.unknown_actions) == ("USD", 5, 0)


def test_a_dataset_that_never_ran_takes_the_median_of_the_project() -> None:
    history = {"gold.other": (timing(1000, 2.0, dataset="gold.other"), timing(1000, 4.0, dataset="gold.other"))}

    plan = with_costs(planned(), history, Prices())

    assert plan.actions[0].seconds == pytest.approx(1500 * 0.003)
    assert plan.estimate.runs == 1


def test_what_reads_something_not_yet_built_stays_unknown_and_is_counted() -> None:
    plan = planned()
    unbuilt = replace(plan, actions=(plan.actions[0], replace(plan.actions[1], rows_read=None)))
    history = {"silver.events": (timing(1000, 1.0),)}

    found = with_costs(unbuilt, history, Prices()).estimate

    assert (found.seconds, found.unknown_actions, found.runs) == (1.5, 1, 1)


def test_a_dataset_split_over_actions_pays_for_its_queries_once() -> None:
    plan = planned()
    action = plan.actions[0]
    history = {"silver.events": tuple(timing(n * 1000, 6.0 + n) for n in range(1, 6))}
    half = replace(action, rows_read=750)

    whole = with_costs(replace(plan, actions=(action,)), history, Prices()).estimate.seconds
    parts = with_costs(replace(plan, actions=(half, half)), history, Prices()).estimate.seconds

    assert parts == pytest.approx(whole)


@pytest.mark.parametrize(
    ("prices", "seconds", "scanned", "money"),
    [
        (Prices(), 10.0, 10, None),
        (Prices(per_hour=1.2), 3600.0, None, 1.2),
        (Prices(per_tb_scanned=5.0), None, 2 * 10**12, 10.0),
        (Prices(per_hour=1.2, per_tb_scanned=5.0), 3600.0, 10**12, 6.2),
        (Prices(per_hour=1.2, per_tb_scanned=5.0), 3600.0, None, None),
        (Prices(per_hour=0.0), 3600.0, None, 0.0),
    ],
)
def test_money_is_known_where_what_it_multiplies_is(
    prices: Prices, seconds: float | None, scanned: int | None, money: float | None
) -> None:
    assert prices.money(seconds, scanned) == money
