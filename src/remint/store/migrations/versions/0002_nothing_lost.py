"""Leases, pins, files that retention removed, when files were hashed, and a hash chain over the audit log."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what the first format lacks."""
    _leases()
    _pins()
    _expired()
    _hashed_files()
    _chain()


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.Text(), nullable=False),
        sa.Column("renewed_at", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_leases_run_id_runs"),
        sa.PrimaryKeyConstraint("run_id", name="pk_leases"),
    )


def _pins() -> None:
    op.create_table(
        "pins",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("pin_id", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pinned_by", sa.Text(), nullable=False),
        sa.Column("pinned_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name="fk_pins_release_id_releases"),
        sa.PrimaryKeyConstraint("seq", name="pk_pins"),
        sa.UniqueConstraint("pin_id", name="uq_pins_pin_id"),
    )
    op.create_table(
        "unpins",
        sa.Column("pin_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("unpinned_by", sa.Text(), nullable=False),
        sa.Column("unpinned_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pin_id"], ["pins.pin_id"], name="fk_unpins_pin_id_pins"),
        sa.PrimaryKeyConstraint("pin_id", name="pk_unpins"),
    )


def _expired() -> None:
    op.create_table(
        "expired",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_expired_run_id_runs"),
        sa.PrimaryKeyConstraint("dataset", "path", name="pk_expired"),
    )
    op.create_index("ix_expired_run_id", "expired", ["run_id"])


def _hashed_files() -> None:
    op.create_table(
        "hashed_files",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("hashed_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "path", name="pk_hashed_files"),
    )


def _chain() -> None:
    """Chain the entries that are there already, in order, as docs/audit.md says."""
    op.add_column("audit_log", sa.Column("hash", sa.String(64)))
    connection = op.get_bind()
    log = sa.Table("audit_log", sa.MetaData(), autoload_with=connection)
    previous, hashed = "0" * 64, []
    for row in connection.execute(sa.select(*(c for c in log.c if c.name != "hash")).order_by(log.c.seq)).mappings():
        entry = json.dumps({**row}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(f"remint.audit/1\n{previous}\n{entry}".encode()).hexdigest()
        hashed.append({"of": row["seq"], "as": previous})
    if hashed:
        chained = sa.update(log).where(log.c.seq == sa.bindparam("of")).values(hash=sa.bindparam("as"))
        connection.execute(chained, hashed)
    with op.batch_alter_table("audit_log") as table:
        table.alter_column("hash", existing_type=sa.String(64), nullable=False)
