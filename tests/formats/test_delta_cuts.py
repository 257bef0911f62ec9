"""Partitions by hour, week, day and value, and logic version: what is published is found again under its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from remint.engines.base import literal
from remint.engines.duckdb_rows import UnusablePartition, copy_partitioned, open_connection
from remint.formats.base import Replacement, Table
from remint.formats.delta import DeltaFormat
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionSpec
from remint.model.provenance import DataFile

FORMAT = DeltaFormat()
VALUES = ["acme", "bolt/2", "a=b", "100%", "..", "it's", "café", "2026-10-14", " lead", "v1"]


def spec(grain: Grain, label: str | None = None) -> PartitionSpec:
    return PartitionSpec(column="p", grain=grain, label=label)


def table_in(root: Path, cut: PartitionSpec) -> Table:
    columns = [Column(name="n", type="BIGINT"), Column(name="p", type=cut.type)]
    columns += [Column(name=cut.label, type="VARCHAR")] if cut.label else []
    table = Table(name="gold.t", location=str(root / "t"), columns=tuple(columns), partition=cut, append_only=False)
    FORMAT.create(table)
    return table


def staged(root: Path, table: Table, rows: list[tuple[str, ...]], token: str = "r1-0") -> list[DataFile]:
    cut = table.partition
    names = ", ".join(("n", *cut.columns))
    shown = ", ".join(f"({number}, {', '.join(map(literal, row))})" for number, row in enumerate(rows))
    casts = ", ".join(f"CAST({c.name} AS {c.type}) AS {c.name}" for c in table.columns)
    with open_connection("256MB", 1, root / "spill") as con:
        return copy_partitioned(con, f"SELECT {casts} FROM (VALUES {shown}) v({names})", table.location, cut, token)


def publish(table: Table, run_id: str, adds: list[DataFile], removes: list[DataFile] | None = None) -> int:
    change = Replacement(run_id=run_id, attempt=1, adds=tuple(adds), removes=tuple(removes or ()))
    return FORMAT.publish([(table, change)])[0].version


@pytest.mark.parametrize(
    ("cut", "rows", "keys"),
    [
        (
            spec(Grain.HOUR),
            [("2026-10-25 00:00:00+00",), ("2026-10-25 23:00:00+00",)],
            ["2026-10-25T00", "2026-10-25T23"],
        ),
        (spec(Grain.WEEK), [("2026-10-26",), ("2024-12-30",)], ["2025-W01", "2026-W44"]),
        (spec(Grain.DAY, "tenant"), [("2026-10-14", v) for v in VALUES], [f"2026-10-14/{v}" for v in VALUES]),
        (spec(Grain.HOUR, "v"), [("2026-10-14 05:00:00+00", "v2")], ["2026-10-14T05/v2"]),
    ],
)
def test_files_are_live_under_their_key_and_read_back_whole(
    tmp_path: Path, cut: PartitionSpec, rows: list[tuple[str, ...]], keys: list[str]
) -> None:
    table = table_in(tmp_path, cut)

    files = staged(tmp_path, table, rows)
    publish(table, "r1", files)

    live = FORMAT.live_files(table)
    assert sorted(live) == sorted(keys) == sorted(f.key for f in files)
    assert {p for paths in live.values() for p in paths} == {f.path for f in files}
    assert DeltaTable(table.location).to_pyarrow_table().num_rows == len(rows)


def test_one_value_of_a_day_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    table = table_in(tmp_path, spec(Grain.DAY, "tenant"))
    first = staged(tmp_path, table, [("2026-10-14", v) for v in VALUES])
    publish(table, "r1", first)
    old = [f for f in first if f.key == "2026-10-14/bolt/2"]

    new = staged(tmp_path, table, [("2026-10-14", "bolt/2")] * 2, "r2-0")
    publish(table, "r2", new, old)

    rows = DeltaTable(table.location).to_pyarrow_table().to_pylist()
    assert sorted(r["tenant"] for r in rows) == sorted([*VALUES, "bolt/2"])
    assert FORMAT.live_files(table)["2026-10-14/bolt/2"] == {f.path for f in new}


@pytest.mark.parametrize(
    ("grain", "value"),
    [(Grain.HOUR, "2026-10-14 05:30:00+00"), (Grain.WEEK, "2026-10-14"), (Grain.MONTH, "2026-10-02")],
)
def test_rows_that_begin_no_partition_of_the_grain_are_refused(tmp_path: Path, grain: Grain, value: str) -> None:
    table = table_in(tmp_path, spec(grain))

    with pytest.raises(UnusablePartition):
        staged(tmp_path, table, [(value,)])


def test_an_hour_that_somebody_else_wrote_is_found_under_its_key(tmp_path: Path) -> None:
    table = table_in(tmp_path, spec(Grain.HOUR))
    publish(table, "r1", staged(tmp_path, table, [("2026-10-14 05:00:00+00",)]))

    write_deltalake(table.location, DeltaTable(table.location).to_pyarrow_table(), mode="append")

    assert {key: len(paths) for key, paths in FORMAT.live_files(table).items()} == {"2026-10-14T05": 2}
