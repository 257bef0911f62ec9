"""Ingest of one fetched source file with DuckDB: typed rows, rejected rows with reasons, nothing twice, files out.

Rules: every row of the file is added, a duplicate, or rejected, and the three add up to an independent count; a row
that the sets of this module do not recognise is decided by ``strict_rows`` alone; no value is ever coerced.
"""

from __future__ import annotations

_MET = '"__ingest_met"'
"""Rows whose key is taken: their line, whether the content is the same, and what took the key."""
_RAW_CHARACTERS = 64 * 1024
