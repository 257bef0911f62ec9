"""What may be asked: types of backfill, and what each must declare."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remint.errors import UsageError
from remint.model.partition import DateRange, Lookback
from remint.model.request import BackfillType, Mode, Request, declared_override

SPAN = DateRange.parse("2026-10-01..2026-10-10")


def backfill(**fields: Any) -> Request:
    return Request(**{"mode": Mode.BACKFILL, "override_state": False, "requested_by": "ana", **fields})


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"range": SPAN}, BackfillType.TEMPORAL),
        ({}, BackfillType.DATASET),
        ({"type": BackfillType.LOGICAL}, BackfillType.LOGICAL),
        ({"type": BackfillType.LOGICAL, "range": SPAN}, BackfillType.LOGICAL),
        ({"type": BackfillType.FORCED, "override_state": True}, BackfillType.FORCED),
        ({"type": BackfillType.FORCED, "override_state": True, "range": SPAN}, BackfillType.FORCED),
    ],
)
def test_a_backfill_has_one_of_four_types(fields: dict[str, Any], kind: BackfillType) -> None:
    assert backfill(**fields).type is kind


def test_an_incremental_request_has_no_type_and_overrides_nothing() -> None:
    asked = Request(requested_by="ana")

    assert (asked.type, asked.override_state, asked.is_forced) == (None, False, False)


@pytest.mark.parametrize(
    ("fields", "said", "next_"),
    [
        ({"override_state": None}, "must declare whether it overrides", "--no-override-state"),
        ({"override_state": True}, "must be called so", "--type forced"),
        (
            {"override_state": True, "range": SPAN, "type": BackfillType.TEMPORAL},
            "temporal backfill does not",
            "forced",
        ),
        ({"override_state": False, "type": BackfillType.FORCED}, "says that it does not", "--override-state"),
        ({"type": BackfillType.TEMPORAL}, "there is none", "--range"),
        ({"type": BackfillType.DATASET, "range": SPAN}, "limits them", "--type temporal"),
        ({"mode": Mode.INCREMENTAL, "type": BackfillType.LOGICAL}, "is a type of backfill", "--mode backfill"),
        ({"mode": Mode.INCREMENTAL, "override_state": True}, "moves them anyway", "--type forced"),
        ({"mode": Mode.INCREMENTAL, "rebuild": True}, "which is a backfill", "--mode backfill"),
        ({"reason": " "}, "needs a reason", "--reason"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_way_out(fields: dict[str, Any], said: str, next_: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        backfill(**fields)

    assert next_ in str(caught.value.hint)


@pytest.mark.parametrize("declared", [True, False])
def test_a_backfill_may_declare_either(declared: bool) -> None:
    assert declared_override(Mode.BACKFILL, declared) is declared


@pytest.mark.parametrize(
    ("days", "windows"),
    [
        (4, ["[2026-10-01, 2026-10-05)", "[2026-10-05, 2026-10-09)", "[2026-10-09, 2026-10-11)"]),
        (5, ["[2026-10-01, 2026-10-06)", "[2026-10-06, 2026-10-11)"]),
        (10, ["[2026-10-01, 2026-10-11)"]),
        (400, ["[2026-10-01, 2026-10-11)"]),
    ],
)
def test_windows_cover_the_range_once_in_order(days: int, windows: list[str]) -> None:
    cut = backfill(range=SPAN, reason="r").windows(days)

    assert [w.range.describe() for w in cut if w.range] == windows
    assert {w.reason for w in cut} == {"r"}


def test_without_a_range_there_is_nothing_to_split() -> None:
    with pytest.raises(UsageError, match="no range"):
        backfill().windows(3)


def test_a_lookback_has_hours_and_is_not_split_into_days() -> None:
    back = Lookback.before(datetime(2026, 10, 16, 12, 30, tzinfo=UTC), timedelta(hours=48))

    with pytest.raises(UsageError, match="no range"):
        backfill(range=back).windows(1)


def test_the_split_command_can_be_typed_again() -> None:
    asked = backfill(selectors=("silver.x+",), range=SPAN, reason="it's late", rebuild=True)

    words = shlex.split(asked.split_command(SPAN.start, SPAN.end, 3))

    assert words[:3] == ["remint", "run", "silver.x+"]
    assert words[words.index("--range") + 1] == "2026-10-01..2026-10-10"
    assert {"--split", "3", "--no-override-state", "--rebuild", "it's late"} <= set(words)
