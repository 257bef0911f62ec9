"""Projects drawn at random, with SQL for every mapping and grain, and what their tables must hold.

The oracle of planning (``tests.planner.oracle``) says which unit reads what; the rows are made here, in loops.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from remint.workspace import Workspace
from tests.e2e.projects import Project, contract
from tests.planner.oracle import (
    TENANTS,
    Cut,
    Landed,
    Oracle,
    Read,
    Table,
    begin,
    joined,
    keys_read,
    spelled,
    split,
    visible,
)

FIRST = datetime(2026, 10, 30)  # noqa: DTZ001 - a Friday; the month ends on Saturday, the week on Sunday
DAYS = 4
LIMIT = 100_003
STEP = {"hour": "INTERVAL 1 HOUR", "day": "INTERVAL 1 DAY", "week": "INTERVAL 7 DAY", "month": "INTERVAL 1 MONTH"}
LAST = {"week": "INTERVAL 6 DAY", "month": "INTERVAL 1 MONTH - INTERVAL 1 DAY", "day": "INTERVAL 0 DAY"}

Line = tuple[str, str, str, int]
"""Moment of the event, period of ingestion, tenant, amount."""
Found = list[tuple[str, int, int]]
"""Rows of one unit: tenant, number, amount."""


# -- drawing -----------------------------------------------------------------------------------------------------------


def drawn_bronze(rng: random.Random) -> Table:
    cut = Cut(rng.choice(["day", "day", "hour", "week", "month"]), rng.choice(["", "", "tenant"]))
    return Table(name="bronze.raw", cut=cut, events=Cut("day"))


def drawn_tables(rng: random.Random) -> dict[str, Table]:
    """Return a Bronze table and up to five that read it or each other."""
    tables = {"bronze.raw": drawn_bronze(rng)}
    while len(tables) < 5:
        name = f"{rng.choice(['silver', 'gold'])}.t{len(tables)}"
        source = rng.choice(list(tables.values()))
        read = _drawn_first(rng, source)
        if read is None:
            continue
        kind, grain = read
        label = "" if grain == "identity" else rng.choice(["", "", "version", source.cut.label])
        if label == "tenant" and (kind == "by_arrival" or source.cut.label != "tenant"):
            label = ""
        before, after = rng.choice([(1, 0), (2, 0), (1, 1), (0, 1)]) if kind == "window" else (0, 0)
        reads = [Read(alias="i0", source=source.name, kind=kind, before=before, after=after)]
        if rng.random() < 0.5:
            other = rng.choice(list(tables.values()))
            reads.append(Read(alias="i1", source=other.name, kind=rng.choice(["all", "latest"])))
        if grain != "identity" and rng.random() < 0.3:
            reads.append(Read(alias="own", source=name, kind="self_before", before=rng.randint(1, 2)))
        tables[name] = Table(name=name, cut=Cut(grain, label), reads=tuple(reads), transform="sum", salt=1)
    return tables


def _drawn_first(rng: random.Random, source: Table) -> tuple[str, str] | None:
    """Return the mapping and the grain of a dataset that takes its units from ``source``."""
    grain = source.cut.grain
    coarser = {"hour": ["day", "week", "month"], "day": ["week", "month"], "week": ["month"]}.get(grain, [])
    finer = {"month": ["week"], "week": ["day"], "day": ["hour"]}.get(grain, [])
    choices = [("same", grain)]
    choices += [("window", grain)] * 3 if grain != "identity" else []
    choices += [("roll_up", g) for g in coarser] + [("fan_out", g) for g in finer]
    choices += [("roll_up", "identity")] if source.cut.label == "tenant" else []
    choices += [("by_arrival", "day")] * 3 if source.events else []
    return rng.choice(choices)


# -- the project's files -----------------------------------------------------------------------------------------------


def files_of(tables: dict[str, Table]) -> dict[str, str]:
    """Return the text of every file of a project that declares ``tables``."""
    files = {"remint.toml": '[project]\nname = "drawn"\n[engine]\nmemory_limit = "256MB"\nthreads = 1\n'}
    files["datasets.py"] = "from remint import *\n\n" + "".join(map(_declaration, tables.values()))
    for table in tables.values():
        files[f"contracts/{table.name}.yaml"] = contract(_columns(table))
        if table.transform:
            files[f"sql/{table.name}.sql"] = sql_of(table, tables)
    return files


def _columns(table: Table) -> str:
    kind = {"hour": "TIMESTAMPTZ *\n", "identity": ""}.get(table.cut.grain, "DATE *\n")
    period = f"p {kind}" if kind else ""
    if not table.transform:
        return f"id BIGINT *\nevent_time TIMESTAMPTZ\ntenant VARCHAR\namount BIGINT\np {kind.replace(' *', '')}"
    return f"{period}tenant VARCHAR *\nevents BIGINT\namount BIGINT" + ("\nv VARCHAR *" if table.label else "")


def _declaration(table: Table) -> str:
    layer, name = table.name.split(".")
    by = ', by="tenant"' if table.cut.label == "tenant" else ""
    partition = 'identity("tenant")' if table.cut.grain == "identity" else f'{table.cut.grain}("p"{by})'
    if not table.transform:
        source = 'files("landing/*.jsonl", format="jsonl")'
        return f'bronze("{name}", partition={partition}, source={source}, arrivals=arrivals("event_time"))\n'
    inputs = ", ".join(f'"{r.alias}": {_input(r)}' for r in table.reads)
    version = f'logic_version({table.version}, column="v", old="keep")' if table.label else str(table.version)
    sql = f"sql/{table.name}.sql"
    return f'{layer}("{name}", partition={partition}, inputs={{{inputs}}}, sql="{sql}", version={version})\n'


def _input(read: Read) -> str:
    match read.kind:
        case "window":
            return f'window("{read.source}", before={read.before}, after={read.after})'
        case "self_before":
            return f"own(before={read.before})"
        case "all":
            return f'all_of("{read.source}")'
        case kind:
            return f'{kind}("{read.source}")'


def sql_of(table: Table, tables: dict[str, Table]) -> str:
    """Return the transform: sums by period and tenant, a reference added, what came before added."""
    first, *others = table.reads
    period, group = ("", "tenant") if table.cut.grain == "identity" else ("p, ", "p, tenant")
    total = f"coalesce(sum(amount), 0) * {table.salt}"
    if any(r.alias == "i1" for r in others):
        total += " + coalesce((SELECT sum(amount) FROM i1), 0)"
    amount = f"CAST(({total}) % {LIMIT} AS BIGINT)"
    sums = f"SELECT {period}tenant, count(*) AS events, {amount} AS amount /* {table.style} */ "
    sums += f"FROM ({_base(table, first, tables)}) GROUP BY {group}"
    own = next((r for r in others if r.alias == "own"), None)
    if own is None:
        return sums
    step = " + ".join([STEP[table.cut.grain]] * own.before)
    before = f"SELECT sum(o.amount) FROM own o WHERE o.tenant = g.tenant AND o.p < g.p AND o.p >= g.p - ({step})"
    amount = f"CAST((amount + coalesce(({before}), 0)) % {LIMIT} AS BIGINT)"
    return f"SELECT p, tenant, events, {amount} AS amount FROM ({sums}) g"


def _base(table: Table, read: Read, tables: dict[str, Table]) -> str:
    """Return the rows that count, each under the period in which it counts."""
    grain, theirs = table.cut.grain, tables[read.source].cut.grain
    kind = "TIMESTAMPTZ" if grain == "hour" else "DATE"
    match read.kind:
        case "by_arrival":
            return "SELECT CAST(event_time AS DATE) AS p, tenant, amount FROM i0"
        case "window":
            step = STEP[grain]
            return (
                "SELECT u.p, x.tenant, x.amount FROM (SELECT DISTINCT p FROM i0) u JOIN i0 x "
                f"ON x.p >= u.p - {read.before} * {step} AND x.p <= u.p + {read.after} * {step}"
            )
        case "roll_up" if grain != "identity":
            return f"SELECT CAST(date_trunc('{grain}', p) AS {kind}) AS p, tenant, amount FROM i0"
        case "fan_out":
            first = "date_trunc('week', p)" if grain == "week" else "p"
            last = "INTERVAL 23 HOUR" if grain == "hour" else LAST[theirs]
            moments = f"generate_series(CAST({first} AS TIMESTAMP), CAST(p + {last} AS TIMESTAMP), {STEP[grain]})"
            return f"SELECT CAST(u AS {kind}) AS p, tenant, amount FROM (SELECT *, unnest({moments}) AS u FROM i0)"
        case _:
            return "SELECT * FROM i0"


# -- what the tables must hold -----------------------------------------------------------------------------------------


class Expected:
    """Every table, from the landed lines alone."""

    def __init__(self, tables: dict[str, Table], lines: Iterable[Line], published: dict[str, set[str]]) -> None:
        arrived: dict[str, Found] = {}
        bronze: dict[str, Found] = {}
        cut = tables["bronze.raw"].cut
        for event, period, tenant, amount in lines:
            arrived.setdefault(event[:10], []).append((tenant, 1, amount))
            bronze.setdefault(joined(period, tenant if cut.label else ""), []).append((tenant, 1, amount))
        self.tables = tables
        self.arrived = arrived
        self.held: dict[str, dict[str, Found]] = {"bronze.raw": bronze}
        landed: Any = Landed(arrived={"bronze.raw": arrived}, bronze={"bronze.raw": bronze})
        domain = Oracle(tables.values(), landed).domain({**published, "bronze.raw": set(bronze)})
        for name, table in tables.items():
            if table.transform:
                self.held[name] = {}
                for key in sorted(domain[name]):
                    self.held[name][key] = self._unit(table, key)

    def _read(self, table: Table, read: Read, key: str) -> dict[str, Found]:
        held = self.arrived if read.kind == "by_arrival" else self.held[read.source]
        return {k: held[k] for k in keys_read(table, read, self.tables[read.source], key, held.keys())}

    def _unit(self, table: Table, key: str) -> Found:
        first, *others = table.reads
        found = self._read(table, first, key)
        time, value = split(table.cut, key)
        theirs = self.tables[first.source].cut
        if first.kind == "window" and not any(found.get(k) for k in found if split(theirs, k)[0] == time):
            return []
        if first.kind == "roll_up" and time:
            found = {
                k: r
                for k, r in found.items()
                if spelled(table.cut.grain, begin(theirs.grain, split(theirs, k)[0])) == time
            }
        rows = [row for rows in found.values() for row in rows]
        if table.cut.label == "tenant":
            rows = [row for row in rows if row[0] == value]
        extra = 0
        for read in (r for r in others if r.alias == "i1"):
            extra = sum(amount for rows in self._read(table, read, key).values() for _, _, amount in rows)
        before = next((r for r in others if r.alias == "own"), None)
        own = [row for found in (self._read(table, before, key).values() if before else ()) for row in found]
        made = []
        for tenant in sorted({t for t, _, _ in rows}):
            amounts = [amount for t, _, amount in rows if t == tenant]
            amount = (sum(amounts) * table.salt + extra) % LIMIT
            amount = (amount + sum(a for t, _, a in own if t == tenant)) % LIMIT
            made.append((tenant, len(amounts), amount))
        return made

    def rows(self, name: str) -> list[tuple[str, str, int, int]]:
        """Return the rows of a dataset with their keys, those of older versions left out."""
        return sorted((key, *row) for key, rows in self.held[name].items() for row in rows)


# -- the project -------------------------------------------------------------------------------------------------------


@dataclass
class Drawn(Project):
    """A drawn project and what was landed in it."""

    tables: dict[str, Table] = field(default_factory=dict)
    landed: list[Line] = field(default_factory=list)
    opened: Workspace | None = None
    """Opened once for all that is done under the same declarations."""

    def open(self) -> Workspace:
        if self.opened is None:
            self.opened = super().open()
        return self.opened

    def write(self) -> None:
        """Write all files of the project as its tables are now."""
        self.opened = None
        for name, text in files_of(self.tables).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def land_rows(self, rng: random.Random, count: int) -> None:
        """Land and ingest some rows, each in a period of ingestion of its own."""
        lines, periods = [], []
        for _ in range(count):
            at = FIRST + timedelta(days=rng.randrange(DAYS), hours=rng.choice([0, 7, 23]))
            periods.append(FIRST + timedelta(days=rng.randrange(DAYS), hours=rng.choice([0, 13])))
            lines.append((at.isoformat(), rng.choice(TENANTS), rng.randrange(1, 50)))
        self.land_lines(lines, periods)

    def land_lines(self, lines: list[tuple[str, str, int]], periods: list[datetime] | None = None) -> None:
        """Land and ingest rows of (moment, tenant, amount); without ``periods`` each is ingested as it happened."""
        grain, texts = self.tables["bronze.raw"].cut.grain, []
        for number, (at, tenant, amount) in enumerate(lines):
            period = spelled(grain, periods[number] if periods else datetime.fromisoformat(at))
            start = begin(grain, period)
            shown = start.replace(tzinfo=UTC).isoformat() if grain == "hour" else start.date().isoformat()
            row = {"id": len(self.landed), "event_time": f"{at}Z", "tenant": tenant, "amount": amount, "p": shown}
            self.landed.append((at, period, tenant, amount))
            texts.append(json.dumps(row))
        self.land(f"rows-{len(self.landed):04}", texts)
        self.ingest()

    def declare(self, table: Table) -> None:
        """Declare another logic of a dataset under the next version."""
        self.tables[table.name] = replace(table, version=table.version + 1)
        self.write()

    def units(self) -> dict[str, set[str]]:
        """Return the published units of every dataset."""
        return {n: set(s.present) for n, s in self.open().observe().standings.items() if n in self.tables}

    def compare(self) -> None:
        """Compare every table that apply writes, read by delta-rs alone, with the oracle."""
        expected = Expected(self.tables, self.landed, self.units())
        for name, table in self.tables.items():
            if table.transform:
                assert self._rows_of(table) == expected.rows(name), name

    def _rows_of(self, table: Table) -> list[tuple[str, str, int, int]]:
        found = []
        folder = self.root / "lake" / table.name.replace(".", "/")
        for row in DeltaTable(str(folder)).to_pyarrow_table().to_pylist():
            label = {"": "", "tenant": row["tenant"], "version": row.get("v", "")}[table.cut.label]
            at = row.get("p")
            time = "" if at is None else spelled(table.cut.grain, at)
            key = joined(time, label) if time else row["tenant"]
            if visible(table, {key}):
                found.append((key, row["tenant"], row["events"], row["amount"]))
        return sorted(found)


def drawn_project(root: Path, seed: int) -> Drawn:
    """Return a project with rows landed and nothing built."""
    rng = random.Random(seed)
    project = Drawn(root, tables=drawn_tables(rng))
    project.write()
    project.land_rows(rng, 12)
    return project
