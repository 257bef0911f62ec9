"""Standings that are folded while the declarations change, and what they must not forget."""

from __future__ import annotations

from dataclasses import replace

from remint.model.request import Request
from tests.planner.lakes import Lake, Staging
from tests.planner.oracle import Cut, Read, Table

DAYS = [f"2026-10-{day:02}" for day in range(10, 20)]
BRONZE = Table(name="bronze.b", cut=Cut("day"), events=Cut("day"))
SILVER = Table(
    name="silver.t", cut=Cut("day"), reads=(Read(alias="i", source="bronze.b", kind="by_arrival"),), transform="digest"
)
TREND = Table(
    name="gold.trend",
    cut=Cut("day"),
    reads=(Read(alias="i", source="silver.t", kind="window", before=2),),
    transform="digest",
)


def land(lake: Lake, *days: str) -> None:
    rows = {day: ((len(lake.ledger), 1, 1),) for day in days}
    lake.ingest(f"r{len(lake.ledger)}", "bronze.b", {days[0]: ((1, 1, 1),)}, rows)


def run(lake: Lake, *selectors: str) -> None:
    plan = lake.plan(Request(selectors=selectors, requested_by="t"))
    assert lake.record_run(f"r{len(lake.ledger)}", plan, Staging(lake, plan))


def certain(lake: Lake, *selectors: str) -> dict[str, list[str]]:
    units = lake.plan(Request(selectors=selectors, requested_by="t")).action_units(certain=True)
    return {name: list(keys) for name, keys in units.items()}


def built(*tables: Table) -> Lake:
    lake = Lake({t.name: t for t in tables})
    land(lake, *DAYS)
    run(lake)
    return lake


def test_what_changed_while_a_narrower_window_was_declared_counts_when_the_wider_one_returns() -> None:
    lake = built(BRONZE, SILVER, TREND)
    lake.tables["gold.trend"] = replace(TREND, reads=(replace(TREND.reads[0], before=1),), version=2)
    land(lake, DAYS[3])
    run(lake, "silver.t")
    certain(lake)

    lake.tables["gold.trend"] = replace(TREND, version=3)

    assert certain(lake) == {"gold.trend": DAYS[3:6]}


def test_readers_of_a_version_that_has_no_partitions_yet_are_stale() -> None:
    versioned = replace(SILVER, cut=Cut("day", "version"))
    lake = built(BRONZE, versioned, TREND)

    lake.tables["silver.t"] = replace(versioned, salt=1, version=2)

    assert certain(lake, "gold.trend") == {"gold.trend": DAYS}


def test_a_dataset_that_left_the_graph_learns_what_happened_meanwhile_when_it_returns() -> None:
    lake = built(BRONZE, SILVER, TREND)
    del lake.tables["gold.trend"]
    land(lake, DAYS[3])
    run(lake)

    lake.tables["gold.trend"] = TREND

    assert certain(lake) == {"gold.trend": DAYS[3:6]}


def test_what_was_recorded_between_reading_and_recording_leaves_the_run_s_units_in_doubt() -> None:
    lake = built(BRONZE, SILVER, TREND)
    land(lake, DAYS[3])
    plan = lake.plan(Request(requested_by="t"))
    staged = Staging(lake, plan)
    land(lake, DAYS[3])

    assert lake.record_run("r-late", plan, staged)

    assert certain(lake) == {"silver.t": DAYS[3:4]}


def test_a_unit_that_was_taken_back_is_missing() -> None:
    lake = built(BRONZE, SILVER, TREND)
    land(lake, "2026-10-25")
    run(lake)
    undone = lake.ledger[-1].run_id

    assert lake.roll_back("r-back", undone)

    assert certain(lake) == {"silver.t": ["2026-10-25"], "gold.trend": ["2026-10-25"]}
