"""Readers see all or none of a run, while real processes publish and a third of them is killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from remint.model.run import RunKind, RunState
from tests.e2e.projects import Project, history, write_project
from tests.e2e.readers import AMOUNTS, KINDS, Seen
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
STEPS = 30
"""Moments of a run at which it is killed, spread over how long one takes."""


def base_of(project: Project) -> dict[str, dict[str, int]]:
    """Return the amounts of every table for the factor 1, by table and key, as the oracle says."""
    rows = project.expected()
    return {
        "silver.events": {r[0]: r[4] for r in rows["silver.events"]},
        "gold.daily": {f"{r[0]}{r[1]}": r[3] for r in rows["gold.daily"]},
        "gold.trend": {f"{r[0]}{r[1]}": r[2] for r in rows["gold.trend"]},
        "gold.monthly": {f"{r[0]}{r[1]}": r[3] for r in rows["gold.monthly"]},
    }


class Publisher:
    """Publishes one factor after the other, each in a process of its own; some are killed."""

    def __init__(self, project: Project, rng: random.Random) -> None:
        self.project, self.rng = project, rng
        self.factor = 1
        self.published: dict[str, int] = {}
        """By run, the factor that its release shows."""
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0

    def remint(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "remint", "-C", str(self.project.root), *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def done(self, process: subprocess.Popen[bytes]) -> None:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err.decode()

    def note(self) -> None:
        """Learn which run published the present factor."""
        for run in self.project.open().store.runs(5):
            if run.state is RunState.SUCCEEDED and run.kind is RunKind.APPLY:
                self.published.setdefault(run.run_id, self.factor)

    def next(self, *, kill: bool) -> None:
        """Publish the next factor, or be killed and then resumed or given up."""
        old, self.factor = self.factor, self.factor + 1
        self.project.edit("sql/events.sql", f"amount * {old} AS", f"amount * {self.factor} AS")
        self.counts["applies"] += 1
        begun = time.monotonic()
        process = self.remint("run")
        if not kill:
            self.done(process)
            self.seconds = time.monotonic() - begun
        else:
            time.sleep(self.seconds * self.rng.randint(STEPS // 3, STEPS) / STEPS)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.counts["killed"] += process.returncode == -signal.SIGKILL
            self.recover()
        self.note()

    def recover(self) -> None:
        for run in self.project.outstanding():
            if run.state is RunState.PUBLISHING or self.rng.random() < 0.6:
                self.counts[f"resumed while {run.state}"] += 1
                self.done(self.remint("resume", run.run_id))
            else:
                self.counts["given up"] += 1
                self.project.rollback(run.run_id)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A built project with a views file; every silver amount is multiplied by a factor, which is 1."""
    found = write_project(tmp_path / "p")
    toml = found.root / "remint.toml"
    text = toml.read_text().replace("threads = 1\n", "threads = 1\nbatch_rows = 2\n")
    toml.write_text(f'{text}[views]\npath = "views.duckdb"\n')
    events = found.root / "sql" / "events.sql"
    events.write_text(events.read_text().replace("tenant, amount,", "tenant, amount * 1 AS amount,"))
    found.land("a", history(2, each=2))
    found.ingest()
    found.run()
    (tmp_path / "base.json").write_text(json.dumps(base_of(found)))
    return found


def reads_so_far(folder: Path) -> int:
    return sum(json.loads(p.read_text())["reads"] for kind in KINDS if (p := folder / f"{kind}.json").exists())


@proof
def test_no_reader_sees_a_part_of_a_run(tmp_path: Path, project: Project) -> None:
    applies, wanted = size(2, 60), size(120, 15_000)
    publisher = Publisher(project, random.Random(7))
    publisher.note()
    command = [sys.executable, "-m", "tests.e2e.readers"]
    kinds = [kind for kind in KINDS if kind != "catalog" or project.format == "iceberg"]
    readers = {k: subprocess.Popen([*command, k, str(tmp_path)], cwd=REPOSITORY) for k in kinds}
    try:
        while publisher.counts["applies"] < applies or reads_so_far(tmp_path) < wanted:
            publisher.next(kill=publisher.counts["applies"] % 3 == 2)
            assert [k for k, process in readers.items() if process.poll() is not None] == []
        (tmp_path / "stop").touch()
        for process in readers.values():
            assert process.wait(timeout=120) == 0
    finally:
        for process in readers.values():
            process.kill()
            process.wait()

    seen: dict[str, dict[str, Any]] = {k: json.loads((tmp_path / f"{k}.json").read_text()) for k in kinds}
    wrong = [line for found in seen.values() for line in found["wrong"]]
    states = {f"{run} {factor}" for run, factor in publisher.published.items()}
    for kind in ("cut", "views"):
        wrong += [f"{kind} saw {state}, which no run left" for state in seen[kind]["factors"] if state not in states]
        assert len(seen[kind]["factors"]) >= min(applies, 10) // 2, f"{kind} saw too few releases to prove anything"
    factors = set(publisher.published.values())
    for kind in kinds[2:]:
        strange = [state for state in seen[kind]["factors"] if int(state.split()[1]) not in factors]
        wrong += [f"{kind} saw {state}, which no run published" for state in strange]
    wrong += ["plain saw a table that was older than one made from it"] * seen["plain"]["disordered"]
    assert wrong == [], wrong[:3]
    assert project.tables()["gold.monthly"], "the last state is readable"
    more = {"reads_of_catalogs": seen["catalog"]["reads"]} if "catalog" in seen else {}
    report(
        "readers",
        cases=sum(found["reads"] for found in seen.values()),
        wrong=len(wrong),
        reads_of_cuts=seen["cut"]["reads"],
        reads_of_views=seen["views"]["reads"],
        reads_of_single_tables=seen["plain"]["reads"],
        rounds_of_single_tables_that_mixed_runs=seen["plain"]["mixed"],
        applies=publisher.counts["applies"],
        killed=publisher.counts["killed"],
        resumed=sum(n for words, n in publisher.counts.items() if words.startswith("resumed")),
        given_up=publisher.counts["given up"],
        **more,
    )


@pytest.mark.parametrize("harm", ["a row is missing", "a row is of another run", "a table is of another run"])
def test_the_judge_knows_a_part_when_it_sees_one(harm: str) -> None:
    base = {table: {f"{table} {n}": n + 1 for n in range(3)} for table in AMOUNTS}
    rows = {table: {k: v * 5 for k, v in amounts.items()} for table, amounts in base.items()}
    seen = Seen(base=base)
    assert seen.judge("r", rows) == 5

    if harm == "a row is missing":
        del rows["gold.trend"]["gold.trend 1"]
    elif harm == "a row is of another run":
        rows["gold.trend"]["gold.trend 1"] = 2 * 6
    else:
        rows["gold.monthly"] = {k: v * 6 for k, v in base["gold.monthly"].items()}

    assert seen.judge("r", rows) is None
    assert (seen.reads, len(seen.wrong)) == (2, 1)
