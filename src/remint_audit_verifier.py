"""Verify an audit log of remint without remint: one file, the standard library, no shared code.

    python -m remint_audit_verifier LOG [CHECKPOINT ...] [--public-key FILE] [--json]

LOG is an exported log (JSON Lines) or the SQLite state database itself. Exits with 0 when everything fits, 1 when
something was changed, 2 when it cannot read what it was given. Written from docs/audit.md, which says what is hashed,
what is signed, and how a break is named. Only signatures need a package: cryptography.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START = "0" * 64
SQLITE = b"SQLite format 3\x00"
COLUMNS = (
    *("seq", "at", "action", "actor", "reprocessing_id", "start_time", "end_time", "layer", "reason"),
    *("affected_start", "affected_end", "record_count", "status", "mode", "type", "override_state"),
    *("trigger", "datasets", "detail"),
)
CHECKPOINT = {"format", "project", "entries", "last_seq", "head", "at", "public_key", "signature"}

Entry = dict[str, Any]
"""The columns of an entry, with its hash as ``hash``."""


class Unusable(Exception):
    """Something that was given cannot be read."""


class Forged(Exception):
    """A checkpoint is not what was signed, or not by whom it should be."""


def canonical(value: object) -> bytes:
    """Return canonical JSON; bytes that are no UTF-8 pass through as they were stored."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def hash_of(before: str, entry: Entry, number: int) -> str:
    """Return the hash of ``entry`` after the hash ``before``, had it the number ``number``; empty if it has none."""
    columns = {name: value for name, value in entry.items() if name != "hash"}
    columns["seq"] = number
    try:
        hashed = b"remint.audit/1\n" + before.encode() + b"\n" + canonical(columns)
    except (TypeError, ValueError):  # bytes, or text that was never UTF-8
        return ""
    return hashlib.sha256(hashed).hexdigest()


def entries_of(log: Path) -> Iterator[Entry]:
    """Give the entries of an exported log or of a state database, in order."""
    try:
        with log.open("rb") as handle:
            is_database = handle.read(len(SQLITE)) == SQLITE
    except OSError as error:
        raise Unusable(f"{log} cannot be read: {error.strerror}") from error
    return _stored(log) if is_database else _exported(log)


def _stored(log: Path) -> Iterator[Entry]:
    try:
        connection = _opened(log)
        try:
            for row in connection.execute(f"SELECT {', '.join(COLUMNS)}, hash FROM audit_log ORDER BY seq"):  # noqa: S608
                entry = dict(zip((*COLUMNS, "hash"), row, strict=True))
                if type(entry["seq"]) is not int:
                    raise Unusable(f"{log}: seq is {entry['seq']!r}; the table is not the one that remint made")
                forced = entry["override_state"]
                if type(forced) is int and forced in (0, 1):
                    entry["override_state"] = bool(forced)
                yield entry
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unusable(f"{log}: {error}; expected the table audit_log with the columns of docs/audit.md") from error


def _opened(log: Path) -> sqlite3.Connection:
    place = log.resolve().as_uri()
    connection = sqlite3.connect(f"{place}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()
        if Path(f"{log}-wal").exists():
            raise
        # A closed database in a place that cannot be written: SQLite cannot make its write-ahead log there.
        connection = sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def _exported(log: Path) -> Iterator[Entry]:
    with log.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                entry = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
            except (ValueError, RecursionError) as error:
                raise Unusable(f"{log}, line {number} is no entry: {error}") from error
            if not isinstance(entry, dict) or type(entry.get("seq")) is not int:
                raise Unusable(f"{log}, line {number} is no entry: it has no seq")
            yield entry


def _once(pairs: list[tuple[str, Any]]) -> Entry:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def verdict(entries: Iterator[Entry], checkpoints: list[Entry]) -> dict[str, Any]:
    """Return how many entries fit, the hash of the last of them, and what is wrong with the next one, if anything."""
    due = sorted(checkpoints, key=lambda c: int(c["entries"]))
    count, confirmed, last, last_but_one = 0, 0, START, START

    def said(kind: str = "", place: int = 0, found: str = "") -> dict[str, Any]:
        broken = {"kind": kind, "seq": place, "found": found} if kind else None
        return {"entries": count, "head": last, "broken": broken}

    while True:
        while due and due[0]["entries"] == count:
            if due[0]["head"] != last:
                words = f"up to entry {count} it is not the log that had the checkpoint of {due[0]['at']}"
                return said("rewritten", confirmed + 1, words)
            confirmed = due.pop(0)["entries"]
        entry = next(entries, None)
        if entry is None:
            if not due:
                return said()
            words = f"it ends after {count} entries; at {due[-1]['at']} there were {due[-1]['entries']}"
            return said("truncated", count + 1, words)
        number = count + 1
        if entry["seq"] != number or entry.get("hash") != hash_of(last, entry, number):
            return said(*name_of_break(number, (last_but_one, last), entry, entries))
        count, last_but_one, last = number, last, entry["hash"]


def name_of_break(number: int, hashes: tuple[str, str], entry: Entry, others: Iterator[Entry]) -> tuple[str, int, str]:
    """Return name, place and words for the break at ``entry``, which stands where ``number`` is due."""
    last_but_one, last = hashes
    here = entry.get("hash")
    if entry["seq"] < number:
        return "inserted", entry["seq"], f"seq {entry['seq']} stands there again"
    if entry["seq"] > number:
        if any(other["seq"] == number for other in others):
            return "reordered", number, f"seq {entry['seq']} stands before seq {number}"
        return "removed", number, f"after seq {number - 1} comes seq {entry['seq']}"
    if number > 1 and here == hash_of(last_but_one, entry, number - 1):
        return "inserted", number - 1, f"what is seq {number} now followed on seq {number - 2}"
    follower = next(others, None)
    if follower is not None and follower["seq"] == number + 1:
        beyond = follower.get("hash")
        first = hash_of(last, follower, number)
        second = hash_of(first, entry, number + 1)
        if first and second and (first, second) in ((here, beyond), (beyond, here)):
            return "reordered", number, f"seq {number} and {number + 1} have changed places"
        if first and first == beyond:
            return "inserted", number, f"what is seq {number + 1} now followed on seq {number - 1}"
        if isinstance(here, str) and beyond == hash_of(here, follower, number + 2):
            return "removed", number, f"from seq {number + 1} on, numbers are too small"
    return "edited", number, "its content, its hash, or the hash before it is not what it was"


def read_checkpoint(file: Path) -> Entry:
    """Return what a checkpoint file says."""
    try:
        found = json.loads(file.read_text("utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{file} is no checkpoint: {error}") from error
    if not isinstance(found, dict) or set(found) != CHECKPOINT or found["format"] != "remint.checkpoint/1":
        raise Unusable(f"{file} is no checkpoint of the format remint.checkpoint/1")
    if type(found["entries"]) is not int or found["entries"] < 0 or found["entries"] != found["last_seq"]:
        raise Unusable(f"{file} is no checkpoint: {found['entries']!r} entries, last {found['last_seq']!r}")
    if (found["public_key"] is None) != (found["signature"] is None):
        raise Unusable(f"{file} is no checkpoint: it has a key or a signature, and not both")
    for member, length in (("head", 64), ("public_key", 64), ("signature", 128)):
        value = found[member]
        if (member == "head" or value is not None) and not re.fullmatch(f"[0-9a-f]{{{length}}}", str(value)):
            raise Unusable(f"{file} is no checkpoint: {member} is {value!r}")
    return found


def check_signature(file: Path, checkpoint: Entry, expected: Path | None) -> str:
    """Return in words who vouches for a checkpoint."""
    if checkpoint["signature"] is None:
        if expected:
            raise Forged(f"{file} is not signed")
        return "not signed"
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only for those who check signatures
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise Unusable(f"the signature of {file} cannot be checked: pip install cryptography") from error
    if expected:
        try:
            key = load_pem_public_key(expected.read_bytes())
        except (OSError, ValueError) as error:
            raise Unusable(f"{expected} is no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise Unusable(f"{expected} is no Ed25519 key")
        if key.public_bytes_raw().hex() != checkpoint["public_key"]:
            raise Forged(f"{file} is signed by another key: {checkpoint['public_key']}")
    said = {name: value for name, value in checkpoint.items() if name != "signature"}
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint["public_key"]))
        public.verify(bytes.fromhex(checkpoint["signature"]), b"remint.checkpoint/1\n" + canonical(said))
    except (InvalidSignature, ValueError) as error:
        raise Forged(f"{file}: its signature does not fit") from error
    return f"signed by {'the expected key' if expected else 'a key that nobody vouched for'}"


def examine(log: Path, files: list[Path], key: Path | None) -> dict[str, Any]:
    """Return the verdict over a log and its checkpoints."""
    if key and not files:
        raise Unusable("a public key vouches for checkpoints, and none is given")
    checkpoints = [read_checkpoint(file) for file in files]
    vouched = [check_signature(file, found, key) for file, found in zip(files, checkpoints, strict=True)]
    found = verdict(entries_of(log), checkpoints)
    return {
        "format": "remint.audit-verdict/1",
        **found,
        "checkpoints": dict(zip(map(str, files), vouched, strict=True)),
    }


def told(found: dict[str, Any], say: Callable[[str], object]) -> None:
    """Say the verdict in words."""
    broken = found["broken"]
    if broken:
        say(f"CHANGED: {broken['kind']} at seq {broken['seq']}: {broken['found']}\n")
    say(f"{found['entries']} entries fit; the last has the hash {found['head']}\n")
    for file, vouched in found["checkpoints"].items():
        say(f"compared with {file}, {vouched}\n")
    if not found["checkpoints"]:
        say("compared with no checkpoint: a log written anew as a whole, or cut at its end, would look the same\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m remint_audit_verifier", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("log", type=Path, help="exported log (JSON Lines) or SQLite state database")
    parser.add_argument("checkpoints", type=Path, nargs="*", help="checkpoint files, in any order")
    parser.add_argument("--public-key", type=Path, help="PEM file of the key that must have signed every checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    try:
        found = examine(given.log, given.checkpoints, given.public_key)
    except (Unusable, Forged) as error:
        sys.stderr.write(f"{error}\n")
        return 1 if isinstance(error, Forged) else 2
    if given.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        told(found, sys.stdout.write)
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
