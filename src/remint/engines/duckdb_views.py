"""DuckDB views: published relations under their names, in a connection, in a script or in a database file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from remint.engines.base import Scan, literal, quoted
from remint.engines.duckdb_rows import scan_sql
from remint.errors import ReadError

RELEASE_VIEW = "remint.release"
"""What a views file says about itself: one row."""
DATABASE_SUFFIX = ".duckdb"


def define(con: duckdb.DuckDBPyConnection, scans: Mapping[str, Scan]) -> None:
    """Give every scan a view of its name; those named ``layer.name`` stand in the layer's schema."""
    for statement in statements(scans):
        con.execute(statement)


def undefine(con: duckdb.DuckDBPyConnection, scans: Mapping[str, Scan]) -> None:
    """Take the views away, so that no later query can read an earlier cut."""
    for name in scans:
        con.execute(f"DROP VIEW IF EXISTS {_place(name)}")


def statements(scans: Mapping[str, Scan]) -> Iterator[str]:
    """Yield the statements that make a schema for each layer and a view for each scan."""
    for schema in sorted({name.rpartition(".")[0] for name in scans} - {""}):
        yield f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}"
    for name, scan in scans.items():
        kind = "VIEW" if "." in name else "TEMP VIEW"
        yield f"CREATE OR REPLACE {kind} {_place(name)} AS {scan_sql(scan)}"


def write_views(path: Path, scans: Mapping[str, Scan], about: Mapping[str, str]) -> None:
    """Write the scans as views to a new file: a script, or a database where its name ends in ``.duckdb``.

    Raises:
        ReadError: the file cannot be written.
    """
    columns = ", ".join(f"{literal(value)} AS {quoted(name)}" for name, value in about.items())
    release = (
        'CREATE SCHEMA IF NOT EXISTS "remint"',
        f"CREATE OR REPLACE VIEW {_place(RELEASE_VIEW)} AS SELECT {columns}",
    )
    try:
        if path.suffix == DATABASE_SUFFIX:
            with duckdb.connect(str(path)) as con:
                for statement in (*release, *statements(scans)):
                    con.execute(statement)
        else:
            heading = [f"-- {name}: {' '.join(value.split())}" for name, value in about.items()]
            lines = ["BEGIN", *release, *statements(scans), "COMMIT"]
            path.write_text("\n".join([*heading, *(f"{line};" for line in lines)]) + "\n", "utf-8", newline="\n")
    except (duckdb.Error, OSError) as error:
        raise ReadError(f"the views cannot be written to {path}: {error}") from error


def _place(name: str) -> str:
    return ".".join(quoted(part) for part in name.split("."))
