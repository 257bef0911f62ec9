"""Histories: drawn from a seed, printed as a script, taken again step for step, and shrunk to what fails."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.sim.faults import KILLS, Kind
from tests.sim.ops import OPS, Driver, Step
from tests.sim.watch import Violation

FAILURES = Path(__file__).parent / "failures"
PAIRS = [(a, b) for a in OPS for b in OPS]
STEPS = 12
MOST_CALLS = 24
"""Calls of the longest steps, within which faults fall."""
WEIGHTS = {kind: 3 if kind in KILLS else 2 for kind in Kind}
Worlds = Callable[[int], Any]
"""Makes the project of a seed."""


@dataclass
class Coverage:
    """What histories have met."""

    steps: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Step, fault and the call that it struck."""
    violations: list[tuple[int, str, list[Step]]] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Calls at which a process was killed."""
        return sum(n for (_, kind, _), n in self.struck.items() if Kind(kind) in KILLS)

    @property
    def ops_min(self) -> int:
        """How often the rarest step was taken."""
        return min(sum(n for (_, op), n in self.pairs.items() if op == name) for name in OPS)

    def table(self) -> str:
        """Return what was struck, a line for each call and fault, with the steps in which."""
        found: dict[tuple[str, str], list[str]] = {}
        for (op, kind, call), count in sorted(self.struck.items()):
            found.setdefault((call, kind), []).append(f"{op} {count}")
        return "\n".join(f"{call:15} {kind:12} {', '.join(ops)}" for (call, kind), ops in sorted(found.items()))


def drawn(rng: random.Random, last: str, focus: tuple[str, str]) -> Step:
    """Return a step; ``focus`` is a pair of steps that this history is to meet."""
    op = rng.choices(list(OPS), [o.weight for o in OPS.values()])[0]
    if last == focus[0] and rng.random() < 0.7:
        op = focus[1]
    elif rng.random() < 0.2:
        op = focus[0]
    if rng.random() < OPS[op].faulty:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        return Step(op, rng.randrange(1 << 30), kind.value, int(rng.triangular(0, MOST_CALLS, 2)))
    return Step(op, rng.randrange(1 << 30))


def play(worlds: Worlds, seed: int, coverage: Coverage, *, steps: int = STEPS) -> list[Step]:
    """Play the history of ``seed`` and return its script.

    Raises:
        Violation: an invariant does not hold; ``coverage`` has the script.
    """
    rng = random.Random(f"history {seed}")
    focus = PAIRS[seed % len(PAIRS)]
    taken: list[Step] = []
    last = ""
    try:
        with judged():
            driver = Driver(worlds(seed))
            for _ in range(steps * 3):
                if len(taken) == steps:
                    break
                step = drawn(rng, last, focus)
                taken.append(step)
                if not driver.do(step):
                    taken.pop()
                    continue
                coverage.pairs[last, step.op] += 1
                coverage.steps += 1
                if driver.fault and driver.fault.hit:
                    coverage.struck[step.op, step.fault, driver.fault.hit[0]] += 1
                last = step.op
            driver.drain()
    except Violation as error:
        coverage.violations.append((seed, str(error), taken))
        raise
    return taken


def replay(worlds: Worlds, seed: int, script: Iterable[Step]) -> None:
    """Take the steps of a script again, those that find nothing to do left out.

    Raises:
        Violation: an invariant does not hold.
    """
    with judged():
        driver = Driver(worlds(seed))
        for step in script:
            driver.do(step)
        driver.drain()


@contextmanager
def judged() -> Iterator[None]:
    """Take an error that no step expects for a violation, too: whoever met it would not know how to go on."""
    try:
        yield
    except Violation:
        raise
    except Exception as error:
        raise Violation("I16", f"{type(error).__name__}: {error}") from error


def shrunk(worlds: Worlds, seed: int, script: Sequence[Step], rule: str) -> list[Step]:
    """Return a script from which no step can be left out without losing the violation of ``rule``."""

    def fails(steps: Sequence[Step]) -> bool:
        try:
            replay(worlds, seed, steps)
        except Violation as error:
            return error.rule == rule
        return False

    kept = list(script)
    size = max(1, len(kept) // 2)
    while size:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if fails(fewer):
                kept = fewer
            else:
                start += size
        size //= 2
    for number, step in enumerate(kept):
        plain = [*kept[:number], Step(step.op, step.seed), *kept[number + 1 :]]
        if step.fault and fails(plain):
            kept = plain
    return kept


def stored(name: str, world: str, seed: int, violation: str, script: Sequence[Step]) -> Path:
    """Write a history that failed where it is played again for ever."""
    path = FAILURES / f"{name}.json"
    text = {"world": world, "seed": seed, "violation": violation, "steps": [asdict(s) for s in script]}
    path.write_text(json.dumps(text, indent=1) + "\n")
    return path


def loaded(path: Path) -> tuple[str, int, list[Step]]:
    """Return the world, the seed and the script of a stored history."""
    found = json.loads(path.read_text())
    return found["world"], found["seed"], [Step(**step) for step in found["steps"]]
