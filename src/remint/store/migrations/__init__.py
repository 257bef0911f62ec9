"""Steps from each format of the state database to the next, run by Alembic."""
