"""Programs that nobody here wrote, each reading a table from its place alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from tests.e2e.projects import Project

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / ".interop"
"""Where ``make interop`` puts the programs."""


# Polars plans scans with pyiceberg unless another package is there, and warns where nobody said so.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")


class Answering:
    """A program in a process of its own, with libraries of its own, that answers line by line."""

    def __init__(self, script: str, libraries: str, folder: Path) -> None:
        self.folder, self._numbers = folder, count()
        environment = {**os.environ, "PYTHONPATH": str(FOLDER / libraries)}
        self._said = (folder / f"{libraries}.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), str(FOLDER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment,
            cwd=folder,
        )
        self.version = self._answer()["version"]

    def rows(self, sql: str) -> pa.Table:
        """Return what a query gives."""
        place = self.folder / f"{next(self._numbers)}.arrow"
        self.ask(sql=sql, rows=str(place))
        with pa.OSFile(str(place)) as file:
            return pa.ipc.open_file(file).read_all()

    def ask(self, **said: Any) -> Any:
        """Have one statement run."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return self._answer(said)

    def _answer(self, said: Any = None) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process ended: {Path(self._said.name).read_text()[-2000:]}"
        found = json.loads(line)
        assert "error" not in found, f"{said}: {found['error']}"
        return found

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._said.close()


class Spark(Answering):
    """Apache Spark with the official runtimes of both formats."""

    def __init__(self, folder: Path) -> None:
        super().__init__("spark_side.py", "spark", folder)

    def __call__(self, sql: str) -> None:
        self.ask(sql=sql)

    def open_catalog(self, lake: Path) -> None:
        """Make the catalog of remint's Iceberg tables known, under the name that its rows have."""
        lake.mkdir(parents=True, exist_ok=True)
        about = {
            "": "org.apache.iceberg.spark.SparkCatalog",
            ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            ".uri": f"jdbc:sqlite:{lake}/catalog.db",
            ".warehouse": str(lake),
            ".jdbc.schema-version": "V1",
            ".cache-enabled": "false",
        }
        self.ask(sql="SELECT 1", settings={f"spark.sql.catalog.remint{key}": value for key, value in about.items()})


class Duck(Answering):
    """DuckDB's own readers of Delta and Iceberg."""

    def __init__(self, folder: Path) -> None:
        super().__init__("duckdb_side.py", "duckdb", folder)


def newest_metadata(project: Project, table: str) -> str:
    """Return the metadata file that the catalog names."""
    return str(project.lakehouse.table(table).metadata_location)  # type: ignore[attr-defined]


def readers(project: Project, spark: Spark, duck: Duck) -> dict[str, Callable[[str], pa.Table]]:
    """Return how each program reads a table of the project."""

    def place(table: str) -> str:
        return str(project.folder(table))

    if project.format == "delta":
        return {
            "spark": lambda t: spark.rows(f"SELECT * FROM delta.`{place(t)}`"),
            "delta-rs": lambda t: pa.table(DeltaTable(place(t)).scan()),
            "polars": lambda t: polars.scan_delta(place(t)).collect().to_arrow(),
            "duckdb": lambda t: duck.rows(f"SELECT * FROM delta_scan('{place(t)}')"),
        }
    return {
        "spark": lambda t: spark.rows(f"SELECT * FROM remint.{t}"),
        "pyiceberg": lambda t: StaticTable.from_metadata(newest_metadata(project, t)).scan().to_arrow(),
        "polars": lambda t: polars.scan_iceberg(newest_metadata(project, t)).collect().to_arrow(),
        "duckdb": lambda t: duck.rows(f"SELECT * FROM iceberg_scan('{newest_metadata(project, t)}')"),
    }


def comparable(table: pa.Table) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    """Return the types of the columns and the sorted rows, by name; how long a text may be is no type."""
    names = sorted(table.column_names)
    types = {name: _type(table.schema.field(name).type) for name in names}
    rows = sorted(tuple(_plain(row[name]) for name in names) for row in table.to_pylist())
    return types, rows


def _type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        assert kind.tz is not None, "an instant without a zone"
        return "instant"
    return "text" if str(kind) in {"string", "large_string", "string_view"} else str(kind)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    return value.isoformat() if isinstance(value, date) else f"{value:f}" if isinstance(value, Decimal) else repr(value)
