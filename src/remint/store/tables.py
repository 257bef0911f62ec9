"""Tables of the state database; ``migrations`` brings older databases to this shape.

Rules: the tables of ``APPEND_ONLY`` are append-only: nothing in remint updates or deletes their rows. ``heads``,
``arrived`` and ``standings`` are derived from them and can be made again; ``hashed_files`` only says what doctor may
leave for later; ``projections`` are facts about content,
added as they are learned. Sequence numbers are given under the write lock, so their order is the order of commits on
every database.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
)

_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class UtcText(TypeDecorator[str]):
    """ISO-8601 UTC text that ends in ``Z``: sorts by time and reads the same on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse text that would not sort by time."""
        if value is not None and not _UTC.fullmatch(value):
            raise ValueError(f"{value!r} is not UTC text such as 2026-10-14T08:30:00Z")
        return value


SEQ: Final = BigInteger().with_variant(Integer, "sqlite")
"""INTEGER on SQLite, where only that type makes the key the row's own address."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

schema_info = Table(
    "schema_info",
    metadata,
    Column("version_num", String(32), nullable=False),
    # Alembic's own version table under our name: one version, not two that could disagree.
    PrimaryKeyConstraint("version_num", name="schema_info_pkc"),
)

projects = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("root", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("plan_id", Text, index=True),
    Column("mode", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("override_state", Boolean, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("started_at", UtcText, nullable=False, index=True),
    Column("ended_at", UtcText),
    Column("summary", Text, nullable=False),
    Column("error", Text),
    Column("of_run", Text, ForeignKey("runs.run_id")),
    Column("approved_by", Text),
    Column("approval_reason", Text),
    Column("plan_json", Text),
    Column("read_seq", SEQ),
)

journal = Table(
    "journal",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
)

timings = Table(
    "timings",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, index=True),
    Column("dataset", Text, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_written", BigInteger, nullable=False),
    Column("bytes_scanned", BigInteger, nullable=False),
    Column("bytes_written", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("engine", Text, nullable=False),
    Column("recorded_at", UtcText, nullable=False),
    Index(None, "dataset", "seq"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("dataset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, index=True),
    Column("fingerprint", Text, nullable=False),
    Column("logic", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("table_version", BigInteger, nullable=False),
    Column("published", Boolean, nullable=False),
    Column("recorded_at", UtcText, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("files", Text, nullable=False),
    Index(None, "dataset", "partition", "seq", unique=True),
)

heads = Table(
    "heads",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("seq", SEQ, ForeignKey("ledger.seq"), nullable=False),
    # A copy of the ledger's short columns: planning reads every head, and ledger rows are ten times as long.
    Column("run_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("logic", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

standings = Table(
    "standings",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("through_seq", SEQ, nullable=False),
    Column("folded", Text, nullable=False),
)

projections = Table(
    "projections",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("content", Text, primary_key=True),
    Column("columns", Text, primary_key=True),
    Column("digest", Text, nullable=False),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    Column("event_key", Text, primary_key=True),
    Column("scheme", Text, primary_key=True),
    Column("is_rival", Boolean, primary_key=True),
    # A file gets new rivals whenever a later run brings versions of what it holds.
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("total", String(16), nullable=False),
    Column("parity", String(16), nullable=False),
    Index(None, "dataset", "event_key"),
    Index(None, "run_id"),
)

countings = Table(
    "countings",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("counted", Text, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
)

arrived = Table(
    "arrived",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("scheme", Text, primary_key=True),
    Column("event_key", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("total", String(16), nullable=False),
    Column("parity", String(16), nullable=False),
    Column("files", Integer, nullable=False),
)

source_files = Table(
    "source_files",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("dataset", Text, nullable=False, index=True),
    Column("uri", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_added", BigInteger, nullable=False),
    Column("rows_duplicate", BigInteger, nullable=False),
    Column("rows_rejected", BigInteger, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
)

coverage = Table(
    "coverage",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("dataset", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("start", Text, nullable=False),
    Column("end", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
)

logic = Table(
    "logic",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("sql", Text, nullable=False),
    Column("canonicaliser", Text, nullable=False),
    Column("old", Text, nullable=False),
    Column("recorded_at", UtcText, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
)

tables_seen = Table(
    "tables_seen",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("table_id", Text, nullable=False),
    Column("mark", Text, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("release_id", Text, nullable=False, unique=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, unique=True),
    Column("last_seq", SEQ, nullable=False),
    Column("versions", Text, nullable=False),
    Column("created_at", UtcText, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    # Counts who took the run over; only the newest holder's steps are taken.
    Column("epoch", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("taken_at", UtcText, nullable=False),
    Column("renewed_at", UtcText, nullable=False),
    Column("until", UtcText, nullable=False),
)

pins = Table(
    "pins",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("pin_id", Text, nullable=False, unique=True),
    Column("release_id", Text, ForeignKey("releases.release_id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("pinned_by", Text, nullable=False),
    Column("pinned_at", UtcText, nullable=False),
)

unpins = Table(
    "unpins",
    metadata,
    Column("pin_id", Text, ForeignKey("pins.pin_id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("unpinned_by", Text, nullable=False),
    Column("unpinned_at", UtcText, nullable=False),
)

expired = Table(
    "expired",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, index=True),
)

hashed_files = Table(
    "hashed_files",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("hashed_at", UtcText, nullable=False),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("dataset", Text, nullable=False, index=True),
    Column("value", Text, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("moved_at", UtcText, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("approval_id", Text, nullable=False, unique=True),
    Column("plan_id", Text, nullable=False, index=True),
    Column("requested_by", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_at", UtcText, nullable=False),
    Column("expires_at", UtcText, nullable=False),
)

approval_uses = Table(
    "approval_uses",
    metadata,
    # The key makes an approval good for one run, whatever the code above it does.
    Column("approval_id", Text, ForeignKey("approvals.approval_id"), primary_key=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, unique=True),
    Column("used_at", UtcText, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("at", UtcText, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reprocessing_id", Text, ForeignKey("runs.run_id"), index=True),
    Column("start_time", UtcText),
    Column("end_time", UtcText),
    Column("layer", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("affected_start", Text, nullable=False),
    Column("affected_end", Text, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("override_state", Boolean, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("datasets", Text, nullable=False),
    Column("detail", Text, nullable=False),
    # Covers every other column; one more column is another domain: docs/design/0014.
    Column("hash", String(64), nullable=False),
)

APPEND_ONLY: Final = (
    ledger,
    journal,
    timings,
    arrivals,
    countings,
    source_files,
    coverage,
    logic,
    releases,
    pins,
    unpins,
    expired,
    watermarks,
    approvals,
    approval_uses,
    audit_log,
)
"""Tables whose rows are never changed or removed."""
