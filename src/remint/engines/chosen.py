"""The engines of a project as one: each dataset is made by its own, started when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remint.engines.base import Comparison, Engine, Ingested, IngestWork, Maker, Rows, Scan, Staged, StageWork, Target
from remint.model.dataset import Column, Dataset, DatasetName
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey
from remint.model.provenance import Arrival, DataFile


class ChosenEngine:
    """Hands each piece of work to the engine that its dataset has; what has no dataset goes to the project's own.

    What looks at single files, or answers people, is done by the embedded engine: it needs no cluster.
    """

    def __init__(
        self,
        embedded: Engine,
        starts: Mapping[str, Callable[[], Maker]],
        own: str,
        chosen: Mapping[DatasetName, str],
        large: tuple[int, str] | None = None,
    ) -> None:
        """Prepare engines that digest alike.

        Args:
            embedded: the engine of this process.
            starts: by the name of every other engine, how it is started; it is, once, when it is first needed.
            own: engine of every dataset that has none of its own, and of what concerns no dataset.
            chosen: engine by dataset.
            large: bytes that the work of a dataset without an engine may read at once, and the engine for more.
        """
        self._large = large
        self._embedded, self._starts, self.name, self._chosen = embedded, starts, own, chosen
        self._started: dict[str, Maker] = {embedded.name: embedded}

    def _engine(self, name: str) -> Maker:
        if name not in self._started:
            self._started[name] = self._starts[name]()
        return self._started[name]

    def _of(self, dataset: Dataset) -> Maker:
        return self._engine(self._declared(dataset.name))

    def maker_of(self, work: StageWork) -> str:
        """Return the name of the engine that does a piece of work."""
        if self._large and work.dataset.name not in self._chosen:
            most, other = self._large
            if sum(scan.size_bytes for scan in work.inputs.values()) > most:
                return other
        return self._declared(work.dataset.name)

    def _declared(self, dataset: DatasetName) -> str:
        return self._chosen.get(dataset, self.name)

    def start_for(self, works: Iterable[StageWork]) -> None:
        """Start what does this work; what is large, and goes elsewhere, is not known before its files are."""
        by_maker: dict[str, list[StageWork]] = {}
        for work in works:
            by_maker.setdefault(self._declared(work.dataset.name), []).append(work)
        for name, mine in sorted(by_maker.items()):
            self._engine(name).start_for(mine)

    @property
    def digest_scheme(self) -> str:
        """Name of the row hash of all of them."""
        return self._embedded.digest_scheme

    def stage(self, work: StageWork) -> Staged:
        """Run the transform on its dataset's engine and write its units as Parquet files."""
        return self._engine(self.maker_of(work)).stage(work)

    def recompute(self, work: StageWork) -> Mapping[PartitionKey, ContentDigest]:
        """Return the digests that ``stage`` would give, writing nothing."""
        return self._engine(self.maker_of(work)).recompute(work)

    def digests(self, scan: Scan, columns: Sequence[str] | None = None) -> Mapping[PartitionKey, ContentDigest]:
        """Return the content digest of each partition of published files, by the project's own engine."""
        return self._engine(self.name).digests(scan, columns)

    def file_digests(
        self, dataset: Dataset, scan: Scan, *, by_event: bool
    ) -> Mapping[tuple[str, PartitionKey], ContentDigest]:
        """Return the content digest of each file, by the dataset's engine."""
        return self._of(dataset).file_digests(dataset, scan, by_event=by_event)

    def ingest(self, work: IngestWork) -> Ingested:
        """Turn one source file into Bronze and quarantine files, embedded."""
        return self._embedded.ingest(work)

    def write(self, rows: Any, columns: Sequence[Column], target: Target) -> list[DataFile]:
        """Write Arrow rows as files, embedded."""
        return self._embedded.write(rows, columns, target)

    def rivals(self, dataset: Dataset, known: Scan, new: Scan) -> tuple[Arrival, ...]:
        """Return which rows count for other event partitions than their own, embedded."""
        return self._embedded.rivals(dataset, known, new)

    def compare(self, before: Scan, after: Scan, key: Sequence[str], sample: int) -> Comparison:
        """Return what differs between two states of a table, embedded."""
        return self._embedded.compare(before, after, key, sample)

    def query(self, sql: str, scans: Mapping[str, Scan], limit: int) -> Rows:
        """Run one read-only SELECT, embedded."""
        return self._embedded.query(sql, scans, limit)

    def arrow(self, sql: str, scans: Mapping[str, Scan]) -> Any:
        """Run one read-only SELECT and return all of its rows, embedded."""
        return self._embedded.arrow(sql, scans)

    def connection(self, scans: Mapping[str, Scan]) -> Any:
        """Return a connection in which every scan is a view, embedded."""
        return self._embedded.connection(scans)

    def write_views(self, path: Path, scans: Mapping[str, Scan], about: Mapping[str, str]) -> None:
        """Write the scans as views, embedded."""
        self._embedded.write_views(path, scans, about)

    def forget(self) -> None:
        """Drop what any of them kept between the steps of a batch."""
        for engine in self._started.values():
            engine.forget()
