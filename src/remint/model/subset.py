"""A part of all files, so that hashing every one of them is spread over many days."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remint.errors import UsageError
from remint.model.provenance import DataFile

_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_PART = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Which files are hashed."""

    share: float = 1.0
    """Of the bytes: those files that were not hashed for longest."""
    number: int = 1
    of: int = 1
    """Without memory: the ``number``-th of ``of`` parts, by the names of the files."""

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Return what ``5%`` or ``3/20`` names.

        Raises:
            UsageError: it names neither a share above nothing nor a part that there is.
        """
        if (found := _SHARE.fullmatch(text)) and 0 < float(found[1]) <= 100:
            return cls(share=float(found[1]) / 100)
        if (found := _PART.fullmatch(text)) and 1 <= int(found[1]) <= int(found[2]):
            return cls(number=int(found[1]), of=int(found[2]))
        raise UsageError(f"{text!r} is no part of all files", hint="write it as 5%, or as 3/20: the third of twenty")

    def chosen(self, files: Sequence[DataFile], hashed_at: Mapping[str, str]) -> list[DataFile]:
        """Return the files to hash; at least one where there is any in the part.

        Args:
            files: all of them.
            hashed_at: when each was last hashed, as text that sorts by time; one that never was is absent.
        """
        part = [f for f in files if self.of == 1 or _bucket(f.path, self.of) == self.number - 1]
        if self.share >= 1:
            return part
        room = self.share * sum(f.size_bytes for f in part)
        found: list[DataFile] = []
        for file in sorted(part, key=lambda f: (hashed_at.get(f.path, ""), _bucket(f.path, 1 << 32))):
            if room <= 0:
                break
            found.append(file)
            room -= file.size_bytes
        return found


def _bucket(path: str, of: int) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % of
