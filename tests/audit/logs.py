"""Audit logs in real state databases, the ways to tamper with them, and what both verifiers say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import remint_audit_verifier as apart
from remint.model.chain import GENESIS, entry_hash, walk
from remint.model.checkpoint import Checkpoint
from remint.store.audit_log import append
from remint.store.sql_store import SqlStore, open_store
from remint.store.values import AuditEntry, AuditStatus

Row = dict[str, Any]
Rows = list[Row]
Verdict = tuple[str, int] | None
"""Kind and place of a break; None where there is none."""

WORDS = ("late data", "naïve café", "日本語", "line\nbreak", 'quo"te', "back\\slash", "\x01\x1f", "🙂", "", "\u2028")


def an_entry(number: int, random: Random) -> AuditEntry:
    """Return an entry with texts of every kind."""
    at = f"2026-10-{1 + number % 28:02d}T{number % 24:02d}:30:00.{number % 1000:03d}Z"
    return AuditEntry(
        at=at,
        action=random.choice(["apply", "ingest", "approve", "resume", "intend"]),
        actor=random.choice(["ada", "bea", "zoë"]),
        run_id=None,
        start_time=random.choice([None, at]),
        end_time=random.choice([None, at]),
        layer=random.choice(["", "silver,gold"]),
        reason=random.choice(WORDS),
        affected_start="2026-10-14",
        affected_end="2026-10-15",
        record_count=random.choice([0, number, 2**53 + 1, 2**62]),
        status=random.choice(list(AuditStatus)),
        mode=random.choice(["", "incremental", "backfill"]),
        type=random.choice(["", "forced"]),
        override_state=random.random() < 0.5,
        trigger=random.choice(["", "schedule"]),
        datasets=("silver.x", "gold.y")[: random.randrange(3)],
        detail={"files": number, "why": random.choice(WORDS), "of": [1, None, True, {"b": 1, "a": 0.5}]},
    )


@dataclass
class Log:
    """A state database with a log, and the log as it was written."""

    path: Path
    store: SqlStore
    rows: Rows
    seed: int

    @classmethod
    def make(cls, folder: Path, entries: int, seed: int) -> Log:
        """Write a log of so many entries as remint writes it, in few transactions."""
        random = Random(seed)
        store = open_store("sqlite:///state.db", folder)
        with store._writing() as connection:
            for number in range(1, entries + 1):
                append(connection, an_entry(number, random))
        path = folder / "state.db"
        return cls(path, store, stored(path), seed)

    def write(self, rows: Iterable[Row]) -> None:
        """Put other rows in the place of the log, as somebody with access to the file can."""
        with sqlite3.connect(self.path, isolation_level=None) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            connection.execute("DELETE FROM audit_log")
            names = list(self.rows[0])
            columns = ", ".join(f'"{name}"' for name in names)
            marks = ", ".join("?" * len(names))
            connection.executemany(
                f"INSERT INTO audit_log ({columns}) VALUES ({marks})",
                [[row[name] for name in names] for row in rows],
            )
            connection.execute("COMMIT")
        connection.close()

    def checkpoint(self, entries: int) -> Checkpoint:
        """Return the checkpoint that was made when the log had so many entries."""
        head = self.rows[entries - 1]["hash"] if entries else GENESIS
        return Checkpoint(project="p", entries=entries, last_seq=entries, head=head, at="2026-10-14T08:30:00Z")

    def verdicts(self, checkpoints: Iterable[Checkpoint] = ()) -> tuple[Verdict, Verdict]:
        """Return what remint says of the database, and what the separate verifier says."""
        known = list(checkpoints)
        ours = walk(self.store.audit_chain(), known).broken
        given = [{"entries": c.entries, "head": c.head, "at": c.at} for c in known]
        theirs = apart.verdict(apart.entries_of(self.path), given)["broken"]
        return ours and (ours.kind.value, ours.seq), theirs and (theirs["kind"], theirs["seq"])

    def found(self, rows: Iterable[Row], checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
        """Return the verdict over a tampered log, once both verifiers say the same."""
        self.write(rows)
        ours, theirs = self.verdicts(checkpoints)
        assert ours == theirs
        return ours


def stored(path: Path) -> Rows:
    """Return the log that a state database holds, value for value."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute("SELECT * FROM audit_log ORDER BY seq")]
    connection.close()
    return rows


# -- what somebody with access to the file can do -----------------------------------------------------------------


def edited(rows: Rows, at: int, changes: Mapping[str, Any]) -> Rows:
    """Change columns of the entry at an index."""
    return [*rows[:at], {**rows[at], **changes}, *rows[at + 1 :]]


def removed(rows: Rows, at: int, *, renumbered: bool) -> Rows:
    """Remove an entry; the later ones may get its number and those after it."""
    later = [{**row, "seq": row["seq"] - 1} for row in rows[at + 1 :]] if renumbered else rows[at + 1 :]
    return [*rows[:at], *later]


def swapped(rows: Rows, at: int, *, with_hashes: bool) -> Rows:
    """Exchange an entry with the next one; their hashes may stay where they are."""
    one, two = rows[at], rows[at + 1]
    first, second = {**two, "seq": one["seq"]}, {**one, "seq": two["seq"]}
    if not with_hashes:
        first, second = {**first, "hash": one["hash"]}, {**second, "hash": two["hash"]}
    return [*rows[:at], first, second, *rows[at + 2 :]]


def inserted(rows: Rows, at: int, *, fitting: bool) -> Rows:
    """Put a forged entry before the one at an index; its hash may fit the entry before."""
    forged = {**rows[at], "actor": "nobody", "reason": "forged"}
    if fitting:
        forged["hash"] = hash_of(rows[at - 1]["hash"] if at else GENESIS, forged)
    return [*rows[:at], forged, *({**row, "seq": row["seq"] + 1} for row in rows[at:])]


def rewritten(rows: Rows, at: int) -> Rows:
    """Change an entry and make its hash and all later ones anew."""
    done = [*rows[:at]]
    for row in edited(rows, at, {"actor": "nobody"})[at:]:
        done.append({**row, "hash": hash_of(done[-1]["hash"] if done else GENESIS, row)})
    return done


def hash_of(previous: str, row: Row) -> str:
    """Return the hash that fits a row, by the knowledge that everybody has."""
    columns = {name: value for name, value in row.items() if name != "hash"}
    return entry_hash(previous, {**columns, "override_state": bool(columns["override_state"])})
