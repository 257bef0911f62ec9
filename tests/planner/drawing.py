"""Random lakes and what happens to them: every choice comes from one seed."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, datetime, timedelta

from remint.errors import InvalidRange
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.request import Mode, Request
from tests.planner.lakes import Lake, Staging
from tests.planner.oracle import COLUMNS, TENANTS, TRANSFORMS, Cut, Read, Row, Rows, Table, joined, spelled

FIRST = datetime(2026, 10, 29)  # noqa: DTZ001 - a Thursday; a month ends on Saturday and a week on Sunday
DAYS = 5
FINER = {"hour": (), "day": ("hour",), "week": ("hour", "day"), "month": ("hour", "day", "week"), "identity": ()}
MOST_UNITS = 60
ZONES = ("Europe/Madrid", "America/New_York", "Asia/Kolkata")


# -- tables ------------------------------------------------------------------------------------------------------------


def legal_kinds(mine: Cut, source: Table) -> list[str]:
    """Return the mappings by which a dataset that is cut so may read ``source``."""
    theirs = source.cut
    found = ["all", "latest"]
    is_alike = (mine.grain, mine.zone) == (theirs.grain, theirs.zone)
    is_timed = mine.grain != "identity"
    if is_alike:
        found += ["same"]
    if is_alike and is_timed:
        found += ["window", "window"]
    if theirs.grain in FINER[mine.grain] or (not is_timed and theirs.label == "tenant"):
        found += ["roll_up", "roll_up"]
    if mine.grain in FINER[theirs.grain] or (mine.label == "tenant" and theirs.grain == "identity"):
        found += ["fan_out", "fan_out"]
    events = source.events
    if events and events.grain == mine.grain and mine.zone == "UTC":
        fits = events.label == mine.label or (mine.label == "version" and not events.label)
        found += ["by_arrival"] * 4 if fits else []
    return found


def gives_units(mine: Cut, source: Table, kind: str) -> bool:
    """Return whether an input says which units there are."""
    if kind in ("all", "latest"):
        return False
    theirs = source.events if kind == "by_arrival" else source.cut
    assert theirs
    return mine.label != "tenant" or theirs.label == "tenant"


def drawn_read(rng: random.Random, alias: str, source: Table, kind: str) -> Read:
    before, after = rng.choice([(1, 0), (2, 0), (0, 1), (1, 1), (3, 0)]) if kind == "window" else (0, 0)
    columns = tuple(sorted(rng.sample(COLUMNS, rng.randint(1, 2)))) if rng.random() < 0.4 else None
    return Read(
        alias=alias,
        source=source.name,
        kind=kind,
        before=before,
        after=after,
        columns=None if kind == "by_arrival" else columns,
    )


def drawn_cut(rng: random.Random) -> Cut:
    grain = rng.choices(["day", "month", "week", "hour", "identity"], [8, 3, 3, 1, 2])[0]
    label = "" if grain == "identity" else rng.choices(["", "tenant", "version"], [5, 2, 1])[0]
    zone = rng.choice(ZONES) if grain in ("day", "week", "month") and rng.random() < 0.08 else "UTC"
    return Cut(grain, label, zone)


def drawn_table(rng: random.Random, name: str, known: list[Table]) -> Table | None:
    """Return a dataset that reads some of ``known``; None where the draw makes none."""
    cut = drawn_cut(rng)
    first = rng.choice(known)
    kinds = [k for k in legal_kinds(cut, first) if gives_units(cut, first, k)]
    if not kinds:
        return None
    reads = [drawn_read(rng, "i0", first, rng.choice(kinds))]
    for number in range(rng.choice([0, 0, 1, 1, 2])):
        source = rng.choice(known)
        reads.append(drawn_read(rng, f"i{number + 1}", source, rng.choice(legal_kinds(cut, source))))
    if cut.grain != "identity" and rng.random() < 0.2:
        reads.append(Read(alias="own", source=name, kind="self_before", before=rng.randint(1, 2)))
    return Table(name=name, cut=cut, reads=tuple(reads), transform=rng.choice(TRANSFORMS))


def drawn_lake(rng: random.Random) -> Lake:
    """Return a lake of up to 12 datasets with a few days of rows and nothing built yet."""
    events = [Cut("day"), Cut("day"), Cut("day", "tenant"), Cut("hour"), Cut("hour", "tenant")]
    bronze = [
        Table(name=f"bronze.b{n}", cut=Cut(rng.choice(["day", "day", "month"])), events=rng.choice(events))
        for n in range(rng.choice([1, 1, 2]))
    ]
    lake = Lake({t.name: t for t in bronze})
    for number, table in enumerate(bronze):
        land(lake, rng, f"r-first-{number}", table, rng.randint(3, 6))
    for number in range(rng.choice([1, 2, 3, 4, 5, 6, 8, 10])):
        name = f"{rng.choice(['silver', 'gold'])}.t{number}"
        table = drawn_table(rng, name, list(lake.tables.values()))
        if table is None:
            continue
        lake.tables[name] = table
        units = lake.oracle.domain({n: set(rows) for n, rows in lake.contents.items()})[name]
        if not 0 < len(units) <= MOST_UNITS:
            del lake.tables[name]
    return lake


# -- rows --------------------------------------------------------------------------------------------------------------


def land(lake: Lake, rng: random.Random, run_id: str, table: Table, count: int) -> None:
    """Ingest ``count`` rows; some of them count for a second day too, as a row that was moved does."""
    partitions: dict[str, Rows] = {}
    events: dict[str, Rows] = {}
    assert table.events
    for _ in range(count):
        row: Row = (rng.randrange(4), rng.randrange(3), rng.randrange(2))
        at, tenant = FIRST + timedelta(days=rng.randrange(DAYS), hours=rng.choice([0, 5, 23])), rng.choice(TENANTS)
        arrived = spelled(table.cut.grain, FIRST + timedelta(days=rng.randrange(DAYS)))
        partitions[arrived] = (*partitions.get(arrived, ()), row)
        moments = [at] if rng.random() < 0.85 else [at, FIRST + timedelta(days=rng.randrange(DAYS))]
        value = tenant if table.events.label else ""
        for event in {joined(spelled(table.events.grain, m), value) for m in moments}:
            events[event] = (*events.get(event, ()), row)
    lake.ingest(run_id, table.name, partitions, events)


# -- one history -------------------------------------------------------------------------------------------------------


class History:
    """A lake and what happened to it so far."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lake = drawn_lake(self.rng)
        self.applied: list[str] = []
        """Runs that may be rolled back."""
        self.meanings: dict[str, list[Table]] = {}
        """Earlier logics of a dataset, to go back to."""
        self.gone: list[Table] = []
        """Datasets that left the graph."""
        self.count = 0

    def new_run(self) -> str:
        self.count += 1
        return f"r{self.count:03}"

    # -- what may happen -----------------------------------------------------------------------------------------------

    def late_rows(self) -> None:
        table = self.rng.choice([t for t in self.lake.tables.values() if t.events])
        land(self.lake, self.rng, self.new_run(), table, self.rng.randint(1, 2))

    def new_logic(self) -> None:
        """Raise the version of a dataset: another constant, another spelling, another reach, or an earlier logic."""
        made = [t for t in self.lake.tables.values() if t.transform]
        if not made:
            return
        table = self.rng.choice(made)
        known = self.meanings.setdefault(table.name, [])
        change = self.rng.choice(["salt", "style", "reach", "back"])
        new = replace(table, style=table.style + 1)
        if change == "salt":
            new = replace(table, salt=table.salt + 1)
        elif change == "reach":
            new = replace(table, reads=tuple(self._other_reach(r) for r in table.reads))
        elif change == "back" and known:
            new = self.rng.choice(known)
        known.append(table)
        self.lake.tables[table.name] = replace(new, version=table.version + 1)

    def _other_reach(self, read: Read) -> Read:
        if read.kind == "window":
            before, after = self.rng.choice([(1, 0), (0, 1), (1, 1), (2, 0)])
            return replace(read, before=before, after=after)
        if read.kind == "self_before":
            return replace(read, before=3 - read.before)
        return read

    def leave(self) -> None:
        """Take a dataset that nobody reads out of the graph, or bring back one that had left."""
        back = [t for t in self.gone if all(r.source in self.lake.tables or r.source == t.name for r in t.reads)]
        if back and self.rng.random() < 0.6:
            table = self.rng.choice(back)
            self.gone.remove(table)
            self.lake.tables[table.name] = table
            return
        read = {r.source for t in self.lake.tables.values() for r in t.reads if r.source != t.name}
        free = [t for t in self.lake.tables.values() if t.transform and t.name not in read]
        if len(free) > 1:
            table = self.rng.choice(free)
            del self.lake.tables[table.name]
            self.gone.append(table)

    def roll_back(self) -> None:
        if self.applied:
            undone = self.rng.choice(self.applied[-3:])
            known = {r.dataset for r in self.lake.ledger if r.run_id == undone} <= set(self.lake.tables)
            if known and self.lake.roll_back(self.new_run(), undone):
                self.applied.remove(undone)

    # -- plans ---------------------------------------------------------------------------------------------------------

    def request(self, *, is_full: bool = False) -> Request:
        if is_full:
            return Request(requested_by="t")
        names = [n for n, t in self.lake.tables.items() if t.transform] or list(self.lake.tables)
        name = self.rng.choice(names)
        selectors = self.rng.choice([(), (name,), (f"{name}+",), (f"+{name}",), ("layer:bronze", f"+{name}")])
        first = date(FIRST.year, FIRST.month, FIRST.day) + timedelta(days=self.rng.randrange(DAYS))
        last = first + timedelta(days=self.rng.randrange(3))
        span = DateRange.parse(f"{first}..{last}") if self.rng.random() < 0.5 else None
        rebuild = self.rng.random() < 0.15
        mode = Mode.BACKFILL if rebuild or span else Mode.INCREMENTAL
        return Request(
            selectors=selectors, range=span, rebuild=rebuild, mode=mode, override_state=False, requested_by="t"
        )

    def plan(self, request: Request) -> Plan | None:
        """Return the plan; None where the range names nothing."""
        try:
            return self.lake.plan(request, batch_rows=self.rng.choice([1, 3, 4_000_000]))
        except InvalidRange:
            return None

    def apply(self, plan: Plan, *, meanwhile: bool = False) -> None:
        """Stage and record a plan; ``meanwhile``, others record before it reads, and again before it records."""
        if meanwhile:
            self.late_rows()
            if self.lake.outdated(plan):
                return
        staged = Staging(self.lake, plan)
        if meanwhile:
            self.rng.choice([self.late_rows, self.other_run])()
        run_id = self.new_run()
        if self.lake.record_run(run_id, plan, staged) and any(staged.piece.staged.values()):
            self.applied.append(run_id)

    def other_run(self) -> None:
        plan = self.plan(self.request())
        if plan and not plan.is_empty:
            self.apply(plan)
