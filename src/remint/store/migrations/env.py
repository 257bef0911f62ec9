"""What Alembic runs around each migration: our connection, our tables, our version table."""

from __future__ import annotations

from alembic import context

from remint.store.tables import metadata, schema_info

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=schema_info.name,
    render_as_batch=True,
)
context.run_migrations()
