"""Digests of content and of meaning: canonical encoding, content digests that add up, fingerprints.

Rules: a content digest is a sum over rows, so digests of files add up to the digest of their partition and survive
compaction. It finds changes; it does not resist somebody who forges them (file SHA-256 does that).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

_MASK = (1 << 64) - 1
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class ContentDigest:
    """Order-independent hash of a multiset of rows, 128 bits and the row count, under a named scheme."""

    scheme: str
    """Which row hash it is made of, with its version: two digests compare only under one scheme."""
    rows: int
    total: int
    """Sum of the 64-bit row hashes, modulo 2**64."""
    parity: int
    """Exclusive or of the 64-bit row hashes."""

    def __add__(self, other: ContentDigest) -> ContentDigest:
        if self.scheme != other.scheme:
            raise ValueError(f"cannot add digests of {self.scheme} and {other.scheme}")
        return ContentDigest(
            self.scheme, self.rows + other.rows, (self.total + other.total) & _MASK, self.parity ^ other.parity
        )

    @classmethod
    def empty(cls, scheme: str) -> ContentDigest:
        """Return the digest of no rows."""
        return cls(scheme, 0, 0, 0)

    @classmethod
    def combine(cls, scheme: str, parts: Iterable[ContentDigest]) -> ContentDigest:
        """Return the digest of the union of ``parts``."""
        whole = cls.empty(scheme)
        for part in parts:
            whole = whole + part
        return whole

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rows}:{self.total & _MASK:016x}{self.parity:016x}"

    @classmethod
    def parse(cls, text: str) -> ContentDigest:
        """Return the digest that ``str`` wrote."""
        scheme, rows, bits = text.rsplit(":", 2)
        return cls(scheme, int(rows), int(bits[:16], 16), int(bits[16:], 16))


def canonical(value: Any) -> Any:
    """Return ``value`` as plain JSON data with one spelling: dataclasses to objects, sets sorted, dates ISO."""
    if type(value) in _PLAIN:  # nearly all of a fingerprint is text, and the checks below are slow
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, frozenset | set):
        return sorted(canonical(v) for v in value)
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def canonical_json(value: Any) -> str:
    """Return ``canonical(value)`` as compact JSON with sorted keys: equal values give equal text."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def text_digest(text: str) -> str:
    """Return the first 128 bits of the SHA-256 of ``text``, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(logic: str, inputs: Mapping[str, Mapping[str, str]]) -> str:
    """Return what a unit should be made from: its logic and the digest of each input partition it reads.

    Args:
        logic: digest of the dataset's logic.
        inputs: for each input alias, the content digest of each upstream key that exists.
    """
    return text_digest(canonical_json([logic, inputs]))
