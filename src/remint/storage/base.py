"""The seam to where tables lie: every file of a table is reached through it, by a place, which is a path or a URL."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as it lies below a folder."""

    path: str
    """Relative to the folder that was listed; of a single file, its place."""
    size_bytes: int
    etag: str = ""
    """What an object store calls the content, which has another one once it changes; empty where it names none."""
    changed_at: float = 0.0
    """When its content changed last, in seconds since 1970; only listings say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What was hashed: the content, and what the store calls it."""

    sha256: str
    etag: str = ""


class Storage(Protocol):
    """Where tables lie. Folders and places are absolute.

    Every method but ``stat``, ``read`` and ``sha256`` says so when it could not do what it says. An object store that
    refuses or cannot be reached raises StorageRefused or StorageUnavailable, which are no OSError: nothing is missing
    or damaged because nobody could look.
    """

    @property
    def options(self) -> Mapping[str, str]:
        """How a table format's library reaches the same places, as object_store names it; holds secrets."""
        ...

    @property
    def filesystem(self) -> Any:
        """How an engine reaches the same places: an fsspec file system; None where it needs none."""
        ...

    def stat(self, place: str) -> Stored | None:
        """Return what is known of a file without reading it; None when there is no file.

        Raises:
            OSError: it cannot be looked at.
        """
        ...

    def files(self, folder: str) -> Iterator[Stored]:
        """Yield every file below a folder, at any depth; none where there is no folder."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted; none where there is no folder."""
        ...

    def read(self, place: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        ...

    def sha256(self, place: str) -> str:
        """Return the SHA-256 of a file, in hex; raises as ``read`` does."""
        ...

    def write(self, place: str, content: bytes) -> None:
        """Write a file, whole and durable, in the place of what is there."""
        ...

    def create(self, place: str, content: bytes) -> bool:
        """Write a file, whole and durable, where none is; return whether it was written."""
        ...

    def copy(self, source: str, place: str) -> None:
        """Copy a file of a table, or one on this machine, so that the copy is whole and durable, or not there."""
        ...

    def delete(self, places: Iterable[str], *, durably: bool = False) -> None:
        """Delete files; one that is gone already is no matter.

        Args:
            places: of the files.
            durably: a loss of power brings none of them back.
        """
        ...

    def move(self, places: Sequence[tuple[str, str]]) -> None:
        """Give files other places, from the first of each pair to the second; nothing of it is durable before seal."""
        ...

    def clear(self, folder: str) -> None:
        """Remove a folder that only this process knows, with all that is in it; what is gone already is no matter."""
        ...

    def prepare(self, folder: str) -> None:
        """Make sure that files can be written into a folder."""
        ...

    def seal(self, places: Sequence[str], root: str) -> list[Sealed]:
        """Make files that an engine wrote below ``root`` durable, and return what they are by their bytes, in order."""
        ...

    def sync(self, places: Iterable[str]) -> None:
        """Make the content of files, or the names in folders, durable."""
        ...

    def sync_names(self, folder: str, top: str) -> None:
        """Make the names of a folder and of all folders between it and ``top`` durable, and that of ``top``."""
        ...


def below(folder: str, path: str) -> str:
    """Return the place of a path that is relative to a folder, or absolute."""
    return posixpath.join(folder, path)
