"""What sources give: files that they list, fetched copies of them, pages of an API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that a source matches, as it was when it was listed."""

    uri: str
    """As people see it: relative to the project where it lies in it, else an absolute path or URL."""
    location: str
    """Where it is opened: an absolute path without links, or an fsspec URL."""
    format: str
    """``jsonl``, ``csv`` or ``parquet``."""
    size_bytes: int
    mtime_ns: int
    """Time of the last change; 0 where the store tells none."""
    day: str | None = None
    """Day that the file is for, where the source's URL says it with ``{date}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A source file on this machine: decompressed, and valid UTF-8 without a byte order mark where it is text."""

    path: Path
    sha256: str
    """Of the bytes as the source holds them, compressed or not."""
    size_bytes: int
    """Of the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of an API, checked as a whole."""

    uri: str
    """With its query; holds no credentials."""
    cursor: str | None
    """Cursor that it was asked for with; None for the first page that there is."""
    next_cursor: str | None
    is_last: bool
    """No further page is to be read."""
    rows: int
    content: bytes
    """The records, one JSON value a line, UTF-8."""
    sha256: str
    """Of the body as it came."""
    size_bytes: int
    """Of the same body."""

    @property
    def resume_at(self) -> str | None:
        """Cursor at which a later run goes on: the next page, or this one again where none is named yet."""
        return self.cursor if self.next_cursor is None else self.next_cursor

    def as_last(self) -> Page:
        """Return the page as the last one that is to be read."""
        return replace(self, is_last=True)
