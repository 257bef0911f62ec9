"""Source files: what a source lists, and what fetching one gives."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A source file on this machine: decompressed, and valid UTF-8 without a byte order mark where it is text."""

    path: Path
    sha256: str
    """Of the bytes as the source holds them, compressed or not."""
    size_bytes: int
    """Of the same bytes."""
