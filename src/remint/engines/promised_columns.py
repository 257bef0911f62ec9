"""Whether what a transform makes can be stored as its contract promises, without losing a value."""

from __future__ import annotations

from collections.abc import Mapping

from remint.errors import SchemaMismatch
from remint.model.dataset import Dataset

_WIDENS = {
    "BIGINT": ("INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT", "HUGEINT", "UBIGINT"),
    "INTEGER": ("SMALLINT", "TINYINT", "USMALLINT", "UTINYINT"),
    "DOUBLE": ("FLOAT",),
}
"""Types that a column takes without losing a value; out of range HUGEINT stops the query, it never wraps."""


def check_columns(dataset: Dataset, made: Mapping[str, str], place: str) -> None:
    """Refuse columns that are not the contract's.

    Args:
        dataset: with the columns that its contract promises.
        made: type by column of what the transform makes, as DuckDB spells it.
        place: file and line of the function that makes it; empty for SQL.

    Raises:
        SchemaMismatch: lists every column with what was expected and found.
    """
    found = {name: _spelled(kind) for name, kind in made.items()}
    if dataset.version.column and dataset.version.column not in found:
        found[dataset.version.column] = "VARCHAR"  # remint fills it in
    wrong = [
        f"{c.name}: expected {c.type}, the transform has no such column" for c in dataset.columns if c.name not in found
    ]
    wrong += [f"{name}: not in the contract" for name in found if name not in dataset.column_names]
    wrong += [
        f"{c.name}: expected {c.type}, found {found[c.name]}"
        for c in dataset.columns
        if c.name in found and not _fits(found[c.name], c.type)
    ]
    if wrong:
        whose = f"{dataset.name}: {place}: the function's" if place else f"{dataset.name}: the transform's"
        raise SchemaMismatch(
            f"{whose} columns are not those of its contract\n  " + "\n  ".join(wrong),
            hint=f"correct the {'function' if place else 'SELECT'}, or contracts/{dataset.name}.yaml if the promise "
            "itself changed",
        )


def _spelled(found: str) -> str:
    return {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}.get(found, found).replace(" ", "")


def _fits(found: str, declared: str) -> bool:
    if found == declared or found in _WIDENS.get(declared, ()) or found == '"NULL"':
        return True
    if found.startswith("DECIMAL") and declared.startswith("DECIMAL"):
        (p, s), (q, t) = (map(int, d[8:-1].split(",")) for d in (found, declared))
        return t >= s and q - t >= p - s
    return declared.startswith("DECIMAL") and found in ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT")
