"""Corrections that move an event to another day: no day keeps a version that a newer one has taken elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.projects import DATASETS, EVENTS_SQL, FILES, MADE, Project, contract, day_at, history, write_project

KEYED = DATASETS.replace('arrivals("event_time")', 'arrivals("event_time", key=("event_id",))')


def version(name: str, day: int, number: int, amount: Any = 10) -> dict[str, Any]:
    """A version of an event that says ``day``; the one with the highest ``number`` is the latest."""
    midnight = datetime.fromisoformat(day_at(day)).replace(tzinfo=UTC)
    return {
        "event_id": name,
        "event_time": (midnight + timedelta(hours=3)).isoformat(),
        "updated_at": (datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=number)).isoformat(),
        "payload": {"tenant": "t1", "amount": amount},
    }


def written(root: Path, changes: Mapping[str, str] | None = None) -> Project:
    project = write_project(root, {"datasets.py": KEYED, **(changes or {})})
    project.versions_meet = True
    return project


def arrive(project: Project, *files: Iterable[Mapping[str, Any]]) -> None:
    """Land and ingest each file, then run what is stale."""
    for events in files:
        project.land(f"f-{project.ticks:05}", events)
        project.ingest()
    project.run()


def days_of(project: Project, name: str) -> list[str]:
    return [row[5] for row in project.rows("silver.events") if row[0] == name]


def test_a_correction_that_moves_an_event_leaves_no_copy_behind(tmp_path: Path) -> None:
    project = written(tmp_path)
    arrive(project, history(6), [version("m", 1, 1)])

    arrive(project, [version("m", 4, 2)])

    assert days_of(project, "m") == [day_at(4)]
    assert project.tables() == project.expected()
    assert not project.stale()
    assert {v.proof.value for v in project.open().verify((), size=50)} == {"proven"}
