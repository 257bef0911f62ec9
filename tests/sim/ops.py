"""What may happen to a project, one function a kind of step; those that change something can meet a fault.

To add one: write a function of ``Driver`` and the step's random numbers that returns whether it did anything, and give
it a weight in ``OPS``. What is then true after every step is held in ``tests.sim.watch``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from remint.errors import (
    ApprovalError,
    InternalError,
    InvalidRange,
    PublishUnverified,
    RemintError,
    SchemaMismatch,
    TieInKeep,
    TransformFailed,
)
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.request import Ask, BackfillType, Mode, Request, UndoRequest
from remint.model.run import Run, RunKind, RunState
from remint.workspace import Workspace
from tests.e2e.crashes import Killed
from tests.sim.faults import Fault, Kind
from tests.sim.watch import Violation

NEVER = (InternalError, PublishUnverified, SchemaMismatch, TieInKeep, TransformFailed)
"""Errors that no step of the grammar may end in."""
ROUNDS = 6
"""Attempts at one thing after which a history is stuck."""
GOOD_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class Step:
    """One step: what happens, the seed of its choices, and what goes wrong at which call."""

    op: str
    seed: int
    fault: str = ""
    at: int = 0


@dataclass
class Driver:
    """A project and what was done to it."""

    world: Any
    plans: list[Plan] = field(default_factory=list)
    """Saved plans, oldest first."""
    fault: Fault | None = None
    """What goes wrong in the step that is under way."""

    def open(self) -> Workspace:
        """Return the project as a new process opens it, with the fault of the step."""
        workspace: Workspace = self.world.open(self.fault)
        return workspace

    def do(self, step: Step) -> bool:
        """Take one step and hold every invariant after it; return whether it did anything.

        Raises:
            Violation: an invariant does not hold.
        """
        self.fault = Fault(Kind(step.fault), step.at) if step.fault else None
        rng = random.Random(step.seed)
        if self.fault:
            act = self.world.meddle if self.fault.kind is Kind.STRANGER else self.world.other_run
            self.fault.meddle = lambda: act(rng)
        try:
            acted = OPS[step.op].act(self, rng)
        except Killed:
            acted = True
        except RemintError as error:
            acted = True
            if isinstance(error, NEVER):
                raise Violation("I16", f"{step.op} ended in {type(error).__name__}: {error}") from error
            if not (error.message and str(error)):
                raise Violation("I16", f"{step.op} ended in an error without words") from error
        if acted:
            self.world.watch.after()
        return acted

    # -- at the end ----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """End every run, mend every row, bring everything up to date, and compare with a full rebuild.

        Raises:
            Violation: it takes more than a bounded number of steps, or something is not as it must be.
        """
        self.fault = None
        self._end_runs()
        rng = random.Random(0)
        self.world.land(rng, "mend")
        self.world.open().ingest((), Ask(reason="drain"))
        self.world.watch.after()
        for _ in range(ROUNDS):
            plan = self.world.watch.run_all(self.world.open())
            self.world.watch.after()
            if plan.is_empty:
                break
        else:
            raise Violation("I12", f"there is still something to do after {ROUNDS} full runs")
        if self.world.open().store.outstanding():
            raise Violation("liveness", "a run of the drain is outstanding")
        self.world.watch.at_rest()
        self.world.watch.at_the_end()

    def _end_runs(self) -> None:
        for _ in range(ROUNDS):
            runs = self.world.open().store.outstanding()
            if not runs:
                return
            for run in sorted(runs, key=lambda r: r.state is not RunState.PUBLISHING):
                self._end(run.run_id)
                self.world.watch.after()
        left = [(r.run_id, r.state.value, r.error) for r in self.world.open().store.outstanding()]
        if left:
            raise Violation("liveness", f"{left[0]} cannot be ended in {ROUNDS} rounds")

    def _end(self, run_id: str) -> None:
        try:
            self.world.open().resume(run_id)
        except RemintError:
            try:
                self.world.open().rollback(run_id, _ask())
            except RemintError:
                with suppress(RemintError):  # the next round tries again
                    self.world.open().waive(run_id, "cannot be ended")


def _ask() -> Ask:
    return Ask(reason="simulated", mode=Mode.BACKFILL)


# -- rows and logic ----------------------------------------------------------------------------------------------------


def bringing(what: str) -> Callable[[Driver, random.Random], bool]:
    """Return the step that lands rows of one kind and ingests all that is landed."""

    def bring(driver: Driver, rng: random.Random) -> bool:
        if not driver.world.land(rng, what):
            return False
        driver.open().ingest((), Ask(reason=what))
        return True

    return bring


def bump(driver: Driver, rng: random.Random) -> bool:
    return bool(driver.world.bump(rng))


# -- plans and runs ----------------------------------------------------------------------------------------------------


def requested(driver: Driver, rng: random.Random, *, forced: bool = False) -> Request:
    """Return a request: what is stale, a dataset, a range, or all anew."""
    name = rng.choice(sorted(driver.world.made))
    selectors = rng.choice([(), (), (name,), (f"{name}+",), (f"+{name}",)])
    days = driver.world.days()
    first = days[0] + timedelta(days=rng.randrange(len(days)))
    span = DateRange.parse(f"{first}..{first + timedelta(days=rng.randrange(3))}") if rng.random() < 0.5 else None
    rebuild = rng.random() < 0.3 or forced
    if not (span or rebuild):
        return Request(selectors=selectors, requested_by="tester")
    return Request(
        selectors=selectors,
        range=span,
        rebuild=rebuild,
        mode=Mode.BACKFILL,
        type=BackfillType.FORCED if forced else None,
        override_state=forced,
        reason="simulated",
        requested_by="tester",
    )


def make(driver: Driver, request: Request) -> Plan | None:
    try:
        plan = driver.open().make_plan(request, allow_all=True, allow_future=True)
    except InvalidRange:
        return None
    return None if plan.is_empty else plan


def plan(driver: Driver, rng: random.Random) -> bool:
    found = make(driver, requested(driver, rng))
    if found:
        driver.plans.append(found)
    return found is not None


def force(driver: Driver, rng: random.Random) -> bool:
    found = make(driver, requested(driver, rng, forced=True))
    if found is None:
        return False
    try:
        driver.world.open().apply(found)
    except ApprovalError:
        driver.plans.append(found)
        driver.open().approve(found, "boss", "agreed", GOOD_FOR)
        driver.open().apply(found)
        return True
    raise Violation("I18", "a forced backfill was applied without approval")


def approve(driver: Driver, rng: random.Random) -> bool:
    if not driver.plans:
        return False
    driver.open().approve(rng.choice(driver.plans[-3:]), "boss", "agreed", GOOD_FOR)
    return True


def apply(driver: Driver, rng: random.Random) -> bool:
    del rng
    if not driver.plans:
        return False
    driver.open().apply(driver.plans.pop())
    return True


def apply_old(driver: Driver, rng: random.Random) -> bool:
    if not driver.plans:
        return False
    driver.open().apply(driver.plans[rng.randrange(min(3, len(driver.plans)))])
    return True


def run_all(driver: Driver, rng: random.Random) -> bool:
    del rng
    workspace = driver.open()
    made = workspace.make_plan(Request(requested_by="tester"), allow_all=True, allow_future=True)
    if made.is_empty:
        return False
    workspace.apply(made)
    if driver.fault is None:
        driver.world.watch.at_rest()
    return True


# -- what must be ended, and undone ------------------------------------------------------------------------------------


def resume(driver: Driver, rng: random.Random) -> bool:
    runs = driver.world.open().store.outstanding()
    if not runs:
        return False
    driver.open().resume(rng.choice(runs).run_id)
    return True


def give_up(driver: Driver, rng: random.Random) -> bool:
    runs = [r for r in driver.world.open().store.outstanding() if r.state is not RunState.PUBLISHING]
    if not runs:
        return False
    driver.open().rollback(rng.choice(runs).run_id, _ask())
    return True


def waive(driver: Driver, rng: random.Random) -> bool:
    runs = driver.world.open().store.outstanding()
    if not runs:
        return False
    driver.open().waive(rng.choice(runs).run_id, "simulated")
    return True


def _undoable(driver: Driver) -> list[Run]:
    runs = driver.world.open().store.runs(20, [RunState.SUCCEEDED])
    return [r for r in runs if r.kind in (RunKind.APPLY, RunKind.ROLLBACK)]


def roll_back(driver: Driver, rng: random.Random) -> bool:
    runs = _undoable(driver)
    if not runs:
        return False
    driver.open().rollback(rng.choice(runs[:3]).run_id, _ask())
    return True


def undo_part(driver: Driver, rng: random.Random) -> bool:
    """Undo a dataset or a partition of a run, or all of an earlier run; at times with what was made from it."""
    runs = [run for run in _undoable(driver)[:5] if driver.world.open().store.records_of_run(run.run_id)]
    if not runs:
        return False
    run = rng.choice(runs)
    record = rng.choice(driver.world.open().store.records_of_run(run.run_id)).record
    selectors = (record.dataset,) if rng.random() < 0.8 else ()
    keys = (record.key,) if selectors and rng.random() < 0.5 else ()
    request = UndoRequest(selectors=selectors, keys=keys, cascade=rng.random() < 0.6)
    driver.open().rollback(run.run_id, _ask(), request)
    return True


# -- what is kept ------------------------------------------------------------------------------------------------------


def pin(driver: Driver, rng: random.Random) -> bool:
    """Keep a release, or give a pin up."""
    pins = [p for p in driver.world.open().store.pins() if p.is_open]
    releases = driver.world.open().store.releases()
    if pins and rng.random() < 0.4:
        driver.open().retention.unpin(rng.choice(pins).pin_id, "simulated")
    elif releases:
        driver.open().retention.pin(rng.choice(releases).release_id, "simulated")
    return bool(pins or releases)


def expire(driver: Driver, rng: random.Random) -> bool:
    keep_days = rng.choice([0, 0, 0, 1, 5])
    if not driver.world.open().retention.choose((), keep_days).gone:
        return False
    driver.open().retention.expire((), _ask(), keep_days)
    return True


def clean(driver: Driver, rng: random.Random) -> bool:
    del rng
    if not (found := driver.world.open().upkeep.find_litter((), timedelta())):
        return False
    driver.open().upkeep.clean(found, "simulated")
    return True


# -- the world ---------------------------------------------------------------------------------------------------------


def meddle(driver: Driver, rng: random.Random) -> bool:
    return bool(driver.world.meddle(rng))


def jump(driver: Driver, rng: random.Random) -> bool:
    driver.world.jump(rng)
    return True


@dataclass(frozen=True)
class Op:
    """A kind of step."""

    act: Callable[[Driver, random.Random], bool]
    weight: int
    faulty: float = 0.4
    """How often something goes wrong in it."""


OPS: dict[str, Op] = {
    "append": Op(bringing("new"), 7, faulty=0.2),
    "late": Op(bringing("late"), 5, faulty=0.2),
    "again": Op(bringing("again"), 4, faulty=0.2),
    "clash": Op(bringing("clash"), 3, faulty=0.2),
    "correct": Op(bringing("correct"), 5, faulty=0.2),
    "bad_day": Op(bringing("bad"), 2, faulty=0.1),
    "mend": Op(bringing("mend"), 6, faulty=0.1),
    "bump": Op(bump, 5, faulty=0),
    "plan": Op(plan, 8, faulty=0),
    "force": Op(force, 4),
    "approve": Op(approve, 3),
    "apply": Op(apply, 10),
    "apply_old": Op(apply_old, 5),
    "run_all": Op(run_all, 12),
    "resume": Op(resume, 9),
    "give_up": Op(give_up, 4),
    "roll_back": Op(roll_back, 7),
    "waive": Op(waive, 3),
    "undo_part": Op(undo_part, 7),
    "pin": Op(pin, 4, faulty=0.2),
    "expire": Op(expire, 8),
    "clean": Op(clean, 9),
    "meddle": Op(meddle, 4, faulty=0),
    "jump": Op(jump, 3, faulty=0),
}
