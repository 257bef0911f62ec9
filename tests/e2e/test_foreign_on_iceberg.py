"""What others do to an Iceberg table: seen, named in words, and healed, or known to change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from remint.execution.symptom import Health, Kind, Symptom
from remint.model.plan import StaleCause
from tests.e2e import strangers
from tests.e2e.lakehouses import Iceberg
from tests.e2e.projects import Project, built, day_at
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_iceberg")]


def lakehouse(project: Project) -> Iceberg:
    assert isinstance(project.lakehouse, Iceberg)
    return project.lakehouse


def append(project: Project, table: str, key: str) -> None:
    strangers.append(project, table, like=key)


def delete_by_position(project: Project, table: str, key: str) -> None:
    project.lakehouse.mask(table, key, [0])


def compact(project: Project, table: str, key: str) -> None:
    lakehouse(project).compacting(table, key)()


def set_back(project: Project, table: str, key: str) -> None:
    """Set the table back to the snapshot before the newest."""
    del key
    held = lakehouse(project).table(table)
    current = held.current_snapshot()
    assert current
    assert current.parent_snapshot_id
    held.manage_snapshots().rollback_to_snapshot(current.parent_snapshot_id).commit()


def expire(project: Project, table: str, key: str) -> None:
    """Forget every snapshot but the newest."""
    del key
    lakehouse(project).forget(table)


@dataclass(frozen=True)
class Case:
    """What somebody does, and what remint says of it."""

    act: Callable[[Project, str, str], None]
    foreign: int
    """Partitions of the table that count as foreign."""
    said: str
    """Part of what doctor says."""


CASES = [
    Case(delete_by_position, 1, "version 3, delete by"),
    Case(set_back, 4, "somebody who set the table back to version 1"),
    Case(append, 1, "version 3, append by"),
    Case(strangers.overwrite, 1, "version 4, append by"),
    Case(strangers.delete, 1, "version 3, delete by"),
    Case(compact, 1, "version 4, append by"),
    Case(expire, 0, ""),
]


@proof
@pytest.mark.parametrize("case", CASES[: size(2, len(CASES))], ids=lambda c: c.act.__name__)
def test_what_somebody_did_is_named_and_healed(tmp_path: Path, case: Case) -> None:
    project = built(tmp_path / "p", days=4)
    project.set_factor(2)
    project.run()
    case.act(project, "gold.daily", day_at(2))

    found = [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is not Health.OK]
    plan = project.plan()
    reasons = [r.detail for a in plan.actions for r in a.reasons if r.cause is StaleCause.FOREIGN]

    assert project.stale().get("gold.daily", (0, 0, 0))[2] == case.foreign
    assert {s.kind for s in found} <= ({Kind.REWRITTEN} if case.act is compact else {Kind.FOREIGN_FILE, Kind.NOT_LIVE})
    assert all(case.said in s.detail and s.subject == "gold.daily" for s in found)
    assert all(case.said in words for words in reasons)
    assert bool(found) == bool(reasons) == bool(case.foreign)
    if not plan.is_empty:
        project.apply(plan)
    assert project.tables() == project.expected()
    assert not project.stale()
    assert bad(project) == []
    report("foreign", cases=1, part=case.act.__name__)


def bad(project: Project) -> list[Symptom]:
    return [s for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]
