"""A lake in a bucket, and beside it what a command stages on this machine: each place is reached as its name says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from remint.errors import UsageError
from remint.storage.base import Sealed, Storage, Stored
from remint.storage.local import LOCAL

if TYPE_CHECKING:
    from remint.storage.s3 import S3Storage

_SCHEME = "s3://"


def storage_of(lake: str, announce: Callable[[str], None]) -> Storage:
    """Return the storage of a lake, by its URL.

    Raises:
        UsageError: the libraries that reach it are not installed.
    """
    if not lake.startswith(_SCHEME):
        return LOCAL
    try:
        from remint.storage.s3 import S3Storage  # noqa: PLC0415 - two libraries, which a lake on a disk does not need
    except ModuleNotFoundError as error:
        if error.name not in ("s3fs", "botocore", "aiobotocore"):
            raise
        raise UsageError(
            f"a lake on S3 needs {error.name}, which is not installed", hint='pip install "remint[s3]"'
        ) from None
    return Places(S3Storage(announce))


class Places:
    """A bucket, and the disk of this machine for places that are paths."""

    def __init__(self, bucket: S3Storage) -> None:
        """Bind the bucket."""
        self._bucket = bucket

    def _of(self, place: str) -> Storage:
        return self._bucket if place.startswith(_SCHEME) else LOCAL

    @property
    def options(self) -> Mapping[str, str]:
        """Return what reaches the bucket; holds secrets."""
        return self._bucket.options

    @property
    def filesystem(self) -> Any:
        """Return the bucket as fsspec shows it."""
        return self._bucket.filesystem

    def stat(self, place: str) -> Stored | None:
        """Look at a file."""
        return self._of(place).stat(place)

    def files(self, folder: str) -> Iterator[Stored]:
        """List a folder, at any depth."""
        return self._of(folder).files(folder)

    def names(self, folder: str) -> list[str]:
        """List a folder."""
        return self._of(folder).names(folder)

    def read(self, place: str) -> bytes:
        """Read a file."""
        return self._of(place).read(place)

    def sha256(self, place: str) -> str:
        """Hash a file."""
        return self._of(place).sha256(place)

    def write(self, place: str, content: bytes) -> None:
        """Write a file."""
        self._of(place).write(place, content)

    def create(self, place: str, content: bytes) -> bool:
        """Write a file where none is."""
        return self._of(place).create(place, content)

    def copy(self, source: str, place: str) -> None:
        """Copy a file, between bucket and disk too."""
        is_remote = source.startswith(_SCHEME) or place.startswith(_SCHEME)
        (self._bucket if is_remote else LOCAL).copy(source, place)

    def delete(self, places: Iterable[str], *, durably: bool = False) -> None:
        """Delete files."""
        found = list(places)
        self._bucket.delete([p for p in found if p.startswith(_SCHEME)], durably=durably)
        LOCAL.delete([p for p in found if not p.startswith(_SCHEME)], durably=durably)

    def move(self, places: Sequence[tuple[str, str]]) -> None:
        """Move files, each within the bucket or within the disk."""
        self._bucket.move([pair for pair in places if pair[1].startswith(_SCHEME)])
        LOCAL.move([pair for pair in places if not pair[1].startswith(_SCHEME)])

    def clear(self, folder: str) -> None:
        """Remove a folder."""
        self._of(folder).clear(folder)

    def prepare(self, folder: str) -> None:
        """Make a folder that can be written into."""
        self._of(folder).prepare(folder)

    def seal(self, places: Sequence[str], root: str) -> list[Sealed]:
        """Hash what an engine wrote, durably."""
        return self._of(root).seal(places, root)

    def sync(self, places: Iterable[str]) -> None:
        """Sync what lies on the disk."""
        LOCAL.sync(p for p in places if not p.startswith(_SCHEME))

    def sync_names(self, folder: str, top: str) -> None:
        """Sync the names of what lies on the disk."""
        self._of(folder).sync_names(folder, top)
