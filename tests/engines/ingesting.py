"""A Bronze dataset, and a lake in a temporary folder that ingests into it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb

from remint.engines.base import Ingested, IngestWork, Scan
from remint.engines.duckdb_ingest import ingest_file
from remint.engines.duckdb_rows import digest_scheme, open_connection, scan_sql
from remint.model.dataset import Arrivals, Column, Dataset, FileSource, Layer
from remint.model.partition import Grain, PartitionSpec

INGESTED_AT = "2026-11-01T10:00:00Z"
DAY = PartitionSpec(column="ingestion_date", grain=Grain.DAY)
COLUMNS = (
    Column(name="event_id", type="VARCHAR", required=True),
    Column(name="event_timestamp", type="TIMESTAMPTZ"),
    Column(name="offset", type="BIGINT"),
    Column(name="count", type="INTEGER"),
    Column(name="ratio", type="DOUBLE"),
    Column(name="price", type="DECIMAL(10,2)"),
    Column(name="is_test", type="BOOLEAN"),
    Column(name="billing_day", type="DATE"),
    Column(name="ingestion_timestamp", type="TIMESTAMPTZ"),
    Column(name="ingestion_date", type="DATE", required=True),
)
BRONZE = Dataset(
    name="bronze.events",
    layer=Layer.BRONZE,
    location="bronze/events",
    partition=DAY,
    columns=COLUMNS,
    key=("event_id",),
    source=FileSource(url="in/*", format="jsonl"),
    arrivals=Arrivals(column="event_timestamp", grain=Grain.DAY),
)
GOOD: Mapping[str, Any] = {
    "event_id": "e-1",
    "event_timestamp": "2026-07-01T00:00:13.123Z",
    "offset": 9007199254740993,
    "count": -3,
    "ratio": 0.25,
    "price": 12.5,
    "is_test": True,
    "billing_day": "2026-07-01",
    "ingestion_timestamp": "2026-07-02T00:00:15.001Z",
}


def quarantine(bronze: Dataset) -> Dataset:
    types = {"reason": "VARCHAR", "file": "VARCHAR", "line": "BIGINT", "raw": "VARCHAR", "ingested_at": "TIMESTAMPTZ"}
    columns = tuple(Column(name=name, type=kind) for name, kind in types.items())
    partition = Column(name=bronze.partition.column, type=bronze.partition.type)
    return replace(
        bronze, name=f"{bronze.name}_quarantine", columns=(*columns, partition), key=(), source=None, arrivals=None
    )


def of_format(file_format: str, **changes: Any) -> Dataset:
    return replace(BRONZE, source=FileSource(url="in/*", format=file_format), **changes)


def line(**changes: Any) -> str:
    """A good line with these members changed; ``...`` leaves one out."""
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...})


def record(**changes: Any) -> dict[str, str]:
    """A good CSV record with these fields changed."""
    texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in GOOD.items()}
    return {**texts, **changes}


def csv_text(records: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(GOOD))
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


@dataclass
class Lake:
    """Bronze and quarantine files of one dataset, as remint's ledger would know them."""

    folder: Path
    bronze: Dataset = BRONZE
    paths: list[str] = field(default_factory=list)
    quarantine_paths: list[str] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self.con: duckdb.DuckDBPyConnection = open_connection("1GB", 2, self.folder / "spill")
        self.scheme = digest_scheme(self.con)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.con.close()

    def ingest(self, content: str | bytes | Path) -> Ingested:
        """Ingest one file and keep what it made."""
        path = content if isinstance(content, Path) else self.folder / f"source-{self.runs}"
        if not isinstance(content, Path):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.runs += 1
        made = ingest_file(
            self.con,
            self.scheme,
            IngestWork(
                dataset=self.bronze,
                quarantine=quarantine(self.bronze),
                path=str(path),
                uri="in/x",
                known=self.scan(self.bronze, self.paths),
                ingested_at=INGESTED_AT,
                root=str(self.folder / "bronze"),
                quarantine_root=str(self.folder / "quarantine"),
                token=f"run-{self.runs}",
            ),
        )
        self.paths += [f.path for f in made.files]
        self.quarantine_paths += [f.path for f in made.quarantine_files]
        return made

    def scan(self, dataset: Dataset, paths: list[str]) -> Scan:
        root = self.folder / ("quarantine" if dataset.name.endswith("_quarantine") else "bronze")
        return Scan(root=str(root), paths=tuple(paths), columns=dataset.columns, partition=dataset.partition)

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        """Bronze rows, sorted."""
        wanted = ", ".join(f'CAST("{n}" AS VARCHAR)' for n in names)
        return sorted(
            self.con.execute(f"SELECT {wanted} FROM ({scan_sql(self.scan(self.bronze, self.paths))})").fetchall(),
            key=str,
        )

    def rejected(self, *names: str) -> list[tuple[Any, ...]]:
        """Quarantine rows by line."""
        scan = self.scan(quarantine(self.bronze), self.quarantine_paths)
        return self.con.execute(f"SELECT {', '.join(names)} FROM ({scan_sql(scan)}) ORDER BY line, reason").fetchall()


class MakeLake(Protocol):
    """Open an empty lake."""

    def __call__(self, bronze: Dataset = BRONZE) -> Lake: ...


def counts(made: Ingested) -> tuple[int, int, int]:
    """Rows added, duplicate, rejected; they are all that was read."""
    assert made.rows_read == made.rows_added + made.rows_duplicate + made.rows_rejected
    return made.rows_added, made.rows_duplicate, made.rows_rejected
