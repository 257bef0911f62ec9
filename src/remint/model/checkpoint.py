"""Checkpoints of the audit log: how long it was and which hash it ended with, to be kept where others cannot write.

Rule: docs/audit.md says byte for byte what is signed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from remint.errors import CheckpointInvalid
from remint.model.digest import canonical_json

CHECKPOINT_FORMAT: Final = "remint.checkpoint/1"
_HEX: Final = {"head": 64, "public_key": 64, "signature": 128}
_TYPES: Final = {"format": str, "project": str, "entries": int, "last_seq": int, "head": str, "at": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the audit log was at some time."""

    format: str = CHECKPOINT_FORMAT
    project: str
    entries: int
    last_seq: int
    """Of the last entry; the same as ``entries``, since no number is left out."""
    head: str
    """Hash of the last entry; 64 zeros where there was none."""
    at: str
    """When it was made."""
    public_key: str | None = None
    """Ed25519, 32 bytes in hex; None where it is not signed."""
    signature: str | None = None
    """Ed25519 over ``signed_bytes``, 64 bytes in hex."""

    @property
    def signed_bytes(self) -> bytes:
        """What the signature covers: everything but itself."""
        said = {name: value for name, value in asdict(self).items() if name != "signature"}
        return f"{CHECKPOINT_FORMAT}\n{canonical_json(said)}".encode()

    def text(self) -> str:
        """Return the checkpoint as it is written to a file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str, where: str) -> Checkpoint:
        """Return the checkpoint that ``text`` writes.

        Raises:
            CheckpointInvalid: it is none; ``where`` names it.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise CheckpointInvalid(f"{where} is not JSON: {error}") from error
        wrong = _wrong(found)
        if wrong:
            raise CheckpointInvalid(f"{where} is not a checkpoint: {wrong}", hint="remint audit checkpoint FILE")
        return cls(**found)


def _wrong(found: Any) -> str:
    """Return in words why ``found`` is no checkpoint; empty when it is one."""
    names = {*_TYPES, "public_key", "signature"}
    if not isinstance(found, dict) or set(found) != names:
        return f"expected an object with {', '.join(sorted(names))}"
    if found["format"] != CHECKPOINT_FORMAT:
        return f"its format is {found['format']!r}, not {CHECKPOINT_FORMAT!r}"
    for name, kind in _TYPES.items():
        if type(found[name]) is not kind:
            return f"{name} is {found[name]!r}"
    for name, length in _HEX.items():
        given = found[name]
        missing_allowed = name != "head" and given is None
        if not missing_allowed and not (isinstance(given, str) and re.fullmatch(rf"[0-9a-f]{{{length}}}", given)):
            return f"{name} is {given!r}, not {length} hexadecimal digits"
    if (found["public_key"] is None) != (found["signature"] is None):
        return "it has a signature or a public key, and not both"
    if found["entries"] != found["last_seq"] or found["entries"] < 0:
        return f"{found['entries']} entries cannot end with seq {found['last_seq']}"
    return ""
