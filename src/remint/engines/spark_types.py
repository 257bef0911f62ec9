"""Whether Spark gives a column the kind of type that DuckDB gives it: where it does not, the values differ too."""

from __future__ import annotations

from collections.abc import Mapping

from remint.errors import TypesDiffer
from remint.model.dataset import Dataset

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_SAME = {
    "BOOLEAN": ("boolean",),
    "FLOAT": ("float",),
    "DOUBLE": ("double",),
    "VARCHAR": ("string",),
    "DATE": ("date",),
    "TIMESTAMP WITH TIME ZONE": ("timestamp",),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"), _WHOLE),
}


def require_same_types(dataset: Dataset, duckdb: Mapping[str, str], spark: Mapping[str, str]) -> None:
    """Refuse columns whose kind of type depends on the engine.

    Raises:
        TypesDiffer: lists them; nothing was written.
    """
    found = {name.lower(): kind for name, kind in spark.items()}
    wrong = [
        f"{name}: DuckDB makes {kind}, Spark makes {found.get(name.lower(), 'no such column')}"
        for name, kind in duckdb.items()
        if not _is_same(kind, found.get(name.lower(), ""))
    ]
    if wrong:
        raise TypesDiffer(
            "the engines give columns different types, so their values would differ\n  " + "\n  ".join(wrong),
            hint="write the cast to the type that the contract promises",
        )


def _is_same(duckdb: str, spark: str) -> bool:
    if duckdb == '"NULL"':
        return bool(spark)
    if not duckdb.startswith("DECIMAL"):
        return spark in _SAME.get(duckdb, ())
    if not spark.startswith("decimal"):
        return False
    return duckdb[:-1].rpartition(",")[2] == spark[:-1].rpartition(",")[2]
