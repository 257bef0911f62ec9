"""Leases of runs, pins of releases, files that retention removed, and when files were last hashed."""

from __future__ import annotations

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


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
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
