"""Measure remint beside the best hand-written scripts, in one run, and write down medians and the noise.

``python benchmarks/run.py [--events N] [--days N] [--runs N] [--fresh]``. Every measured job is a fresh process; what
it used is taken from the operating system's account of that process. The jobs that are compared take turns, so that a
machine that changes its speed does so for all of them. Results go to ``benchmarks/RESULTS.md``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "examples" / "api_entitlements"
REMINT = [sys.executable, "-m", "remint"]
FIRST_DAY = date(2026, 7, 1)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process used."""

    wall_s: float
    cpu_s: float
    rss_mb: float


def measure(command: Sequence[str], cwd: Path, **env: str) -> Cost:
    """Run a command to its end and return what it used; its output is dropped.

    Raises:
        RuntimeError: it failed; the message holds its output.
    """
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | env
    log = cwd / "bench.log"
    with log.open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, env=settings, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(statistics.median(getattr(c, name) for c in costs) for name in ("wall_s", "cpu_s", "rss_mb")))


def shown(costs: Sequence[Cost]) -> str:
    """Return median and range as a table shows them."""
    middle, walls = median(costs), [c.wall_s for c in costs]
    spread = f" ({min(walls):.1f} to {max(walls):.1f})" if len(costs) > 1 else ""
    return f"{middle.wall_s:.2f} s{spread} | {middle.cpu_s:.1f} s | {middle.rss_mb:,.0f} MB"


class Bench:
    """The API example at one size in one format, in a folder that is kept between runs."""

    def __init__(self, size: tuple[int, int], runs: int, form: str, *, fresh: bool) -> None:
        self.events, self.days = size
        self.runs, self.form = runs, form
        self.root = HERE.parent / ".bench" / f"{self.events}x{self.days}-{form}"
        if fresh:
            shutil.rmtree(self.root, ignore_errors=True)
        self.lines: list[str] = []

    def remint(self, verb: str, **env: str) -> Cost:
        """Measure one command of remint on the tables of this format."""
        return measure([*REMINT, verb], self.root, REMINT_TABLES__FORMAT=self.form, **env)

    def note(self, job: str, figures: str, bar: str = "") -> None:
        """Add a row to the results and show it."""
        self.lines.append(f"| {job} | {figures} | {bar} |")
        print(self.lines[-1], flush=True)

    def prepare(self) -> None:
        """Generate the history and ingest it, once; keep the state with nothing but Bronze."""
        if (self.root / "bronze.db").exists():
            return
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(EXAMPLE, self.root, ignore=shutil.ignore_patterns("__pycache__", ".remint", "lake", "landing"))
        size = ["--events", str(self.events), "--days", str(self.days), "--out", "landing"]
        measure([sys.executable, "generate.py", *size], self.root)
        cost = self.remint("ingest")
        self.note(f"ingest of {self.events:,} events, once, {self.form}", shown([cost]))
        shutil.copytree(self.root / "lake", self.root / "saved", copy_function=linked)
        shutil.copy(self.root / ".remint" / "state.db", self.root / "bronze.db")

    def reset(self) -> None:
        """Go back to the state with nothing but Bronze."""
        shutil.rmtree(self.root / "lake", ignore_errors=True)
        shutil.copytree(self.root / "saved", self.root / "lake", copy_function=linked)
        for path in (self.root / ".remint").glob("state.db*"):
            path.unlink()
        shutil.copy(self.root / "bronze.db", self.root / ".remint" / "state.db")

    def rebuild(self) -> Cost:
        """Measure the full rebuild of Silver and Gold."""
        self.reset()
        return self.remint("run")

    def by_hand(self, script: str) -> Cost:
        """Measure a hand-written script that writes the same tables."""
        shutil.rmtree(self.root / "by_hand", ignore_errors=True)
        bronze = self.root / "saved" / "bronze" / "api_usage"
        return measure([sys.executable, str(HERE / script), str(bronze), "by_hand"], self.root)

    def full(self, other: Bench) -> Cost:
        """Compare the full rebuild with both scripts and with the other format, taking turns; return its median."""
        jobs: dict[str, Callable[[], Cost]] = {
            "hand-written DuckDB": lambda: self.by_hand("handwritten_duckdb.py"),
            "hand-written Polars": lambda: self.by_hand("handwritten_polars.py"),
            "remint run": self.rebuild,
            f"remint run, {other.form}": other.rebuild,
        }
        costs: dict[str, list[Cost]] = {name: [] for name in jobs}
        for _ in range(self.runs):
            for name, job in jobs.items():
                costs[name].append(job())
        for name, found in costs.items():
            self.note(f"full rebuild, {name}", shown(found))
        theirs = median(costs.pop(f"remint run, {other.form}"))
        ours = median(costs.pop("remint run"))
        for figure, label in (("wall_s", "wall"), ("cpu_s", "CPU")):
            better = min(getattr(median(found), figure) for found in costs.values())
            ratio = getattr(ours, figure) / better
            self.note(f"full rebuild, {label} against the better script", f"{ratio:.2f}x | |", "1.35x, goal 1.15x")
            other_ratio = getattr(theirs, figure) / getattr(ours, figure)
            self.note(f"full rebuild, {label}, {other.form} against {self.form}", f"{other_ratio:.2f}x | |", "1.2x")
        self.note("full rebuild, peak memory", f"{ours.rss_mb:,.0f} MB | |", "2,048 MB")
        return ours

    def budget(self) -> None:
        """Measure the full rebuild under a budget of 1 GB."""
        self.reset()
        cost = self.remint("run", REMINT_ENGINE__MEMORY_LIMIT="800MB")
        self.note("full rebuild, engine limited to 800 MB", shown([cost]), "1,024 MB")

    def late(self, full: Cost) -> None:
        """Measure late files that each touch three event dates."""
        self.rebuild()
        ingests, runs = [], []
        for number in range(self.runs):
            self.land_late(number)
            ingests.append(self.remint("ingest"))
            runs.append(self.remint("run"))
        self.note("late file on 3 dates, ingest", shown(ingests))
        self.note("late file on 3 dates, run", shown(runs))
        for figure, label in (("wall_s", "wall"), ("cpu_s", "CPU")):
            part = 100 * getattr(median(runs), figure) / getattr(full, figure)
            self.note(f"late file, run as part of the full rebuild, {label}", f"{part:.1f} % | |", "5 %")
        shutil.rmtree(self.root / "landing" / "late", ignore_errors=True)

    def land_late(self, number: int) -> None:
        """Write a file of 300 events on three dates in the middle of the history."""
        folder = self.root / "landing" / "late"
        folder.mkdir(exist_ok=True)
        middle = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=UTC) + timedelta(self.days // 2)
        payload = {"tenant_id": "t-00042", "plan": "free", "endpoint": "/v1/items", "method": "GET", "status_code": 200}
        payload |= {"latency_ms": 12, "request_bytes": 310, "response_bytes": 2048}
        lines = []
        for event in range(300):
            at = middle + timedelta(days=event % 3, seconds=event)
            row = {"event_id": f"late-{number}-{event}", "event_timestamp": at.isoformat(), "kafka_partition": 99}
            row |= {"kafka_offset": number * 1000 + event, "payload": json.dumps(payload)}
            row |= {"ingestion_timestamp": (middle + timedelta(days=9)).isoformat()}
            lines.append(json.dumps(row))
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    def commands(self) -> None:
        """Measure commands that find nothing to do, cold."""
        for name, command in (
            ("cold `remint status`, nothing to do", [*REMINT, "status"]),
            ("cold `remint plan`, nothing to do", [*REMINT, "plan"]),
            ("`remint --help`", [*REMINT, "--help"]),
            ("`import remint`", [sys.executable, "-c", "import remint"]),
        ):
            measure(command, self.root)
            costs = [measure(command, self.root) for _ in range(10)]
            self.note(name, shown(costs), "0.7 s" if "status" in name else "")

    def small_partitions(self, count: int = 400) -> None:
        """Measure what one more tiny partition of one dataset costs in a batch."""
        root = self.root / "small"
        shutil.rmtree(root, ignore_errors=True)
        measure([*REMINT, "init", "small"], self.root)
        shutil.rmtree(root / "landing")
        land_orders(root, "many", range(count))
        measure([*REMINT, "ingest"], root)
        many = measure([*REMINT, "run"], root)
        land_orders(root, "one", [count])
        measure([*REMINT, "ingest"], root)
        one = measure([*REMINT, "run"], root)
        each = 1000 * (many.wall_s - one.wall_s) / (2 * (count - 1))
        self.note(f"one more partition among {count} in 2 datasets", f"{each:.1f} ms | |", "10 ms")


def linked(source: str, target: str) -> None:
    """Link a file, which is enough for all but a database: neither data nor metadata is ever written again."""
    if source.endswith(".db"):
        shutil.copy(source, target)
    else:
        os.link(source, target)


def land_orders(root: Path, name: str, days: Sequence[int] | range) -> None:
    """Write orders of ten a day for the project that ``remint init`` writes."""
    folder = root / "landing" / "orders"
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["order_id,customer_id,amount,status,ordered_at,updated_at"]
    for day in days:
        at = f"{date(2024, 1, 1) + timedelta(days=day)}T10:00:00Z"
        rows += [f"o-{day}-{n},c-{n},{n}.50,paid,{at},{at}" for n in range(10)]
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")


def noise() -> str:
    """Return how much the same small job varies: the least difference that means anything."""
    job = [sys.executable, "-c", "sum(i * i for i in range(6_000_000))"]
    walls = [measure(job, HERE.parent / ".bench").wall_s for _ in range(7)]
    return f"{100 * (max(walls) - min(walls)) / statistics.median(walls):.0f} %"


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=int(os.environ.get("EVENTS", "10000000")))
    parser.add_argument("--days", type=int, default=int(os.environ.get("DAYS", "90")))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="generate and ingest again")
    asked = parser.parse_args()
    size = (asked.events, asked.days)
    bench, other = (Bench(size, asked.runs, form, fresh=asked.fresh) for form in ("delta", "iceberg"))
    bench.root.parent.mkdir(exist_ok=True)
    before = noise()
    bench.prepare()
    other.prepare()
    bench.lines += other.lines
    full = bench.full(other)
    bench.budget()
    bench.late(full)
    bench.commands()
    bench.small_partitions()
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "deltalake", "pyiceberg", "polars"))
    head = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}: {asked.events:,} events over {asked.days} days, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {packages}. {asked.runs} runs of each compared job, taking turns; medians, with",
        "the range of the wall times. "
        f"The same small job varied by {before} before and {noise()} after the measurements.",
        "Written by `make bench`.",
        "",
        "| job | wall | CPU | peak memory | bar |",
        "|---|---|---|---|---|",
    ]
    (HERE / "RESULTS.md").write_text("\n".join([*head, *bench.lines]) + "\n")


if __name__ == "__main__":
    main()
