"""What every use case is given: the store, the format, the engine, a clock and a place to announce."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from remint.engines.base import Engine, Scan, UserFunction
from remint.formats.base import Table, TableFormat
from remint.model.dataset import Dataset, Layer
from remint.model.event import Event
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below
from remint.store.base import StoreWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Adapters, bound once by the workspace."""

    store: StoreWriter
    storage: Storage
    """Where tables lie."""
    tables: TableFormat
    start_engine: Callable[[], Engine]
    """Returns the one engine of the command, starting it at the first call: most commands need none."""
    root: Path
    """The project's folder: source URLs are relative to it."""
    lake: str
    """Absolute path or URL below which every table lives."""
    scratch: Path
    """Folder for files that no run needs again."""
    clock: Callable[[], datetime]
    stopwatch: Callable[[], float]
    """Seconds since some moment; only differences mean anything."""
    emit: Callable[[Event], None]
    lease_seconds: float
    """How long a run belongs to a process that gives no sign of life."""
    credential: Callable[[str], str | None]
    """Gives the value of an environment variable that a source's headers name."""
    function_of: Callable[[Dataset], UserFunction | None]
    """Returns the function that makes a dataset; raises PythonChanged where it is not what the dataset says."""

    @property
    def engine(self) -> Engine:
        """The engine, started."""
        return self.start_engine()

    def table(self, dataset: Dataset) -> Table:
        """Return ``dataset`` as its table format knows it."""
        return Table(
            name=dataset.name,
            location=self.folder(dataset),
            columns=dataset.columns,
            partition=dataset.partition,
            append_only=dataset.layer is Layer.BRONZE,
        )

    def scan(self, dataset: Dataset, files: Iterable[DataFile | str]) -> Scan:
        """Return files of the dataset's table as one relation; those that nobody recorded go by their paths."""
        known = [unrecorded(file) if isinstance(file, str) else file for file in files]
        renamed = self.tables.renamed(self.table(dataset), known) if known else {}
        return Scan(
            root=self.folder(dataset),
            paths=tuple(file.path for file in known),
            columns=dataset.columns,
            partition=dataset.partition,
            size_bytes=sum(file.size_bytes for file in known),
            is_whole=self.tables.files_are_whole,
            renamed=tuple((path, tuple(sorted(names.items()))) for path, names in sorted(renamed.items())),
        )

    def folder(self, dataset: Dataset) -> str:
        """Return the absolute path or URL of the dataset's table."""
        return below(self.lake, dataset.location)

    def now(self) -> str:
        """Return the time as the store writes it: ISO 8601, UTC, ending in Z."""
        return timestamp(self.clock())


def unrecorded(path: str) -> DataFile:
    """Return a file of a table of which nothing is known but where it lies."""
    return DataFile(path=path, key="", rows=0, size_bytes=0, sha256="", stats="")


def timestamp(moment: datetime) -> str:
    """Return a moment as the store writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def own_folder(owner: object) -> Path:
    """Return a new folder for scratch files outside of any project; it goes when ``owner`` does."""
    folder = Path(tempfile.mkdtemp(prefix="remint-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
