"""The hash chain over the audit log: each entry's hash covers all of it and the hash of the entry before.

Rules: docs/audit.md says byte for byte what is hashed and how a break is named; ``remint_audit_verifier`` was written
from that page and shares no code with this module. What is hashed never changes: another way is another domain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from remint.model.checkpoint import Checkpoint

GENESIS: Final = "0" * 64
"""Stands for the hash of the entry before the first one."""

_DOMAIN: Final = b"remint.audit/1\n"
_ENCODE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the log as it is stored."""

    columns: Mapping[str, Any]
    """Every column but the hash, ``seq`` included, as stored; whoever changed the log may have put anything there."""
    hash: str

    @property
    def seq(self) -> int:
        """Its place in the log, counted from 1."""
        return int(self.columns["seq"])


class BreakKind(StrEnum):
    """What became of a log that is not as it was written."""

    EDITED = "edited"
    """An entry and its hash do not fit together, or not to the entry before; none of the cases below explains it."""
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    """The log ends before a checkpoint."""
    REWRITTEN = "rewritten"
    """The chain fits together, but is not the one that a checkpoint speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first place at which the log is not what was written."""

    kind: BreakKind
    seq: int
    found: str
    """In words, what shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What was found by going through the log from its first entry."""

    entries: int
    """Entries that fit, up to the break if there is one."""
    head: str
    """Hash of the last of them."""
    broken: Break | None


def entry_hash(previous: str, columns: Mapping[str, Any]) -> str:
    """Return the hash of an entry.

    Args:
        previous: hash of the entry before; ``GENESIS`` for the first.
        columns: every column of the entry but the hash, ``seq`` included: text, whole numbers, booleans and None.

    Raises:
        TypeError: a column holds what remint never writes, such as bytes.
    """
    return hashlib.sha256(_DOMAIN + previous.encode() + b"\n" + _ENCODE(columns).encode()).hexdigest()


def walk(links: Iterable[Link], checkpoints: Iterable[Checkpoint] = ()) -> Walk:
    """Go through the log in order until something does not fit.

    Args:
        links: the whole log, by ``seq``.
        checkpoints: what the log was at earlier times.
    """
    awaited = sorted(checkpoints, key=lambda c: c.entries, reverse=True)
    entries, previous, earlier, vouched = 0, GENESIS, GENESIS, 0
    rest = iter(links)
    while True:
        while awaited and awaited[-1].entries == entries:
            if awaited[-1].head != previous:
                return Walk(entries=entries, head=previous, broken=_rewritten(vouched + 1, entries, awaited[-1]))
            vouched = awaited.pop().entries
        link = next(rest, None)
        if link is None:
            return Walk(entries=entries, head=previous, broken=_truncated(entries, awaited))
        if link.seq != entries + 1 or not _fits(previous, link, link.seq):
            broken = _break(entries + 1, (earlier, previous), link, rest)
            return Walk(entries=entries, head=previous, broken=broken)
        entries, previous, earlier = link.seq, link.hash, previous


def _fits(previous: str, link: Link, seq: int) -> bool:
    """Return whether the entry, had it the number ``seq``, follows the one with the hash ``previous``."""
    return _hash_as(previous, link, seq) == link.hash


def _hash_as(previous: str, link: Link, seq: int) -> str | None:
    try:
        return entry_hash(previous, link.columns if link.seq == seq else {**link.columns, "seq": seq})
    except TypeError:
        return None


def _break(seq: int, before: tuple[str, str], link: Link, rest: Iterator[Link]) -> Break:
    """Name what is wrong with ``link``, which stands where entry ``seq`` is due, after two entries that fit."""
    if link.seq < seq:
        return Break(kind=BreakKind.INSERTED, seq=link.seq, found=f"there are several entries with seq {link.seq}")
    if link.seq > seq:
        if any(later.seq == seq for later in rest):
            found = f"entry {seq} stands after entry {link.seq}"
            return Break(kind=BreakKind.REORDERED, seq=seq, found=found)
        gone = f"entry {seq} is" if link.seq == seq + 1 else f"entries {seq} to {link.seq - 1} are"
        return Break(kind=BreakKind.REMOVED, seq=seq, found=f"{gone} not there")
    earlier, previous = before
    if seq > 1 and _fits(earlier, link, seq - 1):
        found = f"entry {seq} was logged as entry {seq - 1}, right after entry {seq - 2}"
        return Break(kind=BreakKind.INSERTED, seq=seq - 1, found=found)
    after = next(rest, None)
    if after is not None and after.seq == seq + 1:
        first = _hash_as(previous, after, seq)
        second = first and _hash_as(first, link, seq + 1)
        if second and {first, second} == {link.hash, after.hash}:
            found = f"entries {seq} and {seq + 1} were logged the other way round"
            return Break(kind=BreakKind.REORDERED, seq=seq, found=found)
        if first and first == after.hash:
            found = f"entry {seq + 1} was logged as entry {seq}"
            return Break(kind=BreakKind.INSERTED, seq=seq, found=found)
        if isinstance(link.hash, str) and _fits(link.hash, after, seq + 2):
            found = f"entry {seq + 1} was logged as entry {seq + 2}"
            return Break(kind=BreakKind.REMOVED, seq=seq, found=found)
    return Break(kind=BreakKind.EDITED, seq=seq, found=_edited(seq, link))


def _edited(seq: int, link: Link) -> str:
    said = f"{link.columns.get('action')} by {link.columns.get('actor')} at {link.columns.get('at')}"
    whose = f"it or entry {seq - 1} was changed" if seq > 1 else "it was changed"
    return f"entry {seq} ({said}) does not have the hash that it should have: {whose}"


def _rewritten(seq: int, entries: int, checkpoint: Checkpoint) -> Break:
    found = (
        f"the checkpoint of {checkpoint.at} (project {checkpoint.project}) says that entry {entries} has the hash "
        f"{checkpoint.head}; the log fits together, but entries {seq} to {entries} are not those that were logged then"
    )
    return Break(kind=BreakKind.REWRITTEN, seq=seq, found=found)


def _truncated(entries: int, awaited: list[Checkpoint]) -> Break | None:
    if not awaited:
        return None
    newest = awaited[0]
    found = f"the log ends with entry {entries}; at {newest.at} (project {newest.project}) it had {newest.entries}"
    return Break(kind=BreakKind.TRUNCATED, seq=entries + 1, found=found)


def exported(link: Link) -> str:
    """Return an entry as a line of an exported log: its columns and its hash, as canonical JSON."""
    return _ENCODE({**link.columns, "hash": link.hash})
