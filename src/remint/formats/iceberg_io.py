"""How pyiceberg reads and writes metadata: through the same file system as data files, where tables lie in a bucket.

That one waits and tries again as the settings of remint say, and remembers neither credentials nor what it listed.
"""

from __future__ import annotations

from typing import Any

from pyiceberg.io.fsspec import FsspecFileIO

STORAGE = "remint.storage"
"""Property of a catalog, never written anywhere: where the tables lie."""
_SCHEMES = ("s3", "s3a", "s3n")


class LakeIO(FsspecFileIO):
    """Files by their places; those of buckets as the storage of the tables reaches them."""

    def __init__(self, properties: dict[str, Any]) -> None:
        """Take the storage out of what a catalog is given."""
        storage = properties.get(STORAGE)
        super().__init__({name: value for name, value in properties.items() if name != STORAGE})
        if storage is not None and storage.filesystem is not None:
            self._scheme_to_fs.update(dict.fromkeys(_SCHEMES, lambda _: storage.filesystem))
