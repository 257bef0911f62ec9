"""Publish to one table: replace 1, 100 and 1,000 of its 1,000 partitions, beside the same commit by the library alone.

``python benchmarks/publish.py [--runs N]``. The library's commit is the shortest one that replaces the right files: no
comparison with what is live, nothing synced, nothing read back. Each run of each is a commit to a table of its own
format that both share; they take turns. Results go to ``benchmarks/PUBLISH.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from pyiceberg.expressions.parser import parse
from pyiceberg.manifest import ManifestContent
from run import HERE, noise

from remint.engines.base import Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.formats.base import Replacement, Table, TableFormat
from remint.formats.delta import DeltaFormat
from remint.formats.iceberg import IcebergFormat
from remint.formats.iceberg_files import iceberg_file
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionSpec
from remint.model.provenance import DataFile
from remint.workspace.catalogs import catalog_of

FIRST = date(2024, 1, 1)
PARTITIONS = 1000
COLUMNS = (("id", "BIGINT"), ("day", "DATE"), ("amount", "DOUBLE"), ("name", "VARCHAR"), ("at", "TIMESTAMPTZ"))
BAR = 2.0
FACTS = {("delta", 1): 0.05, ("delta", 100): 0.03, ("delta", 1000): 0.22}
FACTS |= {("iceberg", 1): 0.44, ("iceberg", 100): 0.28, ("iceberg", 1000): 1.1}
"""Seconds of the library alone as they were measured when the formats were chosen.

Those of 100 are of tables with 100 partitions: a harder bar than one for 100 of 1,000."""


class Subject:
    """One table of one format with its files, replaced again and again."""

    def __init__(self, root: Path, tables: TableFormat) -> None:
        self.root, self.tables, self.number = root, tables, 0
        columns = tuple(Column(name=name, type=kind) for name, kind in COLUMNS)
        spec = PartitionSpec(column="day", grain=Grain.DAY)
        place = f"{root}/lake/gold/t"
        self.table = Table(name="gold.t", location=place, columns=columns, partition=spec, append_only=False)
        tables.create(self.table)
        self.live: dict[str, DataFile] = {}
        self.ours(self.stage(PARTITIONS))

    def stage(self, partitions: int) -> list[DataFile]:
        """Write new files for the first partitions."""
        self.number += 1
        layout = self.tables.layout(self.table)
        target = Target(root=self.table.location, spec=self.table.partition, token=f"r{self.number}", layout=layout)
        rows = (
            f"SELECT CAST(n AS BIGINT) AS id, CAST(DATE '{FIRST}' + CAST(n // 10 AS INTEGER) AS DATE) AS day, "
            "CAST(n AS DOUBLE) AS amount, CAST(n AS VARCHAR) AS name, "
            f"CAST(DATE '{FIRST}' + CAST(n // 10 AS INTEGER) AS TIMESTAMPTZ) AS at FROM range({partitions * 10}) r(n)"
        )
        with open_connection("1GB", 2, self.root / "spill") as con:
            return copy_partitioned(con, rows, target)

    def taken(self, files: Sequence[DataFile]) -> list[DataFile]:
        """Return the live files that new ones replace, and take note of the new ones."""
        keys = {file.key for file in files}
        old = [file for file in self.live.values() if file.key in keys]
        self.live = {path: f for path, f in self.live.items() if f.key not in keys} | {f.path: f for f in files}
        return old

    def ours(self, files: Sequence[DataFile]) -> float:
        """Publish as remint does; return the seconds."""
        change = Replacement(run_id=f"r{self.number}", attempt=1, adds=tuple(files), removes=tuple(self.taken(files)))
        began = time.perf_counter()
        self.tables.publish([(self.table, change)])
        return time.perf_counter() - began


def delta_alone(subject: Subject, files: Sequence[DataFile]) -> float:
    """Replace the files with delta-rs alone; return the seconds."""
    subject.taken(files)
    keys = {file.key for file in files}
    began = time.perf_counter()
    table = DeltaTable(subject.table.location)
    live = pa.table(table.get_add_actions(flatten=False)).to_pylist()
    old = [one for one in live if str(one["partition"]["day"]) in keys]
    now = int(time.time() * 1000)
    adds = [AddAction(f.path, f.size_bytes, {"day": f.key}, now, True, f.stats or "") for f in files]
    gone = [
        RemoveAction(unquote(one["path"]), True, now, one["size_bytes"], {"day": str(one["partition"]["day"])})
        for one in old
    ]
    said = CommitProperties(custom_metadata={"run": json.dumps(subject.number)}, max_commit_retries=0)
    table.create_write_transaction(adds + gone, "append", table.schema(), partition_by=["day"], commit_properties=said)
    return time.perf_counter() - began


def iceberg_alone(subject: Subject, files: Sequence[DataFile]) -> float:
    """Replace the files with pyiceberg alone, files as they were measured when written; return the seconds."""
    subject.taken(files)
    days = {(date.fromisoformat(file.key) - date(1970, 1, 1)).days for file in files}
    began = time.perf_counter()
    catalog = catalog_of("sql", "remint", f"sqlite:///{subject.root}/lake/catalog.db").library
    table = catalog.load_table("gold.t")
    snapshot = table.current_snapshot()
    assert snapshot
    old = [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        if manifest.content is ManifestContent.DATA
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        if entry.data_file.partition[0] in days
    ]
    with table.transaction() as change, change.update_snapshot().overwrite() as producer:
        first, last = min(f.key for f in files), max(f.key for f in files)
        producer.delete_by_predicate(parse(f"day >= '{first}' and day <= '{last}'"))
        for gone in old:
            producer.delete_data_file(gone)
        for file in files:
            producer.append_data_file(iceberg_file(subject.table, table.metadata, file))
    return time.perf_counter() - began


Alone = Callable[[Subject, Sequence[DataFile]], float]


def measured(subject: Subject, alone: Alone, partitions: int, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of remint's commits and of the library's, taken in turns."""
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(subject.ours(subject.stage(partitions)))
        theirs.append(alone(subject, subject.stage(partitions)))
    return ours, theirs


def main() -> None:
    """Measure both formats and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    asked = parser.parse_args()
    root = HERE.parent / ".bench" / "publish"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    before = noise()
    lines = []
    for name, alone in (("delta", delta_alone), ("iceberg", iceberg_alone)):
        folder = root / name
        catalog = catalog_of("sql", "remint", f"sqlite:///{folder}/lake/catalog.db")
        subject = Subject(folder, DeltaFormat() if name == "delta" else IcebergFormat(catalog))
        for partitions in (1, 100, 1000):
            ours, theirs = (statistics.median(s) for s in measured(subject, alone, partitions, asked.runs))
            known = FACTS[name, partitions]
            lines.append(
                f"| {name} | {partitions:,} | {ours:.3f} s | {theirs:.3f} s | {ours / theirs:.1f}x | {known:.2f} s | "
                f"{ours / known:.1f}x |"
            )
            print(lines[-1], flush=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pyiceberg"))
    head = [
        "# Publishing",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}: a table of {PARTITIONS:,} partitions on a local disk, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {packages}. Medians of {asked.runs}",
        "commits of remint (compared with what is live, synced, read back) and of the library alone (none of that), in "
        "turns.",
        f"The same small job varied by {before} before and {noise()} after. Written by `make bench`; the bar is "
        f"{BAR:.0f}x of what was measured when",
        "the formats were chosen. That of 100 partitions was measured on a table that has no others.",
        "",
        "| format | partitions replaced | remint | library alone | ratio | when chosen | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    (HERE / "PUBLISH.md").write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
