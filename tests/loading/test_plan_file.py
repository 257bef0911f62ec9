"""Saved plans come back as they were, and no edit goes unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from remint.errors import UnknownPlan
from remint.loading.plan_file import plan_text, read_plan, write_plan
from remint.loading.project import load_project
from remint.loading.scaffold import init_project
from remint.model.partition import DateRange, Grain, Lookback
from remint.model.plan import (
    Action,
    ActionKind,
    Batch,
    Plan,
    Reason,
    Requirement,
    StaleCause,
    Step,
    Untouched,
    plan_digest,
)
from remint.model.request import Mode, Request, Trigger


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    init_project(tmp_path / "shop")
    days = ("2026-09-30..2026-10-02",)
    made = Plan(
        plan_id="",
        project="shop",
        created_at=datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
        as_of_seq=7,
        as_of_run="r-7",
        request=Request(
            range=DateRange(start=date(2026, 9, 30), end=date(2026, 10, 3)),
            mode=Mode.BACKFILL,
            override_state=False,
            trigger=Trigger.BUG_FIX,
            reason="a café's fee",
            requested_by="ana",
        ),
        datasets=tuple(load_project(tmp_path / "shop").graph),
        actions=(
            Action(
                dataset="silver.orders",
                kind=ActionKind.REBUILD,
                grain=Grain.DAY,
                partitions=days,
                units=3,
                certain=True,
                reasons=(Reason(cause=StaleCause.LOGIC, detail="v1 -> v2 changes amount"),),
                rows_read=9,
                rows_expected=8,
                size_bytes=None,
            ),
        ),
        batches=(Batch(steps=(Step(dataset="silver.orders", grain=Grain.DAY, partitions=days),)),),
        requirements=(Requirement(dataset="bronze.orders", grain=Grain.DAY, partitions=days, arrived=True),),
        untouched=(Untouched(dataset="gold.revenue_monthly", detail="not selected"),),
        fresh_units=4,
    )
    return replace(made, plan_id=plan_digest(made))


def test_a_plan_comes_back_equal(plan: Plan, tmp_path: Path) -> None:
    path = write_plan(plan, tmp_path / "plans")

    assert path.name == f"{plan.plan_id}.json"
    assert read_plan(path.read_text("utf-8")) == plan


def test_a_plan_of_a_lookback_comes_back_as_one(plan: Plan) -> None:
    back = Lookback.before(plan.created_at, timedelta(hours=48))
    made = replace(plan, request=replace(plan.request, range=back))
    made = replace(made, plan_id=plan_digest(made))

    assert read_plan(plan_text(made)) == made
    assert isinstance(read_plan(plan_text(made)).request.range, Lookback)
    assert type(read_plan(plan_text(plan)).request.range) is DateRange


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"fresh_units": 4', '"fresh_units": 5'),
        ('"fresh_units": 4', '"fresh_units": 4, "note": 1'),
        ('"fresh_units": 4', '"fresh_units": "4"'),
        ('"kind": "roll_up"', '"kind": "same"'),
        ('"kind": "rebuild"', '"kind": "drop"'),
        ('"certain": true,', ""),
        ("café", "cafe"),
    ],
)
def test_an_edited_plan_is_refused(plan: Plan, old: str, new: str) -> None:
    text = plan_text(plan)
    assert old in text

    with pytest.raises(UnknownPlan, match="the plan file was edited"):
        read_plan(text.replace(old, new))


def test_a_plan_of_another_format_is_refused_by_name(plan: Plan) -> None:
    text = json.dumps({**json.loads(plan_text(plan)), "format": "remint.plan/9"})

    with pytest.raises(UnknownPlan, match=r"format 'remint.plan/9'; this remint reads 'remint.plan/3'"):
        read_plan(text)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(UnknownPlan):
        read_plan(text)
