"""What an ingest takes in one piece: a source file, or a page of an API; and where in its source it stood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remint.model.dataset import DatasetName
from remint.sources.base import Fetched, Page, SourceFile
from remint.sources.files import fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a piece stood in its source; journalled with what became of it."""

    day: str | None = None
    """Day that a file is for, where its name says it."""
    window: int | None = None
    """Which of the run's windows a page belongs to."""
    cursor: str | None = None
    """Cursor that a page was asked for with."""
    resume_at: str | None = None
    """Cursor at which to read on behind it."""
    is_last: bool = False
    """The window ends with this page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFile:
    """A source file that is not ingested as it is now."""

    dataset: DatasetName
    file: SourceFile

    @property
    def uri(self) -> str:
        """As people see it."""
        return self.file.uri

    @property
    def mtime_ns(self) -> int:
        """Time of the file's last change."""
        return self.file.mtime_ns

    @property
    def place(self) -> Place:
        """Where it stood in its source."""
        return Place(day=self.file.day)

    @property
    def rows_repeated(self) -> int:
        """Rows to count as known already when the very bytes were ingested before: a file is then not opened at all."""
        return 0

    def fetch(self, folder: Path) -> Fetched:
        """Return a checked copy in ``folder``."""
        return fetch(self.file, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingPage:
    """A page that was read and is not ingested yet."""

    dataset: DatasetName
    page: Page
    window: int

    @property
    def uri(self) -> str:
        """As people see it."""
        return self.page.uri

    @property
    def mtime_ns(self) -> int:
        """Pages have no time of change."""
        return 0

    @property
    def place(self) -> Place:
        """Where it stood in its source."""
        page = self.page
        return Place(window=self.window, cursor=page.cursor, resume_at=page.resume_at, is_last=page.is_last)

    @property
    def rows_repeated(self) -> int:
        """Rows to count as known already when the very bytes were ingested before."""
        return self.page.rows

    def fetch(self, folder: Path) -> Fetched:
        """Write the records to ``folder``."""
        path = folder / "page.jsonl"
        path.write_bytes(self.page.content)
        return Fetched(path=path, sha256=self.page.sha256, size_bytes=self.page.size_bytes)


Pending = PendingFile | PendingPage
"""One piece that is to be ingested."""
