"""Measure remint on Spark beside a hand-written PySpark job that writes the same tables, on this machine.

``python benchmarks/spark.py [--events N] [--days N] [--runs N] [--master local[2]]``. The jobs take turns, each in a
fresh process with a Spark of its own, and read the same Bronze. Results go to ``benchmarks/SPARK.md``.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from run import HERE, REMINT, Bench, Cost, median, noise, shown

MEMORY_MB = 1536
BAR = 1.3
_SUBREAPER = 36


def measure_all(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command to its end and return what it and all that it started used: Spark is no child that Python awaits.

    Raises:
        RuntimeError: it failed; the message holds its output.
    """
    log = cwd / "bench.log"
    with log.open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **env}, stdout=out, stderr=out)
        code, wall, cpu, rss = 0, 0.0, 0.0, 0.0
        while True:
            try:
                pid, status, used = os.wait4(-1, 0)
            except ChildProcessError:
                break
            cpu, rss = cpu + used.ru_utime + used.ru_stime, max(rss, used.ru_maxrss / 1024)
            if pid == child.pid:
                code, wall = os.waitstatus_to_exitcode(status), time.perf_counter() - began
    child.returncode = code
    if code:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return Cost(wall, cpu, rss)


class SparkBench:
    """The API example at one size, rebuilt by Spark in two ways."""

    def __init__(self, bench: Bench, master: str) -> None:
        self.bench, self.master = bench, master

    def remint(self) -> Cost:
        """Measure the full rebuild of Silver and Gold by remint."""
        self.bench.reset()
        env = {"REMINT_ENGINE_SPARK__MASTER": self.master, "REMINT_ENGINE__MEMORY_LIMIT": f"{MEMORY_MB}MB"}
        return measure_all([*REMINT, "run", "--engine", "spark"], self.bench.root, env)

    def by_hand(self, *more: str) -> Cost:
        """Measure the hand-written job."""
        shutil.rmtree(self.bench.root / "by_hand", ignore_errors=True)
        bronze = str(self.bench.root / "lake" / "bronze" / "api_usage")
        sizes = ["--master", self.master, "--memory", f"{MEMORY_MB}m"]
        command = [sys.executable, str(HERE / "handwritten_pyspark.py"), bronze, "by_hand", *sizes, *more]
        return measure_all(command, self.bench.root, {})

    def require_same_rows(self) -> None:
        """Refuse to compare jobs that do not write the same number of rows into every table."""
        self.by_hand("--count")
        told = json.loads((self.bench.root / "bench.log").read_text().strip().splitlines()[-1])["rows"]
        self.remint()
        found = {}
        for folder in told:
            table = folder.replace("/", ".")
            measure_all([*REMINT, "sql", f"SELECT count(*) AS n FROM {table}", "--json"], self.bench.root, {})
            found[folder] = json.loads((self.bench.root / "bench.log").read_text())["rows"][0][0]
        if found != told:
            raise RuntimeError(f"the jobs wrote other rows: by hand {told}, remint {found}")


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--master", default="local[2]", help="as Spark spells it")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    bench = Bench((asked.events, asked.days), asked.runs, "delta", fresh=False)
    bench.root.parent.mkdir(exist_ok=True)
    before = noise()
    bench.prepare()
    bench.reset()
    spark = SparkBench(bench, asked.master)
    spark.require_same_rows()
    costs: dict[str, list[Cost]] = {"hand-written PySpark": [], "remint run --engine spark": []}
    for _ in range(asked.runs):
        costs["hand-written PySpark"].append(spark.by_hand())
        costs["remint run --engine spark"].append(spark.remint())
    for name, found in costs.items():
        bench.note(f"full rebuild, {name}", shown(found))
    theirs, ours = map(median, costs.values())
    bench.note("full rebuild, wall", f"{ours.wall_s / theirs.wall_s:.2f}x | |", f"{BAR}x")
    bench.note("full rebuild, CPU", f"{ours.cpu_s / theirs.cpu_s:.2f}x | |")
    kept = f"{os.cpu_count()} cores, Python {platform.python_version()}, PySpark {version('pyspark')}"
    head = [
        "# Results on Spark",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}: {asked.events:,} events over {asked.days} days, {asked.master} of {kept}.",
        f"{asked.runs} of each job, taking turns; medians, with the range of the wall times. Each job starts a",
        f"Spark of its own with a heap of {MEMORY_MB:,} MB. The same small job varied by {before} before and {noise()}",
        "after the measurements. Written by `benchmarks/spark.py`.",
        "",
        "| job | wall | CPU | peak memory of a process | bar |",
        "|---|---|---|---|---|",
    ]
    (HERE / "SPARK.md").write_text("\n".join([*head, *bench.lines]) + "\n")


if __name__ == "__main__":
    main()
