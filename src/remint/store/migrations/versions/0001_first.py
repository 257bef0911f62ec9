"""The first format: everything of ``store.tables`` as it was then, on its own so that it never changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of an empty database."""
    _runs()
    _timings()
    _ledger()
    _arrivals()
    _state()
    _approvals()
    _audit()


def _runs() -> None:
    op.create_table(
        "projects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text()),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("override_state", sa.Boolean(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text()),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("of_run", sa.Text()),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approval_reason", sa.Text()),
        sa.Column("plan_json", sa.Text()),
        sa.Column("read_seq", SEQ),
        sa.ForeignKeyConstraint(["of_run"], ["runs.run_id"], name="fk_runs_of_run_runs"),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_plan_id", "runs", ["plan_id"])
    op.create_index("ix_runs_started_at", "runs", ["started_at"])
    op.create_table(
        "journal",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_journal_run_id_runs"),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_journal"),
    )


def _timings() -> None:
    op.create_table(
        "timings",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_written", sa.BigInteger(), nullable=False),
        sa.Column("bytes_scanned", sa.BigInteger(), nullable=False),
        sa.Column("bytes_written", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_timings_run_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_timings"),
    )
    op.create_index("ix_timings_dataset_seq", "timings", ["dataset", "seq"])
    op.create_index("ix_timings_run_id", "timings", ["run_id"])


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("logic", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("table_version", sa.BigInteger(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_ledger_run_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_ledger"),
    )
    op.create_index("ix_ledger_dataset_partition_seq", "ledger", ["dataset", "partition", "seq"], unique=True)
    op.create_index("ix_ledger_run_id", "ledger", ["run_id"])
    op.create_table(
        "heads",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("seq", SEQ, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("logic", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["ledger.seq"], name="fk_heads_seq_ledger"),
        sa.PrimaryKeyConstraint("dataset", "partition", name="pk_heads"),
    )
    op.create_table(
        "logic",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False),
        sa.Column("canonicaliser", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_logic_run_id_runs"),
        sa.PrimaryKeyConstraint("dataset", "number", name="pk_logic"),
    )
    op.create_table(
        "standings",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("through_seq", SEQ, nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", name="pk_standings"),
    )
    op.create_table(
        "projections",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "content", "columns", name="pk_projections"),
    )


def _arrivals() -> None:
    op.create_table(
        "arrivals",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("is_rival", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.String(length=16), nullable=False),
        sa.Column("parity", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_arrivals_run_id_runs"),
        sa.PrimaryKeyConstraint("dataset", "file", "event_key", "scheme", "is_rival", "run_id", name="pk_arrivals"),
    )
    op.create_index("ix_arrivals_dataset_event_key", "arrivals", ["dataset", "event_key"])
    op.create_index("ix_arrivals_run_id", "arrivals", ["run_id"])
    op.create_table(
        "countings",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_countings_run_id_runs"),
        sa.PrimaryKeyConstraint("dataset", name="pk_countings"),
    )
    op.create_table(
        "arrived",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.String(length=16), nullable=False),
        sa.Column("parity", sa.String(length=16), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "scheme", "event_key", name="pk_arrived"),
    )
    op.create_table(
        "source_files",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_added", sa.BigInteger(), nullable=False),
        sa.Column("rows_duplicate", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_source_files_run_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_source_files"),
    )
    op.create_index("ix_source_files_dataset", "source_files", ["dataset"])
    op.create_table(
        "coverage",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_coverage_run_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_coverage"),
    )
    op.create_index("ix_coverage_dataset", "coverage", ["dataset"])


def _state() -> None:
    op.create_table(
        "releases",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("last_seq", SEQ, nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_releases_run_id_runs"),
        sa.PrimaryKeyConstraint("number", name="pk_releases"),
        sa.UniqueConstraint("release_id", name="uq_releases_release_id"),
        sa.UniqueConstraint("run_id", name="uq_releases_run_id"),
    )
    op.create_table(
        "tables_seen",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", name="pk_tables_seen"),
    )
    op.create_table(
        "watermarks",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_watermarks_run_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_watermarks"),
    )
    op.create_index("ix_watermarks_dataset", "watermarks", ["dataset"])


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_approvals"),
        sa.UniqueConstraint("approval_id", name="uq_approvals_approval_id"),
    )
    op.create_index("ix_approvals_plan_id", "approvals", ["plan_id"])
    op.create_table(
        "approval_uses",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("used_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.approval_id"], name="fk_approval_uses_approval_id_approvals"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_approval_uses_run_id_runs"),
        sa.PrimaryKeyConstraint("approval_id", name="pk_approval_uses"),
        sa.UniqueConstraint("run_id", name="uq_approval_uses_run_id"),
    )


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reprocessing_id", sa.Text()),
        sa.Column("start_time", sa.Text()),
        sa.Column("end_time", sa.Text()),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("affected_start", sa.Text(), nullable=False),
        sa.Column("affected_end", sa.Text(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("override_state", sa.Boolean(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("datasets", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reprocessing_id"], ["runs.run_id"], name="fk_audit_log_reprocessing_id_runs"),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_reprocessing_id", "audit_log", ["reprocessing_id"])
