"""A process that does nothing but read a project of three layers whose every run multiplies all amounts.

    python -m tests.e2e.readers KIND FOLDER

Kinds: ``cut`` reads through ``remint.open``, ``views`` through the views file alone, ``plain`` single tables by the
library of their format alone, ``catalog`` all tables as one look at an Iceberg catalog names them. ``FOLDER`` holds
the project ``p``, ``base.json`` with the rows of every table for the factor 1, and ``stop`` when it is enough. What was
seen goes to ``KIND.json``: a read is right when every row of every table that it saw is the base times one and the
same factor; which run published that factor is for the test to say.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AMOUNTS = {
    "silver.events": ("event_id", "amount"),
    "gold.daily": ("event_date || tenant", "amount"),
    "gold.trend": ("event_date || tenant", "week"),
    "gold.monthly": ("event_month || tenant", "amount"),
}
"""By table, upstream first: what identifies a row, and the column that every run multiplies."""

ALL_TABLES = " UNION ALL ".join(
    f"SELECT '{table}' AS t, {key} AS k, CAST({column} AS BIGINT) AS v FROM {table}"
    for table, (key, column) in AMOUNTS.items()
)

Rows = dict[str, dict[str, int]]
"""By table and key."""


@dataclass
class Seen:
    """What one reader saw."""

    base: Rows
    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    factors: Counter[str] = field(default_factory=Counter)
    """By run (where the reader knows it) or table, and factor: how often."""
    mixed: int = 0
    """Rounds of single tables that were not all of one run."""
    disordered: int = 0
    """Rounds in which a table was older than one that is made from it."""

    def factor_of(self, rows: Rows) -> int | None:
        """Return the factor by which all rows are those of the base; None when there is none."""
        table = next(iter(rows))
        key, value = next(iter(self.base[table].items()))
        factor = rows[table].get(key, 0) // value
        wanted = {t: {k: v * factor for k, v in self.base[t].items()} for t in rows}
        return factor if factor and rows == wanted else None

    def judge(self, label: str, rows: Rows) -> int | None:
        """Count a read."""
        self.reads += 1
        factor = self.factor_of(rows)
        if factor is None:
            self.wrong.append(f"{label}: {rows}"[:2000])
        else:
            self.factors[f"{label} {factor}"] += 1
        return factor

    def save(self, path: Path) -> None:
        """Write what was seen so far."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps({k: v for k, v in vars(self).items() if k != "base"}))
        os.replace(part, path)


def by_table(answer: Any) -> Rows:
    """Return the answer to ``ALL_TABLES`` by table and key."""
    rows: Rows = {table: {} for table in AMOUNTS}
    for table, key, value in zip(*(answer[c].to_pylist() for c in ("t", "k", "v")), strict=True):
        rows[table][key] = value
    return rows


def read_cuts(root: Path, seen: Seen) -> Iterator[None]:
    """Read all tables of the newest cut, and then those of an older one that was kept."""
    import remint

    lake = remint.open(root)
    cut = kept = lake.at()
    while True:
        newest = lake.at()
        cut = cut if newest.release == cut.release else newest
        seen.judge(cut.release.run_id, by_table(cut.sql(ALL_TABLES)))
        yield
        seen.judge(kept.release.run_id, by_table(kept.sql(ALL_TABLES)))
        if seen.reads % 40 == 0:
            kept = cut
        yield


def read_views(root: Path, seen: Seen) -> Iterator[None]:
    """Read all tables through the views file as it is now."""
    import duckdb

    while True:
        with duckdb.connect(str(root / "views.duckdb"), read_only=True) as con:
            ((run_id,),) = con.sql("SELECT run_id FROM remint.release").fetchall()
            for _ in range(3):
                seen.judge(run_id, by_table(con.sql(ALL_TABLES).to_arrow_table()))
                yield


def read_plain(root: Path, seen: Seen) -> Iterator[None]:
    """Read one table after the other as the library of its format finds it, those that are made last first."""
    from tests.e2e.lakehouses import LAKEHOUSES

    kept_in = "iceberg" if (root / "lake" / "catalog.db").exists() else "delta"
    lakehouse = LAKEHOUSES[kept_in](str(root / "lake"), None, root)
    columns = {t: [*key.split(" || "), value] for t, (key, value) in AMOUNTS.items()}
    while True:
        factors = []
        for table in reversed(AMOUNTS):
            found = lakehouse.rows(table).select(columns[table])
            *keys, values = (column.to_pylist() for column in found.columns)
            rows = {"".join(map(str, parts)): v for *parts, v in zip(*keys, values, strict=True)}
            factors.append(seen.judge(table, {table: rows}))
            yield
        if None not in factors:
            *made, daily, silver = (f or 0 for f in factors)
            seen.mixed += len({*made, daily, silver}) > 1
            seen.disordered += max(made) > daily or daily > silver


def read_catalog(root: Path, seen: Seen) -> Iterator[None]:
    """Read the state of every table that one query of the catalog names."""
    import sqlite3
    from contextlib import closing

    from pyiceberg.table import StaticTable

    while True:
        with closing(sqlite3.connect(root / "lake" / "catalog.db")) as named:
            query = "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables"
            places = dict(named.execute(query).fetchall())
        rows: Rows = {}
        for table, (key, value) in AMOUNTS.items():
            found = StaticTable.from_metadata(places[table]).scan().to_arrow()
            *keys, values = (found[column].to_pylist() for column in (*key.split(" || "), value))
            rows[table] = {"".join(map(str, parts)): v for *parts, v in zip(*keys, values, strict=True)}
        seen.judge("all", rows)
        yield


KINDS: dict[str, Callable[[Path, Seen], Iterator[None]]] = {
    "cut": read_cuts,
    "views": read_views,
    "plain": read_plain,
    "catalog": read_catalog,
}


def main(kind: str, folder: Path) -> None:
    """Read until there is a file ``stop``."""
    seen = Seen(base=json.loads((folder / "base.json").read_text()))
    for _ in KINDS[kind](folder / "p", seen):
        if seen.reads % 20 == 0:
            seen.save(folder / f"{kind}.json")
            if (folder / "stop").exists():
                break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    # What was read is written down. How the threads of four native libraries end together is not what is tested.
    os._exit(0)
