"""Bring a state database to the newest format; the only module that needs Alembic at run time."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run every migration that the database lacks, in the transaction of ``connection``."""
    config = Config()
    config.set_main_option("script_location", "remint.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
