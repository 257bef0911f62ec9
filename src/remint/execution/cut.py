"""A cut: every table as one run left it. All reads of a cut see the same release, whatever happens meanwhile.

Rules: which files belong to a cut is read from the ledger, which is append-only, up to the release's last record. Files
are looked at before they are read, and again when a read fails: rows of a part of a cut are never given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remint.engines.base import Rows, Scan, quoted
from remint.errors import ReadError, RefusedQuery, ReleaseIncomplete, UnknownDataset
from remint.execution.diff import present, scan_of
from remint.model.dataset import Dataset
from remint.model.graph import DatasetGraph
from remint.model.partition import DateRange, PartitionKey, PartitionSet
from remint.model.provenance import DataFile, ProvenanceRecord, Release
from remint.publishing.tools import Tools
from remint.storage.base import below

Records = Mapping[PartitionKey, ProvenanceRecord]
"""Ledger records by unit."""

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One immutable Parquet file of a cut."""

    path: str
    """Absolute."""
    partition: Mapping[str, str]
    """What the partition columns hold in every row, as text: of a Delta table the file itself does not have them. Empty
    where the cut is hidden."""
    renamed: Mapping[str, str]
    """Of an Iceberg table, columns that the file holds under another name, by the declared one; the other name is empty
    where it has none, but another column that is called so."""
    key: PartitionKey
    """The unit that it belongs to."""
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Every table of one release, for reading."""

    tools: Tools
    graph: DatasetGraph
    release: Release
    """Which one."""
    _known: dict[str, Records] = field(default_factory=dict, repr=False, compare=False)
    """What was looked up: the ledger is append-only, so a cut never changes."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Names by which the tables are read; of a dataset that keeps its versions, ``<name>_versions`` too."""
        return tuple(name for dataset in self.graph for name in _names(dataset))

    def arrow(
        self, table: str, *, columns: Iterable[str] | None = None, partitions: str | Iterable[str] | None = None
    ) -> Any:
        """Return the rows of a table as an Arrow table, in the declared types; their order means nothing.

        Args:
            table: ``layer.name``.
            columns: only these.
            partitions: only these: a range ``A..B``, both ends included, or partition keys.

        Raises:
            UnknownDataset: no dataset has this name.
            ReleaseIncomplete: a file of these partitions is gone.
            RefusedQuery: there is no such column.
        """
        chosen = "*" if columns is None else ", ".join(quoted(name) for name in columns)
        place = ".".join(quoted(part) for part in table.split("."))
        with self._reading([table], partitions) as scans:
            return self.tools.engine.arrow(f"SELECT {chosen} FROM {place}", scans)  # noqa: S608 - quoted

    def sql(self, query: str) -> Any:
        """Return the answer to one SELECT over the tables, named ``layer.name``, as an Arrow table.

        Raises:
            RefusedQuery: it is not one SELECT, or it fails.
            ReleaseIncomplete: a file of a table that it names is gone.
        """
        with self._reading(self._mentioned(query)) as scans:
            return self.tools.engine.arrow(query, scans)

    def rows(self, query: str, limit: int) -> Rows:
        """Return the first rows of the answer to one SELECT, as Python values."""
        with self._reading(self._mentioned(query)) as scans:
            return self.tools.engine.query(query, scans, limit)

    def files(self, table: str, *, partitions: str | Iterable[str] | None = None) -> tuple[PublishedFile, ...]:
        """Return the files of a table, for engines that read Parquet themselves.

        Raises:
            UnknownDataset: no dataset has this name.
            ReleaseIncomplete: one of them is gone.
        """
        dataset, records = self._held(table, partitions)
        self._require(dataset, records)
        files = [file for key in sorted(records) for file in records[key].files]
        renamed = self.tools.tables.renamed(self.tools.table(dataset), files)
        return tuple(self._file(dataset, file, renamed.get(file.path, {})) for file in files)

    def duckdb(self) -> Any:
        """Return a DuckDB connection of your own: a schema for each layer, and a view for each table.

        Raises:
            ReleaseIncomplete: a file of the release is gone.
        """
        with self._reading(self.tables) as scans:
            return self.tools.engine.connection(scans)

    def write_views(self, path: Path, about: Mapping[str, str]) -> None:
        """Write every table as a view to a new file.

        Raises:
            ReleaseIncomplete: a file of the release is gone.
            ReadError: the file cannot be written.
        """
        with self._reading(self.tables) as scans:
            self.tools.engine.write_views(path, scans, about)

    @contextmanager
    def _reading(
        self, tables: Iterable[str], partitions: str | Iterable[str] | None = None
    ) -> Iterator[dict[str, Scan]]:
        """Yield the tables as relations, all of whose files are there; a read that fails is asked why."""
        held = {name: self._held(name, partitions) for name in tables}
        for dataset, records in held.values():
            self._require(dataset, records)
        try:
            yield {name: scan_of(self.tools, d, records, sorted(records)) for name, (d, records) in held.items()}
        except (RefusedQuery, ReadError) as error:
            for dataset, records in held.values():
                self._require(dataset, records)
            error.hint = error.hint or f"tables: {', '.join(self.tables)}"
            raise

    def _mentioned(self, query: str) -> list[str]:
        """Return the tables that a query may read: those whose name occurs in it."""
        text = query.lower()
        return [name for name in self.tables if name.partition(".")[2] in text]

    def _held(self, table: str, partitions: str | Iterable[str] | None) -> tuple[Dataset, Records]:
        dataset = next((d for d in self.graph if table in _names(d)), None)
        if dataset is None:
            raise UnknownDataset(f"there is no table {table}", hint=f"known: {', '.join(self.tables)}")
        if dataset.name not in self._known:
            found = self.tools.store.records(dataset.name, None, self.release.last_seq)
            self._known[dataset.name] = present(found)
        records = self._known[dataset.name]
        if dataset.version.column and table == dataset.name:
            records = _newest_version(dataset, records)
        return dataset, records if partitions is None else _within(dataset, records, partitions)

    def _file(self, dataset: Dataset, file: DataFile, renamed: Mapping[str, str]) -> PublishedFile:
        cut = dataset.partition
        held = {} if cut.is_hidden else dict(zip(cut.columns, cut.values_of(file.key), strict=True))
        return PublishedFile(
            path=below(self.tools.folder(dataset), file.path),
            partition=held,
            renamed=renamed,
            key=file.key,
            rows=file.rows,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )

    def _require(self, dataset: Dataset, records: Records) -> None:
        """Stop when a file is not there, or not as long as it was published.

        Raises:
            ReleaseIncomplete: names the files, and the run that removed them where retention did.
        """
        folder = self.tools.folder(dataset)
        files = [file for record in records.values() for file in record.files]
        found = {file.path: _size(self.tools, below(folder, file.path)) for file in files}
        wrong = sorted((f for f in files if found[f.path] != f.size_bytes), key=lambda f: f.path)
        if not wrong:
            return
        expired = self.tools.store.expired(dataset.name)
        lines = [
            f"{below(folder, f.path)}: {_what(expired.get(f.path), found[f.path], f.size_bytes)}"
            for f in wrong[:_SHOWN]
        ]
        if len(wrong) > _SHOWN:
            lines.append(f"... and {len(wrong) - _SHOWN} more")
        raise ReleaseIncomplete(
            f"{self.release.release_id} of run {self.release.run_id} cannot be read whole: of {dataset.name}, "
            f"{len(wrong)} of {len(files)} files are not as published\n  " + "\n  ".join(lines),
            hint="remint doctor    # shows what else is missing; a newer release may be whole",
        )


def _names(dataset: Dataset) -> tuple[str, ...]:
    return (dataset.name, f"{dataset.name}_versions") if dataset.version.column else (dataset.name,)


def _newest_version(dataset: Dataset, records: Records) -> Records:
    held = PartitionSet.of(dataset.partition.grain, sorted(records))
    newest = max(held.values, key=lambda v: (len(v), v), default="")
    return {key: records[key] for key in held.only([newest])}


def _within(dataset: Dataset, records: Records, partitions: str | Iterable[str]) -> Records:
    if isinstance(partitions, str):
        held = PartitionSet.of(dataset.partition.grain, sorted(records))
        return {key: records[key] for key in DateRange.parse(partitions).within(held)}
    keys = {dataset.partition.typed(key) for key in partitions}
    return {key: record for key, record in records.items() if key in keys}


def _size(tools: Tools, place: str) -> int | None:
    held = tools.storage.stat(place)
    return held.size_bytes if held else None


def _what(expired_by: str | None, found: int | None, published: int) -> str:
    if found is not None:
        return f"has {found} bytes, was published with {published}"
    return f"removed by retention in run {expired_by}" if expired_by else "gone, and no run of remint removed it"
