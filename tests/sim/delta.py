"""The project of three layers on real Delta tables and DuckDB, as the driver of histories needs it."""

from __future__ import annotations

import copy
import random
import shutil
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from remint.engines.base import Scan
from remint.errors import RemintError
from remint.execution.doctor import Health
from remint.formats.base import Table
from remint.model.provenance import ProvenanceRecord
from remint.model.request import Ask
from remint.workspace import Workspace
from tests.e2e import strangers
from tests.e2e.crashes import armed
from tests.e2e.projects import FIRST_DAY, Project, event, keyed_project, version, write_project
from tests.sim.faults import Fault
from tests.sim.memory import WatchedFormat
from tests.sim.watch import Watch

DAYS = 5


@dataclass
class Clocked(Project):
    """A project whose clock can be set."""

    jumped: timedelta = timedelta()

    def now(self) -> datetime:
        return super().now() + self.jumped


class DeltaLake:
    """A project on disk and what was landed in it."""

    made = ("silver.events", "gold.daily", "gold.trend", "gold.monthly")

    def __init__(self, root: Path, seed: int) -> None:
        """Write the project in the folder ``root``, which is emptied; every second seed has keyed arrivals."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        written = keyed_project(root) if seed % 2 else write_project(root)
        (root / "landing").mkdir(exist_ok=True)
        self.project = Clocked(**vars(written))
        self.files: list[list[Any]] = []
        self.watch = Watch(self)
        self.opened: Workspace | None = None

    # -- opening it ----------------------------------------------------------------------------------------------------

    def open(self, fault: Fault | None = None) -> Workspace:
        """Return the project opened; its files are read again once they have changed."""
        if self.opened is None:
            self.opened = self.project.open()
            tools = self.opened._tools
            watched = WatchedFormat(tools.tables, self.watch.committing, self.watch.committed)
            self.opened.__dict__["_tools"] = replace(tools, tables=watched)  # type: ignore[arg-type]
        if fault is None:
            return self.opened
        fault.tear = _tear
        workspace = copy.copy(self.opened)
        for kept in ("reader", "audit_log", "upkeep", "rollbacks", "retention"):
            workspace.__dict__.pop(kept, None)
        return armed(workspace, fault)  # type: ignore[arg-type]

    def jump(self, rng: random.Random) -> None:
        """Set the clock forth or back."""
        self.project.jumped += timedelta(hours=rng.choice([-200, -30, -1, 1, 30, 200]))

    # -- what suppliers, authors and strangers do ----------------------------------------------------------------------

    def land(self, rng: random.Random, what: str) -> bool:
        """Write a source file; False where there is nothing to correct or to repeat."""
        events = self._events(rng, what)
        if events:
            self.files.append(events)
            self.project.land(f"f{len(self.files):04}", events)
        return bool(events)

    def _events(self, rng: random.Random, what: str) -> list[Any]:
        known = [e for events in self.files for e in events if isinstance(e, dict)]
        number = len(known)
        latest = {e["event_id"]: e for e in sorted(known, key=lambda e: str(e["updated_at"]))}
        chosen = latest[rng.choice(sorted(latest))] if latest else None
        match what:
            case "new":
                return [event(number + n, rng.randrange(DAYS), rng.choice([5, 50, "many"])) for n in range(3)]
            case "late":
                return [event(number, rng.randrange(DAYS), 7)]
            case "again":
                return [*rng.choice(self.files), "no row"] if self.files else []
            case "clash" if known:
                return [{**rng.choice(known), "payload": {"tenant": "t9", "amount": 99}}]
            case "correct" if chosen and self.project.versions_meet:
                return [version(str(chosen["event_id"]), rng.randrange(DAYS), number, rng.choice([5, 50]))]
            case "correct" if chosen:
                return [_later(chosen, rng.choice([5, 50]))]
            case "bad" if chosen:
                return [_later(chosen, -5)]
            case "mend":
                return [_later(latest[key], 8) for key in sorted({e["event_id"] for e in known if _is_bad(e)})]
        return []

    def bump(self, rng: random.Random) -> bool:
        """Declare another factor, or another window, under the next version."""
        self.opened = None
        if rng.random() < 0.7:
            self.project.set_factor(rng.choice([f for f in (1, 2, 3) if f != self.project.factor]))
            return True
        window = rng.choice([w for w in (1, 3, 7) if w != self.project.window])
        self.project.edit("datasets.py", f"WINDOW = {self.project.window}\n", f"WINDOW = {window}\n")
        self.project.window = window
        return True

    def meddle(self, rng: random.Random) -> bool:
        """Write to a table as somebody who is not remint."""
        there = [t for t in self.made if self.project.live().get(t)]
        if not there:
            return False
        table = rng.choice(there)
        column = strangers.partition_column(self.project, table)
        held = self.project.delta(table).to_pyarrow_table().column(column).to_pylist()
        if not held:
            return False
        day = rng.choice(sorted({d.isoformat() for d in held}))
        before = self.project.live()[table]
        act = rng.choice(["append", "overwrite", "delete", "compact"])
        if act == "append":
            strangers.append(self.project, table, like=day)
        elif act == "overwrite":
            strangers.overwrite(self.project, table, day)
        elif act == "delete":
            strangers.delete(self.project, table, day)
        else:
            self.project.delta(table).optimize.compact(partition_filters=[(column, "=", day)])
        after, folder = self.project.live()[table], "/" + table.replace(".", "/") + "/"
        key = self._key(table, day)
        if after != before:
            self.watch.meddled(table, key, frozenset(p.removeprefix(folder) for p in after - before))
        return True

    def _key(self, table: str, day: str) -> str:
        return day[:7] if table == "gold.monthly" else day

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

    def days(self) -> list[date]:
        """Return the days that events fall on."""
        return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]

    def folder(self, name: str) -> Path:
        """Return the folder of a table."""
        return self.project.folder(name)

    def broken(self, record: ProvenanceRecord) -> str:
        """Return in words what the rows of a unit are that they must not be."""
        workspace = self.open()
        if record.dataset not in workspace.graph.datasets or not record.files:
            return ""
        dataset = workspace.graph[record.dataset]
        scan = Scan(
            root=str(self.folder(record.dataset)),
            paths=tuple(f.path for f in record.files),
            columns=dataset.columns,
            partition=dataset.partition,
        )
        found = workspace._tools.engine.digests(scan)
        if {k: str(d) for k, d in found.items()} != {record.key: record.digest}:
            return "its digest is not that of its rows"
        if record.dataset == "silver.events":
            bad = workspace._tools.engine.query("SELECT count(*) FROM t WHERE amount < 0", {"t": scan}, 1)
            return "a row that fails a check is visible" if bad.rows[0][0] else ""
        return ""

    def all_ingested(self) -> bool:
        """Return whether every landed file is in Bronze."""
        return len(self.open().store.source_files("bronze.events")) == len(self.files)

    def differences(self) -> list[str]:
        """Return in words which tables are not what the oracle makes of the landed lines."""
        wanted = self.project.expected()
        there = self.project.versions()
        found = {name: self.project.rows(name) if name in there else [] for name in wanted}
        wrong = [name for name in wanted if found[name] != wanted[name]]
        return [f"{name}: holds {found[name]}, must hold {wanted[name]}" for name in wrong]

    def sound(self) -> list[str]:
        """Return what doctor finds and what does not come out the same when it is made again."""
        workspace = self.open()
        found = [s.detail for s in workspace.upkeep.doctor((), read_data=True) if s.health is Health.BAD]
        proofs = {v.proof.value for v in workspace.verify((), size=1)}
        return [*(d for d in found if "is empty or cut off" not in d), *sorted(proofs - {"proven"})]


def _later(entry: dict[str, Any], amount: int) -> dict[str, Any]:
    updated = datetime.fromisoformat(str(entry["updated_at"])) + timedelta(hours=1)
    return {**entry, "updated_at": updated.isoformat(), "payload": {"tenant": "t1", "amount": amount}}


def _is_bad(entry: dict[str, Any]) -> bool:
    amount = entry["payload"]["amount"]
    return isinstance(amount, int) and amount < 0


def _tear(table: Table, *_: object) -> None:
    """Leave the table's next log entry empty."""
    log = Path(table.location) / "_delta_log"
    newest = max(int(p.stem) for p in log.glob("*.json"))
    (log / f"{newest + 1:020d}.json").write_text("")
