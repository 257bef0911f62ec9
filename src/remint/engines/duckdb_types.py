"""What DuckDB makes of a transform's columns, found without reading a row: the authority on types for every engine."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from remint.checks.run_now import bind_run_now
from remint.engines.base import StageWork, literal, quoted
from remint.engines.duckdb_parse import REASON, parsed_sql, rejected_columns, valid_columns
from remint.engines.promised_columns import check_columns
from remint.errors import TransformFailed
from remint.model.dataset import Column


def made_types(work: StageWork) -> Mapping[str, str]:
    """Return the type by column of what the work's SQL makes, as DuckDB spells types.

    Raises:
        TransformFailed: DuckDB refuses the SQL.
        SchemaMismatch: the columns are not the contract's.
    """
    dataset, transform = work.dataset, work.dataset.transform
    assert transform is not None  # noqa: S101 - the caller looked
    sql = bind_run_now(transform.sql, f"TIMESTAMPTZ {literal(work.now)}")
    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": "false"}) as con:
        con.execute("SET TimeZone = 'UTC'")
        try:
            for alias, scan in work.inputs.items():
                parses = dataset.parse is not None and dataset.parse.alias == alias
                _define(con, work, alias, scan.columns, parses=parses)
            rows = con.execute(f"DESCRIBE SELECT * FROM ({sql}\n)").fetchall()
        except duckdb.Error as error:
            raise TransformFailed(
                f"{dataset.name} {work.keys.describe()}: {str(error).partition(chr(10))[0]}",
                hint=f"the transform of {dataset.name} does not run; correct it and plan again",
            ) from error
    made = {row[0]: row[1] for row in rows}
    check_columns(dataset, made, "")
    return made


def _define(
    con: duckdb.DuckDBPyConnection, work: StageWork, alias: str, columns: tuple[Column, ...], *, parses: bool
) -> None:
    nulls = ", ".join(f"CAST(NULL AS {c.type}) AS {quoted(c.name)}" for c in columns)
    empty, parse = f"SELECT {nulls} WHERE false", work.dataset.parse
    if not parses or parse is None:
        con.execute(f"CREATE TEMP VIEW {quoted(alias)} AS {empty}")
        return
    con.execute(f"CREATE TEMP TABLE __parsed AS {parsed_sql(parse, empty, columns)}")
    valid, rejected = valid_columns(parse, columns), rejected_columns(parse, columns)
    con.execute(f"CREATE TEMP VIEW {quoted(alias)} AS SELECT {valid} FROM __parsed WHERE {REASON} IS NULL")
    con.execute(
        f"CREATE TEMP VIEW {quoted(alias + '_rejected')} AS SELECT {rejected} FROM __parsed WHERE {REASON} IS NOT NULL"
    )
