"""Files and folders that survive a loss of power: what counts as written is synced, and so is the name it has.

Rules: a name is durable once its folder is synced, so whoever makes one syncs the folder above it; a folder that is
there may have been made by a process that was killed before it could sync, so it is synced again before anything
relies on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sync(path: str | Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, all of them durable."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def sync_names(folder: Path, top: Path) -> None:
    """Make the names of ``folder`` and of all folders between it and ``top`` durable, and that of ``top``."""
    for path in (folder, *folder.parents):
        sync(path.parent)
        if path == top:
            break


def folders_between(files: Iterable[str], root: str) -> list[str]:
    """Return every folder from those of ``files`` up to ``root``, sorted; the files lie below it."""
    found = {root}
    for file in files:
        folder = os.path.dirname(file)
        while len(folder) > len(root):
            found.add(folder)
            folder = os.path.dirname(folder)
    return sorted(found)


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader, a crash or a loss of power leaves the old content or the new one.

    Raises:
        OSError: it could not be written; ``path`` is as before.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync(path.parent)
