"""Tables on a disk of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from remint.disk import folders_between, sha256_of, sync, sync_names
from remint.storage.base import Sealed, Stored

_THREADS = 4
"""Disks answer several requests at once, and hashing frees the interpreter."""


class LocalStorage:
    """Files and folders, made durable by syncing them; it holds no state."""

    options: Mapping[str, str] = MappingProxyType({})
    filesystem: None = None

    def stat(self, place: str) -> Stored | None:
        """Return the size of a file; a link counts as what it names."""
        try:
            found = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if stat.S_ISDIR(found.st_mode) else Stored(path=place, size_bytes=found.st_size)

    def files(self, folder: str) -> Iterator[Stored]:
        """Walk through the folders; one that goes meanwhile is no matter."""
        for here, _, names in os.walk(folder):
            below = os.path.relpath(here, folder)
            for name in names:
                try:
                    held = os.lstat(os.path.join(here, name))
                except FileNotFoundError:  # a run that is at work discards files
                    continue
                path = name if below == "." else f"{below}/{name}"
                yield Stored(path=path, size_bytes=held.st_size, changed_at=held.st_mtime)

    def names(self, folder: str) -> list[str]:
        """List one folder."""
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, place: str) -> bytes:
        """Read a file."""
        return Path(place).read_bytes()

    def sha256(self, place: str) -> str:
        """Hash a file."""
        return sha256_of(Path(place))

    def write(self, place: str, content: bytes) -> None:
        """Write beside the place, sync, and move into it."""
        whole = Path(place).with_name(f".{os.path.basename(place)}.half")
        with whole.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(place)
        sync(whole.parent)

    def create(self, place: str, content: bytes) -> bool:
        """Write beside the place, sync, and give it the name unless a file has it: a link replaces nothing."""
        whole = Path(place).with_name(f".{os.path.basename(place)}.{uuid.uuid4().hex}.half")
        try:
            with whole.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(whole, place)
        except FileExistsError:
            return False
        finally:
            whole.unlink(missing_ok=True)
        sync(whole.parent)
        return True

    def copy(self, source: str, place: str) -> None:
        """Copy beside the place, sync, and move into it."""
        copy = Path(place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        half = copy.with_name(f".{copy.name}.half")
        shutil.copyfile(source, half)
        sync(half)
        sync(half.parent)
        half.replace(copy)
        sync(copy.parent)

    def delete(self, places: Iterable[str], *, durably: bool = False) -> None:
        """Remove names, which is durable once their folders are synced."""
        folders = set()
        for place in map(Path, places):
            place.unlink(missing_ok=True)
            folders.add(place.parent)
        for folder in sorted(folders) if durably else ():
            if folder.is_dir():
                sync(folder)

    def move(self, places: Sequence[tuple[str, str]]) -> None:
        """Rename files."""
        for source, place in places:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.replace(source, place)

    def clear(self, folder: str) -> None:
        """Remove a folder."""
        shutil.rmtree(folder, ignore_errors=True)

    def prepare(self, folder: str) -> None:
        """Make the folder and those above it."""
        os.makedirs(folder, exist_ok=True)

    def seal(self, places: Sequence[str], root: str) -> list[Sealed]:
        """Hash and sync the files, then sync the folders between them and ``root``."""
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            hashes = list(pool.map(_hash_and_sync, places))
            list(pool.map(sync, folders_between(places, root)))
        return [Sealed(sha256=sha256) for sha256 in hashes]

    def sync(self, places: Iterable[str]) -> None:
        """Sync each of them."""
        for place in places:
            sync(place)

    def sync_names(self, folder: str, top: str) -> None:
        """Sync every folder that holds one of the names."""
        sync_names(Path(folder), Path(top))


def _hash_and_sync(path: str) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


LOCAL = LocalStorage()
"""The one that everything uses that is given no other."""
