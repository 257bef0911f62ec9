"""Plan over a million units: what a no-op, one late day and ``status`` cost, and how that grows with the units.

``python benchmarks/scale.py [--datasets N] [--runs N] [--fresh]``. The ledger is filled by hand (nobody waits for a
million real partitions), with every column that a real one has; the commands that are measured are the real ones, each
a fresh process. Results go to ``benchmarks/SCALE.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from run import REMINT, Cost, measure, median

from remint.model.digest import text_digest
from remint.workspace import Workspace

HERE = Path(__file__).resolve().parent
FIRST = datetime(2023, 1, 1, tzinfo=UTC)
AT = "2026-01-01T00:00:00.000Z"
CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: a_table
    properties:
      - {{name: id, physicalType: VARCHAR, required: true, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: at_hour, physicalType: TIMESTAMPTZ, required: true}}
      - {{name: amount, physicalType: BIGINT, required: true}}
"""
SIZES = ((50, 20), (50, 200), (50, 2_000), (50, 20_000), (50, 26_280))
"""Datasets and hours; the last is three years."""
RECORDS = 10_000_000
"""Ledger records of the last size, most of them superseded: what a ledger looks like after years of runs."""


class Lake:
    """A generated project with a filled ledger, kept between runs."""

    def __init__(self, datasets: int, hours: int, records: int) -> None:
        self.datasets, self.hours, self.records = datasets, hours, records
        self.root = HERE.parent / ".bench" / f"scale-{datasets}x{hours}"

    @property
    def units(self) -> int:
        """Units in all."""
        return self.datasets * self.hours

    def make(self, *, fresh: bool) -> None:
        """Write the project and fill its ledger, unless that was done before."""
        if fresh:
            shutil.rmtree(self.root, ignore_errors=True)
        if (self.root / "filled").exists():
            return
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "contracts").mkdir(parents=True)
        (self.root / "remint.toml").write_text('[project]\nname = "scale"\n')
        names = ["bronze.raw"]
        lines = [
            "from remint import bronze, gold, hour, same, silver, trailing",
            "",
            'bronze("raw", partition=hour("at_hour"))',
        ]
        sql = '"SELECT id, at_hour, amount FROM rows_in"'
        for n in range(self.datasets - 1):
            layer, source = ("silver", "bronze.raw") if n < 10 else ("gold", f"silver.d{n % 10}")
            mapping = f'trailing("{source}", before=23)' if n % 3 == 2 and layer == "gold" else f'same("{source}")'
            lines += ["", f'@{layer}("d{n}", partition=hour("at_hour"), inputs={{"rows_in": {mapping}}})']
            lines += [f"def d{n}() -> str:", f"    return {sql}"]
            names.append(f"{layer}.d{n}")
        (self.root / "datasets.py").write_text("\n".join(lines) + "\n")
        for name in names:
            (self.root / "contracts" / f"{name}.yaml").write_text(CONTRACT.format(name=name))
        self._fill()
        (self.root / "filled").write_text("")

    def _fill(self) -> None:
        workspace = Workspace(self.root)
        workspace.store.outstanding()
        logics = {d.name: d.logic_digest for d in workspace.graph}
        con = sqlite3.connect(self.root / ".remint" / "state.db")
        con.execute("PRAGMA synchronous = OFF")
        rounds = -(-self.records // self.units)
        for number in range(rounds):
            self._run(con, number, f"r-{number:04d}", kind="apply")
            first = number * self.units + 1
            rows = self._rows(first, f"r-{number:04d}", logics, is_last=number == rounds - 1)
            con.executemany(f"INSERT INTO ledger VALUES ({','.join('?' * 14)})", rows)
            con.execute("UPDATE runs SET read_seq = ? WHERE run_id = ?", (first - 1, f"r-{number:04d}"))
        con.execute(
            "INSERT INTO heads SELECT dataset, partition, seq, run_id, fingerprint, logic, digest, rows, size_bytes "
            "FROM ledger WHERE seq > ?",
            ((rounds - 1) * self.units,),
        )
        con.execute(
            "INSERT INTO releases VALUES (1, 'release-1', ?, ?, '{}', ?)",
            (f"r-{rounds - 1:04d}", rounds * self.units, AT),
        )
        con.commit()
        con.close()

    def _run(self, con: sqlite3.Connection, number: int, run_id: str, kind: str) -> None:
        row = {
            "run_id": run_id,
            "kind": kind,
            "state": "succeeded",
            "mode": "incremental",
            "type": "",
            "override_state": 0,
            "trigger": "schedule",
            "reason": f"run {number}",
            "requested_by": "bench",
            "started_at": AT,
            "ended_at": AT,
            "summary": "{}",
        }
        con.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({', '.join(f':{c}' for c in row)})", row)

    def _rows(self, first: int, run_id: str, logics: dict[str, str], *, is_last: bool) -> Iterator[tuple[Any, ...]]:
        seq = first
        keys = [(FIRST + timedelta(hours=n)).strftime("%Y-%m-%dT%H") for n in range(self.hours)]
        for name, logic in logics.items():
            for key in keys:
                yield self._record(seq, name, key, run_id, logic)
                seq += 1

    @staticmethod
    def _record(seq: int, name: str, key: str, run_id: str, logic: str) -> tuple[Any, ...]:
        digest = f"duckdb-hash-1:1000:{seq:032x}"
        inputs = json.dumps({"rows_in": {key: digest}})
        path = f"at_hour={key}/part-{run_id}-0-0-{seq:012x}.parquet"
        file = {"path": path, "key": key, "rows": 1000, "size_bytes": 9000, "sha256": "0" * 64, "stats": "{}"}
        place = text_digest(f"{seq}")
        return (seq, name, key, run_id, place, logic, digest, 1000, 9000, 1, 1, AT, inputs, json.dumps([file]))

    def late_day(self) -> None:
        """Record that rows of the last 24 hours arrived late in Bronze, as an ingest does."""
        con = sqlite3.connect(self.root / ".remint" / "state.db")
        last = con.execute("SELECT max(seq) FROM ledger").fetchone()[0]
        run_id = f"r-late-{last}"
        self._run(con, 0, run_id, kind="ingest")
        for n in range(24):
            key = (FIRST + timedelta(hours=self.hours - 1 - n)).strftime("%Y-%m-%dT%H")
            row = self._record(last + 1 + n, "bronze.raw", key, run_id, "")
            con.execute(f"INSERT INTO ledger VALUES ({','.join('?' * 14)})", row)
            con.execute(
                "UPDATE heads SET seq = ?, run_id = ?, digest = ? WHERE dataset = 'bronze.raw' AND partition = ?",
                (row[0], run_id, row[6], key),
            )
        con.commit()
        con.close()

    def forget_standings(self) -> None:
        """Throw the folded standings away, as a restored backup of an older remint would lack them."""
        con = sqlite3.connect(self.root / ".remint" / "state.db")
        con.execute("DELETE FROM standings")
        con.commit()
        con.close()

    def back(self) -> None:
        """Undo ``late_day``."""
        con = sqlite3.connect(self.root / ".remint" / "state.db")
        for (late,) in con.execute("SELECT run_id FROM runs WHERE run_id LIKE 'r-late-%'").fetchall():
            for seq, key in con.execute("SELECT seq, partition FROM ledger WHERE run_id = ?", (late,)).fetchall():
                con.execute("DELETE FROM ledger WHERE seq = ?", (seq,))
                con.execute(
                    "UPDATE heads SET (seq, run_id, digest) = (SELECT seq, run_id, digest FROM ledger l WHERE "
                    "l.dataset = 'bronze.raw' AND l.partition = ? ORDER BY seq DESC LIMIT 1) "
                    "WHERE dataset = 'bronze.raw' AND partition = ?",
                    (key, key),
                )
            con.execute("DELETE FROM runs WHERE run_id = ?", (late,))
        con.execute("DELETE FROM standings")
        con.commit()
        con.close()


def cost_of(lake: Lake, *arguments: str) -> Cost:
    """Return what one command used."""
    return measure([*REMINT, *arguments], lake.root)


def main() -> None:
    """Measure every size and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="only the first so many sizes")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    lines = [
        "# A plan over many units",
        "",
        f"Python {platform.python_version()}, {platform.machine()}; medians of {options.runs} fresh processes; "
        "wall / CPU / peak memory. Made by `benchmarks/scale.py`.",
        "",
        "| Units | Ledger records | First command (folds the ledger) | `status` | `plan`, nothing to do "
        "| `plan`, one late day |",
        "|---|---|---|---|---|---|",
    ]
    for datasets, hours in SIZES[: options.sizes]:
        records = RECORDS if (datasets, hours) == SIZES[-1] else datasets * hours
        lake = Lake(datasets, hours, records)
        lake.make(fresh=options.fresh)
        lake.back()
        first = cost_of(lake, "status")
        status = [cost_of(lake, "status") for _ in range(options.runs)]
        nothing = [cost_of(lake, "plan") for _ in range(options.runs)]
        lake.late_day()
        late = [cost_of(lake, "plan") for _ in range(options.runs)]
        lake.back()
        cells = [shown(c) for c in (first, median(status), median(nothing), median(late))]
        lines.append(f"| {lake.units:,} | {-(-records // lake.units) * lake.units:,} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    (HERE / "SCALE.md").write_text("\n".join(lines) + "\n")


def shown(cost: Cost) -> str:
    """Return what a command used, as a table shows it."""
    return f"{cost.wall_s:.2f} s / {cost.cpu_s:.2f} s / {cost.rss_mb:,.0f} MB"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
