"""An engine over lists of whole numbers: real files on disk, transforms of the planning oracle, digests of real rows.

It has what ingest, planning, apply, rollback and doctor need of ``engines.base.Engine``. It has no ``query``,
``compare``, ``recompute`` and ``file_digests``, and knows no keyed arrivals: those are proved on DuckDB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from remint.engines.base import Ingested, IngestWork, Scan, Staged, StageWork
from remint.model.dataset import Dataset
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey
from remint.model.provenance import Arrival, DataFile
from tests.planner.lakes import SCHEME, content_digest
from tests.planner.oracle import COLUMNS, Row, Rows, Table, keys_read, made, projected, spelled

LEAST = "b is at least 0"
"""Name of the check of datasets that read Bronze."""


class RowEngine:
    """One engine; stateless, so a new process has it at once."""

    name = "rows"
    digest_scheme = SCHEME

    def __init__(self, known: Mapping[tuple[str, str], Table], sources: Mapping[str, Table]) -> None:
        """Prepare an engine.

        Args:
            known: every logic that was ever declared, by its dataset and digest.
            sources: tables by name, for how they are cut.
        """
        self._known, self._sources = known, sources

    def maker_of(self, work: StageWork) -> str:
        del work
        return self.name

    def start_for(self, works: Iterable[StageWork]) -> None:
        """Do nothing: it is there."""

    def stage(self, work: StageWork) -> Staged:
        assert work.dataset.transform
        table = self._known[work.dataset.name, work.dataset.transform.logic.digest]
        held = {read.alias: _held(work.inputs[read.alias]) for read in table.reads}
        units: dict[PartitionKey, Rows] = {}
        for key in work.keys:
            reading = {}
            for read in table.reads:
                there = held[read.alias]
                keys = keys_read(table, read, self._sources[read.source], key, there.keys())
                reading[read.alias] = {k: projected(there[k], read.columns) for k in keys if there[k]}
            units[key] = made(table, reading)
        files = tuple(write_file(work.root, work.token, k, rows) for k, rows in units.items() if rows)
        broken = {key: sum(row[1] < 0 for row in rows) for key, rows in units.items()}
        broken = {key: count for key, count in broken.items() if count and work.dataset.checks}
        return Staged(
            files=files,
            digests={key: content_digest(rows) for key, rows in units.items()},
            projections={
                c: {k: content_digest(projected(rows, c)) for k, rows in units.items()} for c in work.dataset.read_as
            },
            violations={LEAST: broken} if broken else {},
            strays={},
            rows_read=0,
            rows_read_by_unit=0,
            rows_rejected=0,
            rows_superseded=0,
            rows_elsewhere=0,
        )

    def digests(self, scan: Scan, columns: Sequence[str] | None = None) -> Mapping[PartitionKey, ContentDigest]:
        chosen = tuple(columns) if columns is not None else None
        return {key: content_digest(projected(rows, chosen)) for key, rows in _held(scan).items()}

    def ingest(self, work: IngestWork) -> Ingested:
        seen = {(row[0], row[2]): row for row in _rows_of(work.known)}
        lines = Path(work.path).read_text().splitlines()
        added, rejected, duplicates = [], [], 0
        for number, line in enumerate(lines):
            row = _parsed(line)
            earlier = seen.get((row[0], row[2])) if row else None
            if row is None or (earlier is not None and earlier != row):
                rejected.append((number, 0, 0))
            elif earlier is not None:
                duplicates += 1
            else:
                seen[row[0], row[2]] = row
                added.append(row)
        at = date.fromisoformat(work.ingested_at[:10])
        key = spelled(str(work.dataset.partition.grain), at)  # type: ignore[arg-type]
        files = (write_file(work.root, work.token, key, tuple(added)),) if added else ()
        aside = (write_file(work.quarantine_root, f"{work.token}-q", key, tuple(rejected)),) if rejected else ()
        return Ingested(
            files=files,
            quarantine_files=aside,
            digests={f.path: content_digest(rows) for f, rows in (*_with(files, added), *_with(aside, rejected))},
            arrivals=tuple(
                Arrival(file=f.path, event_key=event, digest=content_digest(rows))
                for f in files
                for event, rows in by_event(added).items()
            ),
            rows_read=len(lines),
            rows_added=len(added),
            rows_duplicate=duplicates,
            rows_rejected=len(rejected),
        )

    def rivals(self, dataset: Dataset, known: Scan, new: Scan) -> tuple[Arrival, ...]:
        raise AssertionError(f"{dataset.name} has no keyed arrivals")

    def forget(self) -> None:
        """Keep nothing between steps, so there is nothing to drop."""


def by_event(rows: Iterable[Row]) -> dict[PartitionKey, Rows]:
    """Return Bronze rows by the day of their event, which is their fourth number."""
    found: dict[PartitionKey, Rows] = {}
    for row in rows:
        key = date.fromordinal(row[3]).isoformat()
        found[key] = (*found.get(key, ()), row)
    return found


def write_file(root: str, token: str, key: PartitionKey, rows: Rows) -> DataFile:
    """Write the rows of one partition as one file and return it; named as staged files are."""
    path = f"d={key}/part-{token}-{key}.parquet"
    place = Path(root) / path
    place.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": key, "rows": rows}).encode()
    place.write_bytes(text)
    sha256 = hashlib.sha256(text).hexdigest()
    return DataFile(path=path, key=key, rows=len(rows), size_bytes=len(text), sha256=sha256, stats="{}")


def read_file(root: str, path: str) -> tuple[PartitionKey, Rows]:
    """Return the partition and the rows of a file."""
    found = json.loads((Path(root) / path).read_bytes())
    return found["key"], tuple(tuple(row) for row in found["rows"])


def _parsed(line: str) -> Row | None:
    try:
        return tuple(json.loads(line))
    except ValueError:
        return None


def _with(files: Sequence[DataFile], rows: Sequence[Row]) -> Iterable[tuple[DataFile, Sequence[Row]]]:
    return ((file, rows) for file in files)


def _rows_of(scan: Scan) -> list[Row]:
    return [row for path in scan.paths for row in read_file(scan.root, path)[1]]


def _held(scan: Scan) -> dict[PartitionKey, Rows]:
    """Return the rows of a scan by partition, or by the event where it reads arrivals."""
    found: dict[PartitionKey, Rows] = {}
    if scan.only is not None:
        days = by_event(_rows_of(scan))
        return {key: tuple(row[: len(COLUMNS)] for row in rows) for key, rows in days.items() if key in scan.only}
    for path in scan.paths:
        key, rows = read_file(scan.root, path)
        found[key] = (*found.get(key, ()), *rows)
    return found
