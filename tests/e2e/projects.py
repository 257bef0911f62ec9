"""A project of three layers in a folder, what can be done to it, and what its tables must then hold.

The oracle (``expected``) knows the landed lines and nothing else: row lists and loops, no SQL, no code of remint.
"""

from __future__ import annotations

import atexit
import gc
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from deltalake import DeltaTable

from remint.cli.main import cli
from remint.model.partition import DateRange
from remint.model.plan import Plan
from remint.model.request import Ask, Mode, Request
from remint.model.run import Run
from remint.workspace import Workspace
from tests.buckets import Bucket
from tests.databases import Server
from tests.e2e.lakehouses import LAKEHOUSES, Lakehouse

lake_on: Bucket | None = None
"""The server on which new projects keep their tables; None for a folder. The fixture ``on_s3`` sets it."""
state_on: Server | None = None
"""The server on which new projects keep their state; None for a SQLite file. The fixture ``on_postgres`` sets it."""
tables_in = "delta"
"""The format in which new projects keep their tables. The fixture ``on_iceberg`` sets it."""

DATASETS = """\
from remint import arrivals, bronze, by_arrival, day, files, gold, json_payload, month, roll_up, same, silver, trailing

FACTOR = 1
WINDOW = 7
VERSION = 1

bronze("events", partition=day("ingestion_date"), arrivals=arrivals("event_time"),
       source=files("landing/*.jsonl*", format="jsonl", ingested_at="ingested_at"))

silver("events", partition=day("event_date"), inputs={"raw": by_arrival("bronze.events")}, sql="sql/events.sql",
       keep=("updated_at",), version=VERSION,
       parse=json_payload("raw", column="payload", fields={"tenant": "VARCHAR", "amount": "BIGINT"}))


@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")}, version=VERSION)
def daily() -> str:
    return f'''
        SELECT event_date, tenant, count(*) AS events, CAST(sum(amount) * {FACTOR} AS BIGINT) AS amount
        FROM events GROUP BY event_date, tenant
    '''


@gold("trend", partition=day("event_date"), inputs={"days": trailing("gold.daily", before=WINDOW)},
      metrics={"week": "sum(week)"}, version=VERSION)
def trend() -> str:
    return f'''
        SELECT event_date, tenant, CAST(sum(amount) OVER (
            PARTITION BY tenant ORDER BY event_date
            RANGE BETWEEN INTERVAL {WINDOW} DAYS PRECEDING AND CURRENT ROW) AS BIGINT) AS week
        FROM days
    '''


gold("monthly", partition=month("event_month"), inputs={"days": roll_up("gold.daily")}, sql="sql/monthly.sql",
     version=VERSION)
"""

EVENTS_SQL = """\
SELECT event_id, event_time, updated_at, tenant, amount,
    CAST(event_time AS DATE) AS event_date
FROM raw
"""
MONTHLY_SQL = """\
SELECT CAST(date_trunc('month', event_date) AS DATE) AS event_month, tenant,
    CAST(sum(events) AS BIGINT) AS events, CAST(sum(amount) AS BIGINT) AS amount
FROM days
GROUP BY event_month, tenant
"""


def contract(columns: str, more: str = "") -> str:
    """Return a contract with one column a line: ``name TYPE``, ``*`` for a key column, ``>=0`` for a minimum."""
    lines = []
    for position, line in enumerate(columns.strip().splitlines()):
        name, kind, *marks = line.split()
        extra = f", primaryKey: true, primaryKeyPosition: {position + 1}" if "*" in marks else ""
        extra += ", logicalTypeOptions: {minimum: 0}" if ">=0" in marks else ""
        lines.append(f"      - {{name: {name}, physicalType: {kind}, required: true{extra}}}\n")
    head = "apiVersion: v3.1.0\nkind: DataContract\nid: a-contract\nversion: 1.0.0\nstatus: active\n"
    return f"{head}schema:\n  - name: a_table\n    properties:\n{''.join(lines)}{more}"


FILES: Mapping[str, str] = {
    "remint.toml": '[project]\nname = "events"\n[engine]\nmemory_limit = "512MB"\nthreads = 1\n',
    "datasets.py": DATASETS,
    "sql/events.sql": EVENTS_SQL,
    "sql/monthly.sql": MONTHLY_SQL,
    "contracts/bronze.events.yaml": contract(
        "event_id VARCHAR *\nevent_time TIMESTAMPTZ\nupdated_at TIMESTAMPTZ *\npayload VARCHAR\n"
        "ingested_at TIMESTAMPTZ\ningestion_date DATE"
    ),
    "contracts/silver.events.yaml": contract(
        "event_id VARCHAR *\nevent_time TIMESTAMPTZ\nupdated_at TIMESTAMPTZ\ntenant VARCHAR\namount BIGINT >=0\n"
        "event_date DATE"
    ),
    "contracts/gold.daily.yaml": contract("event_date DATE *\ntenant VARCHAR *\nevents BIGINT\namount BIGINT"),
    "contracts/gold.trend.yaml": contract("event_date DATE *\ntenant VARCHAR *\nweek BIGINT"),
    "contracts/gold.monthly.yaml": contract("event_month DATE *\ntenant VARCHAR *\nevents BIGINT\namount BIGINT"),
}

FIRST_DAY = date(2026, 9, 20)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
TABLES = ("bronze.events", "bronze.events_quarantine", "silver.events", "silver.events_quarantine")
TABLES += ("gold.daily", "gold.trend", "gold.monthly")
MADE = TABLES[2:]
"""Tables that apply writes."""

Rows = list[tuple[Any, ...]]


def day_at(number: int) -> str:
    """Return the key of the ``number``-th day of the history."""
    return (FIRST_DAY + timedelta(days=number)).isoformat()


def event(
    number: int, day: int, amount: Any = 10, *, tenant: str | None = None, version: int = 0
) -> dict[str, str | dict[str, Any]]:
    """Return one event of the history; ``version`` counts its corrections."""
    at = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    at += timedelta(days=day, minutes=number % 1440)
    return {
        "event_id": f"e-{number}",
        "event_time": at.isoformat(),
        "updated_at": (at + timedelta(hours=version)).isoformat(),
        "payload": {"tenant": tenant or f"t{number % 3}", "amount": amount},
    }


def version(name: str, day: int, number: int, amount: Any = 10) -> dict[str, Any]:
    """Return a version of the event ``name`` that says ``day``; the one with the highest number is the latest."""
    midnight = datetime.fromisoformat(day_at(day)).replace(tzinfo=UTC)
    return {
        "event_id": name,
        "event_time": (midnight + timedelta(hours=3)).isoformat(),
        "updated_at": (datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=number)).isoformat(),
        "payload": {"tenant": "t1", "amount": amount},
    }


def history(days: int, each: int = 3) -> list[dict[str, Any]]:
    """Return ``each`` events on every one of ``days`` days."""
    return [event(d * each + i, d, 10 + (d * 7 + i * 3) % 50) for d in range(days) for i in range(each)]


def line_of(entry: Mapping[str, Any]) -> str:
    """Return an event as it is landed: one JSON object whose payload is JSON text."""
    return json.dumps({**entry, "payload": json.dumps(entry["payload"])})


@dataclass
class Project:
    """A project folder and what was landed in it."""

    root: Path
    factor: int = 1
    window: int = 7
    version: int = 1
    lines: list[str] = field(default_factory=list)
    """Every line that was landed, in the order of ingest."""
    versions_meet: bool = False
    """Rows of one event_id are versions of one event, whichever day they name."""
    ticks: int = 0
    """Minutes since noon: the clock and the ids of runs go by it."""
    server: Server | None = None
    """Where its state is kept; None for a SQLite file."""
    database: str = ""
    format: str = "delta"
    """In which its tables are kept."""
    bucket: Bucket | None = None
    """Where its tables are kept; None for a folder."""
    lake: str = ""
    """URL of its tables in the bucket."""

    def now(self) -> datetime:
        """Return the next minute."""
        self.ticks += 1
        return NOON + timedelta(minutes=self.ticks)

    def open(self) -> Workspace:
        """Return the project opened anew, as another process would."""
        return Workspace(self.root, clock=self.now, new_id=lambda: f"{self.ticks:04x}")

    def clone(self, root: Path) -> Project:
        """Return a copy in another folder, with all its state."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        copy = replace(self, root=root, lines=list(self.lines))
        copy.lakehouse.moved(self.top)
        if self.server:
            copy.keep_state_in(self.server.new_database(like=self.database))
        if self.bucket:
            copy.keep_tables_in(self.bucket)
            for path, content in self.files().items():
                copy.put(path, content)
        return copy

    def keep_state_in(self, database: str, url: str = "") -> None:
        """Name a database on the server, reached by ``url``, as the place of the project's state."""
        assert self.server
        self.database, path = database, self.root / "remint.toml"
        kept = [line for line in path.read_text().splitlines() if line != "[store]" and not line.startswith("url = ")]
        path.write_text("\n".join([*kept, "[store]", f'url = "{url or self.server.url(database)}"', ""]))

    def keep_tables_in(self, bucket: Bucket) -> None:
        """Name a new place in a bucket as the place of the project's tables."""
        self.bucket, self.lake, path = bucket, bucket.new_lake(), self.root / "remint.toml"
        kept = [line for line in path.read_text().splitlines() if line != "[paths]" and not line.startswith("lake = ")]
        path.write_text("\n".join([*kept, "[paths]", f'lake = "{self.lake}"', ""]))

    # -- what people do to it --------------------------------------------------------------------------------------

    def land(self, name: str, events: Iterable[Mapping[str, Any] | str]) -> Path:
        """Write a source file; a text stands for a line as it is."""
        texts = [e if isinstance(e, str) else line_of(e) for e in events]
        self.lines += texts
        path = self.root / "landing" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{t}\n" for t in texts))
        return path

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the project, which must be there, and raise the version of all logic."""
        self._replace(file, old, new)
        if "VERSION = " in (self.root / "datasets.py").read_text():
            self.version += 1
            self._replace("datasets.py", f"VERSION = {self.version - 1}\n", f"VERSION = {self.version}\n")

    def _replace(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new))

    def set_factor(self, factor: int) -> None:
        """Change the logic of gold.daily, so that every amount changes."""
        self.edit("datasets.py", f"FACTOR = {self.factor}\n", f"FACTOR = {factor}\n")
        self.factor = factor

    def ingest(self) -> Run:
        """Ingest what was landed."""
        run = self.open().ingest((), Ask(reason="test"))
        assert run is not None, "nothing to ingest"
        return run

    def plan(self, *selectors: str, span: str | None = None, rebuild: bool = False) -> Plan:
        """Plan what is stale, or a range of it."""
        mode = Mode.BACKFILL if span or rebuild else Mode.INCREMENTAL
        request = Request(
            selectors=selectors,
            range=DateRange.parse(span) if span else None,
            rebuild=rebuild,
            mode=mode,
            override_state=False,
            reason="test",
            requested_by="tester",
        )
        return self.open().make_plan(request, allow_all=True)

    def apply(self, plan: Plan) -> Run:
        """Apply a plan."""
        return self.open().apply(plan)

    def run(self, *selectors: str, span: str | None = None, rebuild: bool = False) -> Run:
        """Plan and apply."""
        return self.apply(self.plan(*selectors, span=span, rebuild=rebuild))

    def rollback(self, run_id: str) -> Run:
        """Roll a run back, or give it up."""
        return self.open().rollback(run_id, self.ask())[0]

    def give_up(self) -> None:
        """Give up every outstanding run."""
        for run in self.outstanding():
            self.rollback(run.run_id)

    def ask(self) -> Ask:
        """Return who asks for a rollback and why."""
        return Ask(reason="test", mode=Mode.BACKFILL)

    # -- what it holds ---------------------------------------------------------------------------------------------

    def folder(self, table: str) -> Path:
        """Return the folder of a table on this machine."""
        assert not self.bucket, "its tables lie in a bucket"
        return self.root / "lake" / table.replace(".", "/")

    @property
    def top(self) -> str:
        """Return the path or URL of all tables."""
        return self.lake or str(self.root / "lake")

    @property
    def options(self) -> dict[str, str] | None:
        """Return what delta-rs needs to reach them."""
        return {**self.bucket.environment, "AWS_ALLOW_HTTP": "true"} if self.bucket else None

    def delta(self, table: str) -> DeltaTable:
        """Return a table as delta-rs sees it."""
        return DeltaTable(self.delta_place(table), storage_options=self.options)

    def files(self) -> dict[str, bytes]:
        """Return everything that lies below the lake, by path."""
        if self.bucket:
            return self.bucket.objects(self.lake)
        lake = self.root / "lake"
        return {str(p.relative_to(lake)): p.read_bytes() for p in lake.rglob("*") if p.is_file()}

    def put(self, path: str, content: bytes | None) -> None:
        """Make ``content`` what lies at a path below the lake, as somebody else would; None removes it."""
        if self.bucket:
            self.bucket.put(f"{self.lake}/{path}", content)
        elif content is None:
            (self.root / "lake" / path).unlink()
        else:
            (self.root / "lake" / path).write_bytes(content)

    @property
    def lakehouse(self) -> Lakehouse:
        """Its tables, as the library of their format sees them."""
        return LAKEHOUSES[self.format](self.top, self.options, self.root)

    def versions(self) -> dict[str, int]:
        """Return the version of every table that exists."""
        found = {t: self.lakehouse.version(t) for t in TABLES}
        return {t: version for t, version in found.items() if version is not None}

    def delta_place(self, table: str) -> str:
        """Return the path or URL of a table."""
        return f"{self.top}/{table.replace('.', '/')}"

    def live(self) -> dict[str, set[str]]:
        """Return the files that every table names, relative to the lake."""
        return {t: {p.removeprefix(self.top) for p in self.lakehouse.files(t)} for t in self.versions()}

    def parts(self) -> set[str]:
        """Return the Parquet files of all tables, relative to the lake."""
        if self.bucket:
            return {f"/{path}" for path in self.bucket.objects(self.lake) if _is_part(path)}
        lake = self.root / "lake"
        return {f"/{p.relative_to(lake)}" for p in lake.rglob("*.parquet") if "_delta_log" not in p.parts}

    def digests(self) -> dict[str, dict[str, str]]:
        """Return what the ledger says of every unit that is there."""
        heads = self.open().store.heads(TABLES)
        return {t: {k: h.digest for k, h in by_key.items() if not h.is_missing} for t, by_key in heads.items()}

    def fingerprint(self) -> tuple[Any, ...]:
        """Return all that a reader of the tables could see."""
        return self.versions(), self.live(), self.digests()

    def rows(self, table: str) -> Rows:
        """Return the rows of a table in the form of ``expected``, read by the library of its format alone."""
        columns = COLUMNS[table]
        found = self.lakehouse.rows(table).select(columns).to_pylist()
        return sorted(tuple(_plain(row[c]) for c in columns) for row in found)

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every table that the oracle knows."""
        return {t: self.rows(t) for t in COLUMNS}

    def stale(self) -> dict[str, tuple[int, int, int]]:
        """Return, for the datasets that are not all fresh: stale, perhaps stale and foreign units."""
        found = self.open().survey(())
        counts = {
            name: (len(v.certain), len(v.possible), len(found.world.observed.foreign_keys(name)))
            for name, v in found.verdicts.items()
        }
        return {name: count for name, count in counts.items() if any(count)}

    def records_of(self, run: Run) -> dict[str, int]:
        """Return how many units a run recorded, by dataset."""
        return dict(Counter(s.record.dataset for s in self.open().store.records_of_run(run.run_id)))

    def outstanding(self) -> list[Run]:
        """Return the runs that somebody must end."""
        return list(self.open().store.outstanding())

    def expected(self) -> dict[str, Rows]:
        """Return what every table must hold, from the landed lines alone."""
        bronze = list(_bronze(self.lines))
        good = [(r, p) for r in bronze if (p := _payload(r[3])) is not None]
        silver = _latest(good, across=self.versions_meet)
        daily = _by_tenant(((r[5], r[3], r[4] * self.factor) for r in silver), lambda day: day)
        return {
            "bronze.events": sorted(bronze),
            "silver.events": sorted(silver),
            "silver.events_quarantine": sorted((r[0], r[2]) for r in bronze if _payload(r[3]) is None),
            "gold.daily": sorted(daily),
            "gold.trend": sorted(_trend(daily, self.window)),
            "gold.monthly": sorted(_monthly(daily)),
        }


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "bronze.events": ("event_id", "event_time", "updated_at", "payload"),
    "silver.events": ("event_id", "event_time", "updated_at", "tenant", "amount", "event_date"),
    "silver.events_quarantine": ("event_id", "updated_at"),
    "gold.daily": ("event_date", "tenant", "events", "amount"),
    "gold.trend": ("event_date", "tenant", "week"),
    "gold.monthly": ("event_month", "tenant", "events", "amount"),
}


def write_project(root: Path, changes: Mapping[str, str | None] | None = None) -> Project:
    """Write the project with some files changed; None leaves a file out."""
    for name, text in {**FILES, **(changes or {})}.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    project = Project(root, server=state_on, format=tables_in)
    path = root / "remint.toml"
    path.write_text(path.read_text() + project.lakehouse.settings)
    if state_on:
        project.keep_state_in(state_on.new_database())
    if lake_on:
        project.keep_tables_in(lake_on)
    return project


def keyed_project(root: Path) -> Project:
    """Write the project so that rows of one event_id are versions of one event, whichever day they say."""
    project = write_project(root)
    project.edit("datasets.py", 'arrivals("event_time")', 'arrivals("event_time", key=("event_id",))')
    project.versions_meet = True
    return project


def built(root: Path, days: int, each: int = 3) -> Project:
    """Return a project whose history of ``days`` days is ingested and built.

    Half of the time of these tests would go into building the same one: it is a copy, where that is quick to make.
    """
    if state_on or tables_in != "delta":
        return _built(root, days, each)
    asked = (days, each, lake_on and lake_on.endpoint, *sorted(FILES.items()))
    if asked not in _originals:
        place = Path(tempfile.mkdtemp(prefix="remint-built-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        _originals[asked] = _built(place / "p", days, each)
        gc.collect()  # closes its state, so that copies are of a project at rest
    return _originals[asked].clone(root)


_originals: dict[tuple[object, ...], Project] = {}


def _built(root: Path, days: int, each: int) -> Project:
    project = write_project(root)
    project.land("a", history(days, each))
    project.ingest()
    project.run()
    return project


def _is_part(path: str) -> bool:
    return path.endswith(".parquet") and "_delta_log" not in path.split("/")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _bronze(lines: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each landed row once, by (event_id, updated_at); lines that are no row are left out."""
    seen = set()
    for line in lines:
        try:
            row = json.loads(line)
            values = tuple(row[c] for c in COLUMNS["bronze.events"])
        except (ValueError, KeyError, TypeError):
            continue
        if (values[0], values[2]) not in seen and all(isinstance(v, str) for v in values):
            seen.add((values[0], values[2]))
            yield values


def _payload(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
        whole = isinstance(found["tenant"], str) and type(found["amount"]) is int
    except (ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def _latest(good: Iterable[tuple[tuple[str, ...], dict[str, Any]]], *, across: bool) -> Rows:
    chosen: dict[tuple[str, str], tuple[Any, ...]] = {}
    for (name, at, updated, _), payload in good:
        unit = ("" if across else at[:10], name)
        if unit not in chosen or datetime.fromisoformat(updated) > datetime.fromisoformat(chosen[unit][2]):
            chosen[unit] = (name, at, updated, payload["tenant"], payload["amount"], at[:10])
    return list(chosen.values())


def _by_tenant(rows: Iterable[tuple[str, str, int]], period: Callable[[str], str]) -> Rows:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for day, tenant, amount in rows:
        events, total = found.get((period(day), tenant), (0, 0))
        found[period(day), tenant] = (events + 1, total + amount)
    return [(*group, *sums) for group, sums in found.items()]


def _trend(daily: Rows, window: int) -> Rows:
    amounts = {(day, tenant): amount for day, tenant, _, amount in daily}
    found = []
    for day, tenant in amounts:
        last = date.fromisoformat(day)
        days = [(last - timedelta(days=n)).isoformat() for n in range(window + 1)]
        found.append((day, tenant, sum(amounts.get((d, tenant), 0) for d in days)))
    return found


def _monthly(daily: Rows) -> Rows:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for day, tenant, events, amount in daily:
        held = found.get((f"{day[:7]}-01", tenant), (0, 0))
        found[f"{day[:7]}-01", tenant] = (held[0] + events, held[1] + amount)
    return [(*group, *sums) for group, sums in found.items()]


def remint(project: Project, *words: str) -> Result:
    """Call a command of the project in this process."""
    return CliRunner().invoke(cli, ["-C", str(project.root), *words])
