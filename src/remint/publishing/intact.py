"""Whether published files are on disk as they were published: there, of the recorded size and SHA-256.

Rule: no transform reads a published file that was not proven in the same command. Engines return wrong rows for most
flipped bits without a word, and a file that was exchanged for another is as good as any to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from remint.errors import FilesDamaged, InvalidKey
from remint.model.dataset import Dataset
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile
from remint.model.wording import counted
from remint.publishing.tools import Tools
from remint.storage.base import Storage, below

_THREADS = 4
"""Hashing frees the interpreter; disks answer several requests at once."""
_SHOWN = 5


class Depth(StrEnum):
    """How closely files are looked at."""

    SIZE = "size"
    """Whether they are there, and how large they are."""
    CONTENT = "content"
    """Whether their content is what was published: an object whose ETag is the one that its bytes had when they were
    hashed is not read again; everything else is."""
    BYTES = "bytes"
    """All bytes are read and hashed."""


class FileFlaw(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    TRUNCATED = "truncated"
    EXTENDED = "extended"
    FLIPPED = "flipped"
    """As long as it was published, with other bytes."""
    REPLACED = "replaced"
    """Another published file stands in its place."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlawedFile:
    """A published file that is not as it was published."""

    file: DataFile
    flaw: FileFlaw
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.file.path} is {self.flaw}: expected {self.expected}, found {self.found}"


def flawed_files(storage: Storage, folder: str, files: Sequence[DataFile], depth: Depth) -> list[FlawedFile]:
    """Return those of ``files`` that are not below ``folder`` as they were published.

    Args:
        storage: where the table lies.
        folder: of their table.
        files: as the ledger or the journal names them.
        depth: how closely they are looked at.
    """
    if depth is Depth.SIZE and storage.filesystem is None:  # a disk answers faster than a thread starts
        found = [_flaw(storage, folder, file, depth) for file in files]
    else:
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            found = list(pool.map(lambda file: _flaw(storage, folder, file, depth), files))
    others = {f.sha256: f for f in files}
    return [_named(flaw, others) for flaw in found if flaw]


def _named(flaw: FlawedFile, others: dict[str, DataFile]) -> FlawedFile:
    """Return a flaw with the name of the published file that stands in its place, if one does."""
    held = others.get(flaw.found.removeprefix("SHA-256 "))
    if flaw.flaw is FileFlaw.FLIPPED and held is not None:
        found = f"{flaw.found}, which is {held.path}"
        return FlawedFile(file=flaw.file, flaw=FileFlaw.REPLACED, expected=flaw.expected, found=found)
    return flaw


def _flaw(storage: Storage, folder: str, file: DataFile, depth: Depth) -> FlawedFile | None:
    place, size = below(folder, file.path), f"{file.size_bytes} bytes"
    try:
        held = storage.stat(place)
        if held is None:
            return FlawedFile(file=file, flaw=FileFlaw.MISSING, expected=size, found="no file")
        length = held.size_bytes
        if length != file.size_bytes:
            flaw = FileFlaw.TRUNCATED if length < file.size_bytes else FileFlaw.EXTENDED
            return FlawedFile(file=file, flaw=flaw, expected=size, found=f"{length} bytes")
        is_proven = depth is Depth.CONTENT and file.etag != "" and held.etag == file.etag
        if depth is Depth.SIZE or is_proven or not file.sha256:
            return None
        if (sha256 := storage.sha256(place)) != file.sha256:
            expected, found = f"SHA-256 {file.sha256}", f"SHA-256 {sha256}"
            return FlawedFile(file=file, flaw=FileFlaw.FLIPPED, expected=expected, found=found)
    except (FileNotFoundError, NotADirectoryError):
        return FlawedFile(file=file, flaw=FileFlaw.MISSING, expected=size, found="no file")
    except OSError as error:
        return FlawedFile(file=file, flaw=FileFlaw.UNREADABLE, expected=size, found=str(error.strerror))
    return None


def require_intact(tools: Tools, dataset: Dataset, files: Sequence[DataFile], depth: Depth = Depth.CONTENT) -> None:
    """Refuse to go on with files that are not as they were published.

    Raises:
        FilesDamaged: names each file with what was expected and found.
    """
    flawed = flawed_files(tools.storage, tools.folder(dataset), files, depth)
    if flawed:
        raise damaged(dataset, flawed)


def damaged(dataset: Dataset, flawed: Sequence[FlawedFile]) -> FilesDamaged:
    """Return the error that names ``flawed`` files."""
    lines = [str(flaw) for flaw in flawed[:_SHOWN]]
    lines += [f"... and {len(flawed) - _SHOWN} more"] if len(flawed) > _SHOWN else []
    shown = "\n  ".join(lines)
    return FilesDamaged(
        f"{dataset.name}: {counted(len(flawed), 'file')} not as published\n  {shown}",
        hint=f"remint doctor {dataset.name} --read-data    # finds all; remint repair {dataset.name} mends what it can",
    )


def published_files(tools: Tools, dataset: Dataset, paths: Collection[str]) -> list[DataFile]:
    """Return what the ledger says of live files of a dataset, in order of path.

    Raises:
        FilesDamaged: the ledger knows nothing of one of them.
    """
    wanted = set(paths)
    keys = {_key(dataset, path) for path in wanted}
    found = _files(tools, dataset, wanted, None if None in keys else sorted(k for k in keys if k))
    if len(found) < len(wanted):
        found = _files(tools, dataset, wanted, None)
    unknown = sorted(wanted - found.keys())
    if unknown:
        raise FilesDamaged(
            f"{dataset.name}: rows arrived in {unknown[0]}, and the ledger has no such file",
            hint=f"remint doctor {dataset.name}    # compares ledger, log and disk",
        )
    return [found[path] for path in sorted(found)]


def _files(
    tools: Tools, dataset: Dataset, wanted: set[str], keys: Iterable[PartitionKey] | None
) -> dict[str, DataFile]:
    records = tools.store.records(dataset.name, None if keys is None else list(keys))
    return {f.path: f for record in records.values() for f in record.files if f.path in wanted}


def _key(dataset: Dataset, path: str) -> PartitionKey | None:
    """Return the partition that the folders of a path name; None where they name none."""
    named = dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
    values = [named.get(name) for name in dataset.partition.folders]
    try:
        return dataset.partition.key_of([None if v is None else unquote(v) for v in values])
    except (InvalidKey, ValueError):
        return None
