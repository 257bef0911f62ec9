"""Prove the audit log: walk its hash chain, compare it with checkpoints, and hand both out to be kept elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remint.errors import AuditLogBroken, UsageError
from remint.model.chain import Break, Walk, exported, walk
from remint.model.checkpoint import Checkpoint
from remint.publishing.tools import Tools
from remint.signing import check_signature, public_key, signed
from remint.store.base import StoreReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the audit log was found to be."""

    walk: Walk
    checkpoints: tuple[Checkpoint, ...]
    """Those that it was compared with; their signatures fit."""
    vouched_by: str | None
    """The public key that every one of them had to be signed by, where one was asked for."""


def first_break(store: StoreReader) -> Break | None:
    """Return the first place at which the audit log does not fit together; None where it does.

    A chain that somebody made anew as a whole fits together: only a checkpoint tells it.
    """
    return walk(store.audit_chain()).broken


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log as evidence."""

    tools: Tools
    project: str

    def verify(self, checkpoints: Sequence[Path] = (), key: Path | None = None) -> Verification:
        """Return whether the log is what was written, and what it was when each checkpoint was made.

        Args:
            checkpoints: files.
            key: file of the public key that must have signed all of them.

        Raises:
            CheckpointInvalid: a file is no checkpoint.
            CheckpointForged: a checkpoint is not signed as it must be.
            UsageError: a key is given, and no checkpoint that it could have signed.
        """
        if key and not checkpoints:
            raise UsageError("a public key vouches for checkpoints, and none is given", hint="remint audit verify FILE")
        read = tuple(read_checkpoint(file, key) for file in checkpoints)
        found = walk(self.tools.store.audit_chain(), read)
        return Verification(walk=found, checkpoints=read, vouched_by=public_key(key) if key else None)

    def checkpoint(self, file: Path, key: Path | None = None) -> Checkpoint:
        """Write what the log is now to a new file, signed where a private key is given.

        Raises:
            AuditLogBroken: the log is not what was written; nothing is vouched for.
            UsageError: the file is there already: checkpoints are kept, not replaced.
        """
        found = walk(self.tools.store.audit_chain())
        if found.broken:
            raise AuditLogBroken(
                f"the audit log is not as it was written: {found.broken.found}", hint="remint audit verify"
            )
        made = Checkpoint(
            project=self.project,
            entries=found.entries,
            last_seq=found.entries,
            head=found.head,
            at=self.tools.now(),
        )
        made = signed(made, key) if key else made
        _write_new(file, [made.text()])
        return made

    def export(self, file: Path) -> int:
        """Write every entry with its hash to a new file, one JSON object a line; return how many there are.

        The log is written as it is, sound or not.
        """
        count = 0

        def lines() -> Iterator[str]:
            nonlocal count
            for link in self.tools.store.audit_chain():
                count += 1
                yield f"{exported(link)}\n"

        _write_new(file, lines())
        return count


def read_checkpoint(file: Path, key: Path | None) -> Checkpoint:
    """Return the checkpoint in a file, once its signature is checked."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    found = Checkpoint.parse(text, str(file))
    check_signature(found, str(file), key)
    return found


def _write_new(file: Path, lines: Iterable[str]) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="\n") as handle:
            handle.writelines(lines)
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError as error:
        hint = "choose another name; what was handed out is kept"
        raise UsageError(f"{file} is there already", hint=hint) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
