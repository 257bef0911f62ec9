"""Which consent counts."""

from __future__ import annotations

from typing import Any

import pytest

from remint.errors import ApprovalBySamePerson, ApprovalError, ApprovalExpired, ApprovalMissing, ApprovalUsed
from remint.model.approval import Approval, ApprovalState, open_approval, same_person

EARLY, NOON, LATE = (f"2026-10-14T{hour}:00:00.000Z" for hour in ("08", "12", "20"))


def approval(**changes: Any) -> Approval:
    values = {"approval_id": "a-1", "plan_id": "p-1", "requested_by": "ana", "approver": "bea", "reason": "agreed"}
    return Approval(**{**values, "granted_at": EARLY, "expires_at": LATE, **changes})


@pytest.mark.parametrize("name", ["Ana", " ana ", "ANA", "\uff41na", "ana\t"])
def test_a_name_spelled_otherwise_is_the_same_person(name: str) -> None:
    with pytest.raises(ApprovalBySamePerson, match="the same person"):
        approval(approver=name)


def test_accents_are_compared_by_meaning_not_by_encoding() -> None:
    assert same_person("Jose\u0301  Ruiz", "jos\u00e9 ruiz")
    assert not same_person("jose ruiz", "jos\u00e9 ruiz")


@pytest.mark.parametrize(
    ("changes", "now", "state"),
    [
        ({}, NOON, ApprovalState.OPEN),
        ({}, LATE, ApprovalState.EXPIRED),
        ({"used_by": "r-1"}, NOON, ApprovalState.USED),
        ({"used_by": "r-1"}, LATE, ApprovalState.USED),
    ],
)
def test_an_approval_is_open_until_it_is_used_or_runs_out(
    changes: dict[str, Any], now: str, state: ApprovalState
) -> None:
    assert approval(**changes).state(now) is state


def test_the_oldest_open_approval_is_the_one_that_counts() -> None:
    given = [approval(expires_at=NOON), approval(approval_id="a-2"), approval(approval_id="a-3")]

    assert open_approval("p-1", given, ("why",), NOON).approval_id == "a-2"


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ([], ApprovalMissing, "p-1 needs the approval of a second person: too dear; forced"),
        ([approval(expires_at=NOON)], ApprovalExpired, f"by bea ran out at {NOON}"),
        ([approval(used_by="r-1")], ApprovalUsed, "was used by run r-1"),
    ],
)
def test_without_an_open_one_the_error_says_what_there_is(
    given: list[Approval], kind: type[ApprovalError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        open_approval("p-1", given, ("too dear", "forced"), NOON)

    assert "remint" in str(caught.value.hint)
    assert caught.value.exit_code == 4
