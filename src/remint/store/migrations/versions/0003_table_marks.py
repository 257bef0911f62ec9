"""What tells the states of tables that were seen from others of the same version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Have every table looked at anew: a version alone, which is all that was kept, does not tell what was seen."""
    op.add_column("tables_seen", sa.Column("table_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("tables_seen", sa.Column("mark", sa.Text(), nullable=False, server_default=""))
