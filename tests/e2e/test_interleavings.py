"""Every pair of actors on the same, overlapping and disjoint partitions, one of them stopped before each of its steps.

While it is stopped the other one acts to its end; then it goes on. An actor is added to ``ACTORS``, nothing else.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake.exceptions import DeltaError
from pyiceberg.exceptions import CommitFailedException, ValidationException

from remint.errors import RemintError
from remint.execution import observe
from remint.model.plan import Plan
from remint.model.run import Run, RunState
from remint.workspace import Workspace
from tests.e2e.crashes import Barrier, armed, killed_then_given_up
from tests.e2e.projects import Project, built, day_at, event
from tests.proof import FULL, full_size, proof, report, size

pytestmark = pytest.mark.slow

TABLE = "gold.daily"
DAYS = {"a": (1, 2), "same": (1, 2), "overlapping": (2, 3), "disjoint": (3, 4)}
"""First and last day of what the stopped actor works on, and of what the other one does."""
REFUSALS = {"RM300", "RM301", "RM302", "RM405", "RM408", "RM414", "RM418"}


@dataclass
class World:
    """A project with everything that an actor needs, made before any of them acts."""

    project: Project
    plans: dict[tuple[int, int], Plan]
    undoable: dict[tuple[int, int], Run]

    def clone(self, root: Path) -> World:
        """Return a copy in another folder."""
        return World(self.project.clone(root), self.plans, self.undoable)


Step = Callable[[], object]
Wire = Callable[[Workspace], Workspace]
Actor = Callable[[World, tuple[int, int], Wire], Step]
"""Given days, and what is done to its workspace, looks at the world as it is and returns what it then does."""


def apply(world: World, days: tuple[int, int], wire: Wire) -> Step:
    """Apply a plan that was made before."""
    return lambda: wire(world.project.open()).apply(world.plans[days])


def roll_back(world: World, days: tuple[int, int], wire: Wire) -> Step:
    """Undo the run of these days."""
    run_id = world.undoable[days].run_id
    return lambda: wire(world.project.open()).rollback(run_id, world.project.ask())


def clean_up(world: World, _: tuple[int, int], wire: Wire) -> Step:
    """Remove what was found to be litter."""
    upkeep = wire(world.project.open()).upkeep
    found = upkeep.find_litter((), timedelta(0))
    return lambda: upkeep.clean(found, "test")


def append(world: World, days: tuple[int, int], _: object) -> Step:
    """Append the rows of the first day once more, on the table as it was opened."""
    return world.project.lakehouse.appending(TABLE, day_at(days[0]))


def overwrite(world: World, days: tuple[int, int], _: object) -> Step:
    """Replace the first day by its own rows without one, on the table as it was opened."""
    return world.project.lakehouse.overwriting(TABLE, day_at(days[0]))


def compact(world: World, days: tuple[int, int], _: object) -> Step:
    """Write the files of the first day anew, on the table as it was opened."""
    return world.project.lakehouse.compacting(TABLE, day_at(days[0]))


ACTORS: dict[str, Actor] = {
    "apply": apply,
    "rollback": roll_back,
    "clean-up": clean_up,
    "append": append,
    "overwrite": overwrite,
    "compaction": compact,
}
REPLACING = {"apply", "rollback"}
OURS = {*REPLACING, "clean-up"}
PAIRS = [p for p in itertools.product(ACTORS, ACTORS) if OURS & set(p)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("interleavings") / "base")


def made(root: Path) -> World:
    """Return the world before anybody acts."""
    project = built(root, days=6)
    project.set_factor(2)
    undoable = {}
    for days in ((1, 2), (3, 4)):
        undoable[days] = project.run(TABLE, span=f"{day_at(days[0])}..{day_at(days[1])}")
    undoable[2, 3] = undoable[3, 4]
    project.set_factor(3)
    project.land("b", [event(900 + d, d, 7) for d in range(1, 5)])
    project.ingest()
    spans = {days: f"{day_at(days[0])}..{day_at(days[1])}" for days in set(DAYS.values())}
    plans = {days: project.plan("silver.events", TABLE, span=span) for days, span in spans.items()}
    killed_then_given_up(project, at=6)
    return World(project, plans, undoable)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an actor that is stopped."""
    monkeypatch.setattr(observe, "PATIENCE_S", 0.0)


def attempt(step: Step, ours: bool) -> str:
    """Take a step and return how it ended: nothing, or the refusal."""
    try:
        step()
    except RemintError as error:
        refused = error
    except (DeltaError, CommitFailedException, ValidationException) as error:
        return "" if ours else str(error)
    else:
        return ""
    assert ours
    assert refused.code in REFUSALS, refused
    assert refused.hint, "a refusal names the next command"
    return refused.code


def files_of_strangers(project: Project) -> set[str]:
    """Return the live files of the table that no run of remint staged."""
    return {Path(p).name for p in project.lakehouse.files(TABLE) if "part-r-" not in p}


def interleave(world: World, pair: tuple[str, str], where: str, at: int) -> tuple[int, str]:
    """Stop the first of ``pair`` before its step ``at`` while the other acts; return its steps, and what is wrong.

    Nobody waits here for the one that is stopped, as runs on other partitions do in life: they try again afterwards.
    """
    project, (first, second) = world.project, pair
    ended: dict[str, str] = {}
    theirs: set[str] = set()

    def other() -> None:
        ended["second"] = attempt(ACTORS[second](world, DAYS[where], lambda w: w), second in OURS)
        theirs.update(files_of_strangers(project))

    barrier = Barrier(at, other)
    step = ACTORS[first](world, DAYS["a"], lambda w: armed(w, barrier))
    if first not in OURS:
        other()
    ended["first"] = attempt(step, first in OURS)
    if "second" not in ended:
        return len(barrier.calls), ""
    if where == "disjoint" and ended["second"] and second in OURS:
        ended["second"] = attempt(ACTORS[second](world, DAYS[where], lambda w: w), ours=True)
    return len(barrier.calls), wrong(world, pair, where, ended, theirs)


def wrong(world: World, pair: tuple[str, str], where: str, ended: dict[str, str], theirs: set[str]) -> str:
    """Return in words what may not be, judged by the tables alone; empty when all is well."""
    project, all_ours = world.project, set(pair) <= OURS
    live = {Path(p).name for table, files in project.live().items() for p in files}
    store = project.open().store
    for run in store.runs(100):
        if run.state is RunState.PUBLISHING or (run.state is RunState.FAILED and any(run.run_id in p for p in live)):
            return f"{run.run_id} is {run.state}, and some of it is live"
    must_land = OURS if where == "disjoint" else {"clean-up"}  # the libraries refuse some of their own writers anywhere
    if any(said for actor, said in zip(pair, (ended["first"], ended["second"]), strict=True) if actor in must_land):
        return f"refused: {ended}"
    if set(pair) <= REPLACING and where == "same" and [bool(e) for e in ended.values()].count(False) != 1:
        return f"both or none came through: {ended}"
    if pair[1] not in OURS and not ended["second"] and not theirs <= live:
        return "an acknowledged write of somebody else is lost"
    if all_ours:
        twice = [k for k, n in Counter((r[0], r[1]) for r in project.rows(TABLE)).items() if n > 1]
        if twice:
            return f"doubled: {twice}"
        bad = [s for s in project.open().upkeep.doctor((), read_data=True) if s.health == "bad"]
        if bad:
            return f"doctor: {bad[0]}"
    project.give_up()
    if not (remedy := project.plan()).is_empty:
        project.apply(remedy)
    return "" if project.tables() == project.expected() and not project.stale() else "the next plan does not heal it"


@proof
def test_whatever_two_actors_do_in_whatever_order_nothing_is_lost_or_doubled(tmp_path: Path, world: World) -> None:
    cases, found = interleaved(tmp_path, world, size(11, 1))
    assert not found, "\n".join(found)
    report("interleavings", cases=cases, wrong=len(found), pairs=len(PAIRS) * 3)


def interleaved(tmp_path: Path, world: World, every: int) -> tuple[int, list[str]]:
    """Let two actors act: in every order, or in small in one order of each ``every``-th pair.

    Returns:
        How many cases there were, and in words what was wrong.
    """
    cases, found = 0, []
    numbers = itertools.count()
    for n, (pair, where) in enumerate(itertools.product(PAIRS, ("same", "overlapping", "disjoint"))):
        if n % every != every // 4:
            continue
        at, steps = (0, 1) if FULL else (n % 8, n % 8 + 1)
        while at < steps:
            case = world.clone(tmp_path / str(next(numbers)))
            calls, said = interleave(case, pair, where, at)
            steps = calls if FULL else steps
            cases += 1
            if said:
                found.append(f"{pair[0]} stopped before step {at}, {pair[1]}, {where}: {said}")
            at += 1
    return cases, found


def hammering(project: Project, span: str, until: float) -> list[tuple[int, str]]:
    """Rebuild days of the table again and again, each time by a process of its own; return how each one ended."""
    command = [sys.executable, "-m", "remint", "-C", str(project.root), "run", TABLE, "--range", span, "--rebuild"]
    command += ["--reason", "hammer", "--no-override-state", "--json"]
    ended = []
    while time.monotonic() < until:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ended.append((done.returncode, done.stdout + done.stderr))
    return ended


@proof
@full_size
def test_four_processes_that_hammer_one_table_lose_and_double_nothing(tmp_path: Path, world: World) -> None:
    project = world.clone(tmp_path / "p").project
    spans = [f"{day_at(a)}..{day_at(b)}" for a, b in ((0, 1), (2, 3), (3, 4), (3, 4))]
    until = time.monotonic() + 15
    with ThreadPoolExecutor(len(spans)) as pool:
        ended = [e for found in pool.map(lambda span: hammering(project, span, until), spans) for e in found]

    failures = [said for code, said in ended if code not in (0, 6)]
    assert not failures, failures[0]
    assert {run.state for run in project.outstanding()} <= {RunState.FAILED}
    landed = sum(code == 0 for code, _ in ended)
    project.give_up()
    doubled = [k for k, n in Counter((r[0], r[1]) for r in project.rows(TABLE)).items() if n > 1]
    bad = [s for s in project.open().upkeep.doctor((), read_data=True) if s.health == "bad"]
    project.run()
    wrong = len(doubled) + len(bad) + (project.tables() != project.expected())
    assert landed
    report("hammer", cases=len(ended), wrong=wrong, landed=landed)
