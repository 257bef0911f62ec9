"""Requests of a run to its bucket fail in their turn: what was asked for happens once, or is said not to happen."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from remint.errors import RemintError, StorageUnavailable
from remint.execution.symptom import Health
from remint.model.event import Event, EventKind
from remint.storage import s3
from remint.workspace import Workspace
from tests import proof as proof_size
from tests.buckets import Bucket
from tests.e2e import projects
from tests.e2e.projects import TABLES, Project, built, event
from tests.proof import FULL, proof, report, size
from tests.storage.proxy import Proxy, Trouble, Way, proxying

pytestmark = [pytest.mark.slow, proof]

DAYS = 3
FOR_EVER = 1 << 30
COMMIT = r"PUT .*/(_delta_log|metadata)/.*\.json$"
PARTS = size(1, 5)
"""What is looked at after each request grows with the history of a project: each way is tried on several."""
EACH = size(1, 8)
"""Requests that fail in each way, in each part."""
PATIENCE_S = 60
"""No command goes on for longer against a bucket that is gone."""


class Patient:
    """A project behind a proxy, to which one late row after another comes."""

    def __init__(self, project: Project, proxy: Proxy) -> None:
        self.project, self.proxy, self.rows = project, proxy, 0
        self.said: list[Event] = []

    def open(self) -> Workspace:
        """Return the project opened anew."""
        project = self.project
        return Workspace(project.root, clock=project.now, new_id=lambda: f"{project.ticks:04x}", emit=self.said.append)

    def step(self, *troubles: Trouble) -> RemintError | None:
        """Bring a late row from landing to the tables while there is trouble; return how that was refused."""
        self.rows += 1
        self.project.land(f"late{self.rows}", [event(1000 + self.rows, self.rows % DAYS, 10 + self.rows)])
        self.said.clear()
        self.proxy.begin(*troubles)
        try:
            self.open().ingest((), self.project.ask())
            self.open().apply(self.project.plan())
        except RemintError as error:
            return error
        finally:
            self.requests, self.failed = self.proxy.noted()
            self.proxy.begin()
        return None

    def go_on(self) -> None:
        """Do what the message of an interrupted run says, and what was not begun."""
        for run in self.project.outstanding():
            self.open().resume(run.run_id)
        self.open().ingest((), self.project.ask())
        self.project.run()

    def wrong(self, ever: set[str]) -> list[str]:
        """Return in words what is not as it must be."""
        project = self.project
        found = [] if project.tables() == project.expected() else ["rows are wrong"]
        found += [f"{run.run_id} is {run.state}" for run in project.outstanding()]
        doctor = project.open().upkeep.doctor((), read_data=True)
        found += [f"{s.subject}: {s.detail}" for s in doctor if s.health is Health.BAD]
        for table in TABLES:
            counts = Counter(project.lakehouse.runs(table))
            found += [f"{table}: {key} is committed {n} times" for key, n in counts.items() if n > 1]
        live = {path for paths in project.live().values() for path in paths}
        parts = project.parts()
        found += [f"{path} is gone" for path in sorted((ever | live) - parts)]
        ever |= live
        upkeep = project.open().upkeep
        if litter := upkeep.find_litter((), timedelta(0)):
            upkeep.clean(litter, "test")
            found += [f"{path} was cleaned up" for path in sorted(ever - project.parts())]
        return found


@pytest.fixture(params=["delta", "iceberg"] if FULL else ["delta"])
def patient(
    request: pytest.FixtureRequest, on_s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Patient]:
    """A built project that reaches its bucket through a proxy, and does not wait for long."""
    settings = {**s3._SETTINGS, "read_timeout": 2, "retries": {"total_max_attempts": 3, "mode": "standard"}}
    monkeypatch.setattr(s3, "TRIES", 3)
    monkeypatch.setattr(s3, "READ_S", 2)
    monkeypatch.setattr(s3, "_RETRY_S", 5)
    monkeypatch.setattr(s3, "_SETTINGS", settings)
    monkeypatch.setattr(projects, "tables_in", request.param)
    monkeypatch.setattr(proof_size, "of", "" if request.param == "delta" else "-iceberg")
    with proxying(on_s3.port) as proxy:
        project = built(tmp_path / "p", DAYS)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port()}")
        yield Patient(project, proxy)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("ways", [(way,) for way in Way] if FULL else [tuple(Way)])
def test_requests_that_fail_once_are_made_again_and_nothing_happens_twice(
    patient: Patient, ways: Sequence[Way], part: int
) -> None:
    assert patient.step() is None
    requests, ever, draw = patient.requests, set[str](), random.Random(f"{ways[0]} {part}")
    commits = sum(map(_is_commit, requests))
    assert commits == len(TABLES) - 2, "each table that a late row changes is committed to once"
    numbers = (range(1, commits + 1) if FULL else [2]) if Way.LOST in ways else []
    lost = [Trouble(Way.LOST, at, among=COMMIT) for at in numbers]
    drawn = [Trouble(way, at) for way in ways for at in draw.sample(range(1, len(requests) + 1), EACH)]
    points = [*lost, *drawn]
    wrong, hit, waits = [], 0, 0
    # One at a time at full size; else all in one run, of which each request is made again by itself.
    for group in [[point] for point in points] if FULL else [points]:
        refused = patient.step(*group)
        failed = patient.failed
        hit += sum(map(_is_commit, failed))
        waits += sum(e.kind is EventKind.WAITING for e in patient.said)
        if refused is not None:
            wrong.append(f"{failed}: {refused.code} {refused}")
            patient.go_on()
        wrong += [f"{failed}: {words}" for words in patient.wrong(ever)]
    assert wrong == []
    assert waits > 0 or FULL  # not every way makes anybody wait
    assert hit >= len(lost)
    report("s3-faults", cases=len(points), part=f"once-{ways[0]}-{part}", commits_hit=hit, waits_announced=waits)


@pytest.mark.parametrize("way", [Way.RESET, Way.SLOW_DOWN] if FULL else [Way.RESET])
def test_a_bucket_that_is_gone_for_long_stops_the_run_which_goes_on_later(patient: Patient, way: Way) -> None:
    assert patient.step() is None
    requests, ever, wrong = patient.requests, set[str](), []
    draw = random.Random(way)
    points = sorted(draw.sample(range(1, len(requests) + 1), size(1, 25)))
    for at in points:
        began = time.monotonic()
        refused = patient.step(Trouble(way, at, times=FOR_EVER))
        label = f"{way} from {at} {patient.failed[:1]}: "
        if not isinstance(refused, StorageUnavailable):
            wrong.append(f"{label}{refused!r}")
        if time.monotonic() - began > PATIENCE_S:
            wrong.append(f"{label}took {time.monotonic() - began:.0f} s")
        patient.go_on()
        wrong += [label + words for words in patient.wrong(ever)]
    assert wrong == []
    report("s3-faults", cases=len(points), part=f"gone-{way}")


def _is_commit(line: str) -> bool:
    return re.search(COMMIT, line) is not None
