"""Plans are exact: on random lakes, after whatever happened, against an oracle that shares no code with the planner."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from pathlib import Path

import pytest

from remint.model.plan import Plan
from remint.model.request import Request
from tests.planner.drawing import History
from tests.planner.lakes import Lake
from tests.planner.oracle import Table, begin, keys_read, moved, split

REGRESSIONS = Path(__file__).parent / "regressions.json"
HISTORIES = 2000
STEPS = 3
IN_ONE_TEST = 100

Units = dict[str, set[str]]


class Judge:
    """What a plan for one request must say, by the oracle, of a lake as it stands."""

    def __init__(self, lake: Lake, request: Request) -> None:
        self.lake, self.request, self.oracle = lake, request, lake.oracle
        self.contents = lake.contents
        self.domain = self.oracle.domain({name: set(rows) for name, rows in self.contents.items()})
        self.selected = selected(lake.tables, request.selectors)

    def is_asked(self, table: Table, key: str) -> bool:
        """Return whether the request names the unit: its dataset, and a day of its period."""
        span, (at, _) = self.request.range, split(table.cut, key)
        if table.name not in self.selected:
            return False
        if span is None or not at:
            return True
        first, end = begin(table.cut.grain, at), begin(table.cut.grain, moved(table.cut.grain, at, 1))
        return first < datetime.combine(span.end, time()) and end > datetime.combine(span.start, time())

    def is_stale(self, table: Table, key: str) -> bool:
        """Return whether the unit has no content, or was made by another logic or from something else."""
        head = self.lake.heads_now.get(table.name, {}).get(key)
        if head is None or head.is_missing or head.meaning != table.meaning:
            return True
        return head.reading != self.oracle.reading(table, key, self.contents)

    def stale(self) -> Units:
        """Return every stale unit, by dataset."""
        made = {n: t for n, t in self.lake.tables.items() if t.transform}
        return {n: {k for k in self.domain[n] if self.is_stale(t, k)} for n, t in made.items()}

    def reads_any(self, table: Table, key: str, affected: Mapping[str, set[str]]) -> bool:
        """Return whether the unit reads one of the units that a plan makes."""
        for read in table.reads:
            planned = affected.get(read.source, set())
            if planned and read.kind != "by_arrival":
                existing = planned | self.contents[read.source].keys() if read.kind == "latest" else planned
                if keys_read(table, read, self.lake.tables[read.source], key, existing) & planned:
                    return True
        return False

    def requirements(self, affected: Mapping[str, set[str]]) -> dict[tuple[str, bool], set[str]]:
        """Return everything that the plan reads, would read if it existed, or replaces."""
        found: dict[tuple[str, bool], set[str]] = {(n, False): set(keys) for n, keys in affected.items()}
        for table, key in ((self.lake.tables[n], k) for n, keys in affected.items() for k in keys):
            for read in table.reads:
                arrived, source = read.kind == "by_arrival", self.lake.tables[read.source]
                held = self.lake.arrived[read.source].keys() if arrived else self.contents[read.source].keys()
                for existing in [held] if arrived else [held, held | self.domain[read.source]]:
                    keys = keys_read(table, read, source, key, existing)
                    found.setdefault((read.source, arrived), set()).update(keys)
        return {place: keys for place, keys in found.items() if keys}


def selected(tables: Mapping[str, Table], selectors: Iterable[str]) -> set[str]:
    """Return the datasets with a transform that the selectors name."""
    chosen = set() if selectors else set(tables)
    for selector in selectors:
        if selector.startswith("layer:"):
            chosen |= {n for n in tables if n.startswith(f"{selector.removeprefix('layer:')}.")}
            continue
        name = selector.strip("+")
        chosen.add(name)
        for _ in tables if selector.endswith("+") else ():
            chosen |= {n for n, t in tables.items() if n == name or _reads(t) & _below(tables, name)}
        if selector.startswith("+"):
            chosen |= _above(tables, name)
    return {n for n in chosen if tables[n].transform}


def _reads(table: Table) -> set[str]:
    return {r.source for r in table.reads}


def _below(tables: Mapping[str, Table], name: str) -> set[str]:
    found = {name}
    for other, table in tables.items():  # upstream first
        found |= {other} if _reads(table) & found else set()
    return found


def _above(tables: Mapping[str, Table], name: str) -> set[str]:
    found = {name}
    for other in reversed(list(tables)):
        found |= _reads(tables[other]) if other in found else set()
    return found


def check(lake: Lake, request: Request, plan: Plan) -> None:
    """Compare a plan with what the oracle says: sound and minimal at once, because the sets are equal."""
    judge, stale = Judge(lake, request), {}
    stale = judge.stale()
    sure = {n: set(keys) for n, keys in plan.action_units(certain=True).items()}
    maybe = {n: set(keys) for n, keys in plan.action_units(certain=False).items()}
    affected = {n: set(keys) for n, keys in plan.units.items()}
    for name, keys in stale.items():
        table = lake.tables[name]
        asked = {k for k in judge.domain[name] if judge.is_asked(table, k)}
        wanted = asked if request.rebuild else asked & keys
        assert sure.pop(name, set()) == wanted, f"{name}: will run"
        rest = judge.domain[name] - wanted if name in judge.selected else set()
        assert maybe.pop(name, set()) == {k for k in rest if judge.reads_any(table, k, affected)}, f"{name}: may run"
    assert not sure
    assert not maybe
    assert {(r.dataset, r.arrived): set(r.keys) for r in plan.requirements} == judge.requirements(affected)
    untouched = {n: judge.domain[n] - affected.get(n, set()) - stale[n] for n in judge.selected}
    assert plan.fresh_units == sum(map(len, untouched.values()))


def check_sound(lake: Lake, plan: Plan) -> None:
    """Compare a plan of everything with a full rebuild: whatever that would change is in the plan."""
    contents, planned = lake.contents, plan.units
    published = {name: set(rows) for name, rows in contents.items()}
    for name, units in lake.oracle.rebuilt(published).items():
        different = {k for k, rows in units.items() if contents[name].get(k) != rows}
        assert different <= set(planned.get(name, ())), f"{name}: a full rebuild would change more"


def check_done(lake: Lake) -> None:
    """Compare what is published with a full rebuild."""
    contents = lake.contents
    published = {name: set(rows) for name, rows in contents.items()}
    for name, units in lake.oracle.rebuilt(published).items():
        assert {k: contents[name].get(k) for k in units} == units, f"{name}: not what a full rebuild gives"
    assert lake.plan(Request(requested_by="t")).is_empty


def check_folding(lake: Lake, ours: Plan) -> None:
    """Compare a plan with that of standings folded from the beginning: they can be thrown away at any time."""
    from_zero = copy.copy(lake)
    from_zero.kept = {}
    theirs = from_zero.plan(ours.request)
    assert (ours.units, ours.action_units(certain=True)) == (theirs.units, theirs.action_units(certain=True))
    assert (ours.requirements, ours.fresh_units) == (theirs.requirements, theirs.fresh_units)
    assert [a.reasons for a in ours.actions] == [a.reasons for a in theirs.actions]


def planned(history: History, *, is_full: bool) -> Plan | None:
    request = history.request(is_full=is_full)
    plan = history.plan(request)
    if plan is not None:
        check(history.lake, request, plan)
    if plan is not None and is_full:
        check_sound(history.lake, plan)
    return plan


def play(seed: int) -> None:
    """Run one history and check every plan of it."""
    history = History(seed)
    rng = history.rng
    events = [history.late_rows] * 4 + [history.new_logic] * 4 + [history.roll_back] * 2 + [history.leave]
    plan = planned(history, is_full=rng.random() < 0.8)
    if plan:
        history.apply(plan)
    for _ in range(STEPS):
        for event in rng.sample(events, rng.choice([1, 1, 2])):
            event()
        plan = planned(history, is_full=rng.random() < 0.3)
        if plan and not plan.is_empty and rng.random() < 0.8:
            history.apply(plan, meanwhile=rng.random() < 0.3)
    plan = planned(history, is_full=True)
    assert plan is not None
    check_folding(history.lake, plan)
    history.apply(plan)
    check_done(history.lake)


def replay(seeds: Iterable[int]) -> None:
    failed = {}
    for seed in seeds:
        try:
            play(seed)
        except Exception as error:  # noqa: BLE001 - every seed is played, and all that fail are named
            failed[seed] = f"{type(error).__name__}: {str(error)[:200]}"
    assert not failed, f"add to {REGRESSIONS.name}: {failed}"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, HISTORIES, IN_ONE_TEST))
def test_plans_of_random_histories_are_exact(first: int) -> None:
    replay(range(first, first + IN_ONE_TEST))


def test_histories_that_failed_once_stay_exact() -> None:
    seeds = json.loads(REGRESSIONS.read_text())
    assert seeds
    replay(seeds)
