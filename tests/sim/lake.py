"""A project drawn at random whose tables live in memory: declarations, landed rows, strangers, and what must be held.

Everything of remint is real but the table format and the engine; files and the state database lie on a disk in memory.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from remint.errors import RemintError
from remint.execution.doctor import Health
from remint.loading.project import Project
from remint.loading.quarantine import line_quarantine
from remint.loading.settings import CatalogSettings, Settings
from remint.model.dataset import Check, Dataset, FileSource, Logic
from remint.model.digest import text_digest
from remint.model.graph import DatasetGraph
from remint.model.provenance import ProvenanceRecord
from remint.model.request import Ask
from remint.planner.policy import Policy
from remint.publishing.tools import Tools
from remint.storage.local import LOCAL
from remint.store.sql_store import SqlStore, open_store
from remint.workspace import Workspace
from tests.e2e.crashes import armed
from tests.planner import drawing
from tests.planner.lakes import content_digest, declared
from tests.planner.oracle import TRANSFORMS, Cut, Landed, Oracle, Read, Reading, Row, Rows, Table
from tests.sim.faults import Fault
from tests.sim.memory import MemoryFormat, WatchedFormat
from tests.sim.row_engine import LEAST, RowEngine, by_event, read_file, write_file
from tests.sim.watch import Watch

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAYS = drawing.DAYS
BRONZE = "bronze.raw"
GRAINS = ("day", "week", "month")


class RowOracle(Oracle):
    """The planning oracle over partitions as files show them: one without rows is not there."""

    def reading(self, table: Table, key: str, contents: Mapping[str, Mapping[str, Rows]]) -> Reading:
        found = super().reading(table, key, contents)
        return {alias: {k: rows for k, rows in by_key.items() if rows} for alias, by_key in found.items()}


def drawn_tables(rng: random.Random) -> dict[str, Table]:
    """Return Bronze and up to five tables that read it or each other."""
    tables = {BRONZE: Table(name=BRONZE, cut=Cut(rng.choice(["day", "day", "month"])), events=Cut("day"))}
    wanted = rng.choice([1, 2, 2, 3, 3, 4, 5])
    while len(tables) <= wanted:
        table = drawing.drawn_table(rng, f"{rng.choice(['silver', 'gold'])}.t{len(tables)}", list(tables.values()))
        if table is None or table.cut != Cut(table.cut.grain) or table.cut.grain not in GRAINS:
            continue
        if any(r.kind == "latest" or (r.source == BRONZE and r.kind != "by_arrival") for r in table.reads):
            continue
        arrives = table.reads[0].kind == "by_arrival"
        tables[table.name] = replace(table, transform="latest" if arrives else rng.choice(TRANSFORMS), salt=1)
    return tables


def declared_dataset(table: Table, reads: list[Read]) -> Dataset:
    """Return the declaration of a table, with its source or its check."""
    made = declared(table, reads)
    if made.transform is None:
        return replace(made, key=("a", "c"), source=FileSource(url="landing/*.jsonl", format="jsonl"))
    logic = Logic(digest=digest_of(table), canonical=f"SELECT {table.salt}, {table.style}", canonicaliser="sim")
    checks = (Check(name=LEAST, sql="count(*) FILTER (b < 0)"),) if table.transform == "latest" else ()
    return replace(made, transform=replace(made.transform, logic=logic), checks=checks)


def digest_of(table: Table) -> str:
    """Return the digest of a table's logic."""
    return text_digest(repr(table.meaning))


class MemoryLake:
    """A project in memory and what was landed in it. One lives in a process at a time: they share a database file."""

    def __init__(self, root: Path, seed: int) -> None:
        """Draw the project of ``seed`` in the folder ``root``, which is emptied."""
        self.root = root
        self.rng = random.Random(seed)
        self.tables = drawn_tables(self.rng)
        self.known: dict[tuple[str, str], Table] = {}
        self.landed: list[str] = []
        """Lines by the order of their files' names, which is the order of ingest."""
        self.files: list[list[str]] = []
        self.format = MemoryFormat()
        self.store = fresh_store(root)
        (root / "landing").mkdir(exist_ok=True)
        self.at, self.ticks, self.looks = NOON, 0, 0
        self.watch = Watch(self)
        self._graph: DatasetGraph | None = None
        self.engine = RowEngine(self.known, self.tables)
        self._declare()

    # -- opening it ----------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return a minute after the last time, wherever the clock stands."""
        self.ticks += 1
        self.at += timedelta(minutes=1)
        return self.at

    def seconds(self) -> float:
        """Return a time that makes everybody's patience end at once."""
        self.looks += 1
        return self.looks * 100.0

    def jump(self, rng: random.Random) -> None:
        """Set the clock forth or back, as an administrator does."""
        self.at += timedelta(hours=rng.choice([-200, -30, -1, 1, 30, 200]))

    def _declare(self) -> None:
        for table in self.tables.values():
            if table.transform:
                self.known[table.name, digest_of(table)] = table
        self._graph = None

    @property
    def graph(self) -> DatasetGraph:
        """The datasets as they are declared now."""
        if self._graph is None:
            reads = [r for t in self.tables.values() for r in t.reads]
            datasets = [declared_dataset(t, reads) for t in self.tables.values()]
            self._graph = DatasetGraph.build([*datasets, line_quarantine(datasets[0])])
        return self._graph

    def open(self, fault: Fault | None = None) -> Workspace:
        """Return the project opened anew, as another process would."""
        workspace = Workspace.__new__(Workspace)
        workspace.root = self.root
        workspace._emit, workspace._clock = lambda _: None, self.now
        workspace._new_id, workspace._stopwatch = lambda: f"{self.ticks:05x}", self.seconds
        settings = Settings(
            name="sim",
            lake=str(self.root / "lake"),
            format="memory",
            catalog=CatalogSettings(name="", url=""),
            store_url="",
            store_wait_s=0,
            memory_limit="",
            threads=1,
            views=None,
            policy=Policy(),
            keep_days=30,
            user="tester",
        )
        workspace.project = Project(
            name="sim",
            root=self.root,
            settings=settings,
            graph=self.graph,
            warnings=(),
            functions={},
            owners={},
            engines={},
        )
        workspace.__dict__["_tools"] = Tools(
            store=as_another_process(self.store),
            storage=LOCAL,
            tables=WatchedFormat(self.format, self.watch.committing, self.watch.committed),  # type: ignore[arg-type]
            start_engine=lambda: self.engine,  # type: ignore[arg-type,return-value]
            root=self.root,
            lake=str(self.root / "lake"),
            scratch=self.root / ".remint" / "tmp",
            clock=self.now,
            stopwatch=self.seconds,
            emit=lambda _: None,
            lease_seconds=60,
            credential=lambda _: None,
            function_of=lambda _: None,
        )
        if fault is None:
            return workspace
        fault.tear = lambda table, *_: self.format.tear(table)
        return armed(workspace, fault)  # type: ignore[arg-type]

    # -- what suppliers, authors and strangers do ----------------------------------------------------------------------

    def land(self, rng: random.Random, what: str) -> bool:
        """Write a source file; False where there is nothing to correct or to repeat."""
        lines = self._lines(rng, what)
        if not lines:
            return False
        self.files.append(lines)
        path = self.root / "landing" / f"f{len(self.files):04}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return True

    def _lines(self, rng: random.Random, what: str) -> list[str]:
        rows = self.rows_landed()
        number, latest = len(rows), _latest(rows)
        first = drawing.FIRST.toordinal()
        match what:
            case "new":
                day = first + rng.randrange(DAYS)
                return [_line(number + n, rng.randrange(4), 0, day) for n in range(rng.randint(1, 3))]
            case "late":
                days = sorted({row[3] for row in rows})
                return [_line(number, rng.randrange(4), 0, rng.choice(days))] if days else []
            case "again":
                return rng.choice(self.files) + rng.choice([[], ["no row"]]) if self.files else []
            case "clash" if rows:
                a, b, c, day = rng.choice(rows)
                return [_line(a, b + 1, c, day)]
            case "correct" if rows:
                a, b, c, day = latest[rng.choice(sorted(latest))]
                return [_line(a, abs(b) + 1, c + 1, day)]
            case "bad" if rows:
                a, _, c, day = latest[rng.choice(sorted(latest))]
                return [_line(a, -1, c + 1, day)]
            case "mend":
                return [_line(a, 2, c + 1, day) for a, b, c, day in latest.values() if b < 0]
        return []

    def rows_landed(self) -> list[Row]:
        """Return the rows of all files, in the order of ingest: of those that share id and version, the first."""
        found: dict[tuple[int, int], Row] = {}
        for lines in self.files:
            for line in lines:
                if line.startswith("["):
                    row = tuple(json.loads(line))
                    found.setdefault((row[0], row[2]), row)
        return list(found.values())

    def bump(self, rng: random.Random) -> bool:
        """Declare another logic of a dataset under the next version."""
        table = self.tables[rng.choice([n for n, t in self.tables.items() if t.transform])]
        change = rng.choice(["salt", "salt", "style", "reach"])
        new = replace(table, style=table.style + 1)
        if change == "salt":
            new = replace(table, salt=table.salt + 1)
        if change == "reach":
            new = replace(table, reads=tuple(_other_reach(rng, r) for r in table.reads))
        self.tables[table.name] = replace(new, version=table.version + 1)
        self._declare()
        return True

    def meddle(self, rng: random.Random) -> bool:
        """Write to a table as somebody who is not remint."""
        places = {n: str(self.root / "lake" / n) for n, t in self.tables.items() if t.transform}
        places = {n: p for n, p in places.items() if self.format.tables.get(p, [None])[-1] and self._live(p)}
        if not places:
            return False
        name = rng.choice(sorted(places))
        live = self._live(places[name])
        key = rng.choice(sorted(live))
        rows = tuple(row for path in sorted(live[key]) for row in read_file(places[name], path)[1])
        act = rng.choice(["append", "overwrite", "delete", "compact"])
        token = f"stranger-{self.ticks}-{len(self.format.tables[places[name]])}"
        written = {"append": rows, "overwrite": rows[1:], "delete": (), "compact": rows}[act]
        file = write_file(places[name], token, key, written) if written else None
        new = frozenset({file.path} if file else ())
        self.format.overwrite(
            places[name], key, live[key] | new if act == "append" else new, file.size_bytes if file else 0
        )
        self.watch.meddled(name, key, new)
        return True

    def _live(self, place: str) -> Mapping[str, frozenset[str]]:
        return self.format.tables[place][-1].live

    def other_run(self, rng: random.Random) -> None:
        """Bring a row and run what is stale, as another process would in the middle of a run."""
        try:
            if self.land(rng, rng.choice(["new", "late", "correct"])):
                self.open().ingest((), Ask(reason="other"))
            if rng.random() < 0.7:
                self.watch.run_all(self.open())
        except RemintError:
            return

    # -- what it holds -------------------------------------------------------------------------------------------------

    @property
    def made(self) -> list[str]:
        """Datasets that apply makes."""
        return [n for n, t in self.tables.items() if t.transform]

    def days(self) -> list[date]:
        """Return the days that events fall on."""
        first = drawing.FIRST.toordinal()
        return [date.fromordinal(first + n) for n in range(DAYS)]

    def folder(self, name: str) -> Path:
        """Return the folder of a table."""
        return self.root / "lake" / self.graph[name].location

    def rows(self, record: ProvenanceRecord) -> Rows:
        """Return the rows of a unit, read from its files."""
        place = str(self.folder(record.dataset))
        return tuple(row for file in record.files for row in read_file(place, file.path)[1])

    def broken(self, record: ProvenanceRecord) -> str:
        """Return in words what the rows of a unit are that they must not be."""
        rows = self.rows(record)
        if str(content_digest(rows)) != record.digest:
            return "its digest is not that of its rows"
        is_checked = self.tables[record.dataset].transform == "latest" if record.dataset in self.tables else False
        return "a row that fails a check is visible" if is_checked and any(row[1] < 0 for row in rows) else ""

    def all_ingested(self) -> bool:
        """Return whether every landed file is in Bronze."""
        return len(self.store.source_files(BRONZE)) == len(self.files)

    def differences(self) -> list[str]:
        """Return in words where the ledger holds other rows than a full rebuild gives."""
        rows = self.rows_landed()
        arrived = {day: tuple(row[:3] for row in found) for day, found in by_event(rows).items()}
        records = {name: self.store.records(name) for name in self.made}
        held = {n: {k: self.rows(r) for k, r in units.items() if r.fingerprint} for n, units in records.items()}
        bronze = {name: dict.fromkeys(self.store.records(name), ("",)) for name in (BRONZE,)}
        oracle = RowOracle(self.tables.values(), Landed(arrived={BRONZE: arrived}, bronze=bronze))  # type: ignore[arg-type]
        wanted = oracle.rebuilt({n: set(units) for n, units in held.items()})
        found = []
        bronze_rows = sorted(row for r in self.store.records(BRONZE).values() for row in self.rows(r))
        if bronze_rows != sorted(rows):
            found.append(f"{BRONZE}: {len(bronze_rows)} rows, landed were {len(rows)}")
        for name in self.made:
            for key in sorted({*wanted[name], *held[name]}):
                has, must = held[name].get(key), wanted[name].get(key)
                if must is None or has is None or sorted(has) != sorted(must):
                    found.append(f"{name} {key}: holds {has}, must hold {must}")
        return found

    def sound(self) -> list[str]:
        """Return what doctor finds, apart from the commits that a power cut emptied."""
        found = [s.detail for s in self.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]
        return [detail for detail in found if "is empty" not in detail]


def _line(*row: int) -> str:
    return json.dumps(row)


def _latest(rows: list[Row]) -> dict[int, Row]:
    return {row[0]: row for row in sorted(rows, key=lambda r: r[2])}


def _other_reach(rng: random.Random, read: Read) -> Read:
    if read.kind == "window":
        before, after = rng.choice([(1, 0), (0, 1), (1, 1), (2, 0)])
        return replace(read, before=before, after=after)
    return replace(read, before=3 - read.before) if read.kind == "self_before" else read


def as_another_process(store: SqlStore) -> SqlStore:
    """Return a store over the same database that holds no run."""
    other = copy.copy(store)
    other._held = {}
    return other


_STORES: dict[Path, tuple[SqlStore, bytes]] = {}


def fresh_store(root: Path) -> SqlStore:
    """Return the store of ``root``, empty, and empty the folder.

    One store of a process is used again and again: compiling its statements anew takes longer than a history.
    """
    if root in _STORES:
        _STORES[root][0].close()
    root.mkdir(parents=True, exist_ok=True)
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if root not in _STORES:
        store = open_store("sqlite:///state.db", root)
        store.close()
        _STORES[root] = store, (root / "state.db").read_bytes()
    store, empty = _STORES[root]
    (root / "state.db").write_bytes(empty)
    return store
