"""Delta tables on disk: what is published is what is read, by us and by delta-rs; nothing else is touched."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from remint.engines.base import literal
from remint.engines.duckdb_rows import UnusablePartition, copy_partitioned, open_connection
from remint.errors import LogDamaged, PublishConflict, RunError
from remint.formats import delta
from remint.formats.base import Replacement, Table
from remint.formats.delta import DeltaFormat
from remint.model.dataset import Column
from remint.model.partition import NULL_PARTITION, Grain, PartitionSpec
from remint.model.provenance import DataFile

FORMAT = DeltaFormat()
REGION = PartitionSpec(column="region", grain=Grain.IDENTITY)


def table_in(root: Path, *, append_only: bool = False) -> Table:
    columns = (Column(name="n", type="BIGINT", required=True), Column(name="region", type="VARCHAR", required=True))
    location = str(root / "lake" / "t")
    return Table(name="gold.t", location=location, columns=columns, partition=REGION, append_only=append_only)


def staged(root: Path, table: Table, rows: list[tuple[int, str | None]], token: str = "r1-0") -> list[DataFile]:
    """Write rows as the engine does, named by no table version yet."""
    shown = ", ".join(f"({n}, {'NULL' if v is None else literal(v)})" for n, v in rows)
    Path(table.location).mkdir(parents=True, exist_ok=True)
    with open_connection("256MB", 1, root / "spill") as con:
        sql = f"SELECT CAST(n AS BIGINT) AS n, CAST(region AS VARCHAR) AS region FROM (VALUES {shown}) v(n, region)"
        return copy_partitioned(con, sql, table.location, table.partition, token)


def publish(table: Table, run_id: str, adds: list[DataFile], removes: list[DataFile] | None = None) -> int:
    change = Replacement(run_id=run_id, attempt=1, adds=tuple(adds), removes=tuple(removes or ()))
    return FORMAT.publish([(table, change)])[0].version


def rows_of(table: Table) -> list[tuple[int, str]]:
    found = DeltaTable(table.location).to_pyarrow_table().to_pylist()
    return sorted((r["n"], r["region"]) for r in found)


def log_of(table: Table) -> list[Path]:
    return sorted((Path(table.location) / "_delta_log").glob("*.json"))


def created(root: Path, *, append_only: bool = False) -> Table:
    table = table_in(root, append_only=append_only)
    FORMAT.create(table)
    return table


HOSTILE = [
    "../../escape",
    "/abs",
    "a/b",
    "a\\b",
    "..",
    ".",
    "new\nline",
    "%2e%2e%2f",
    "100%",
    "a=b",
    "it's",
    'say "x"',
    "; DROP TABLE t",
    "$HOME",
    "\u202edrowssap",
    "\ufeffbom",
    "x' OR '1'='1",
    " leading",
    "trailing ",
    ".hidden",
    "_under",
    "US",
    "us",
    "café",
    "cafe\u0301",
    "null",
    "NULL",
    "ключ",
    "🦆",
    "a+b c",
    "#?&:",
    "C:\\x",
    "~",
    "*",
    "\t",
    "2026-10-14",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_any_partition_value_comes_back_exactly_and_stays_below_the_table(tmp_path: Path, value: str) -> None:
    """Items 41, 43 and 45 to 47 of the catalogue of bad input."""
    table = created(tmp_path)
    files = staged(tmp_path, table, [(1, value), (2, "plain")])

    publish(table, "r1", files)

    assert rows_of(table) == [(1, value), (2, "plain")]
    assert set(FORMAT.live_files(table)) == {value, "plain"}
    live = {Path(table.location, p) for paths in FORMAT.live_files(table).values() for p in paths}
    assert live == set(tmp_path.rglob("*.parquet"))
    assert all(p.resolve().is_relative_to(table.location) for p in tmp_path.rglob("*.parquet"))


def test_all_hostile_values_live_in_one_table_side_by_side(tmp_path: Path) -> None:
    table = created(tmp_path)
    rows = list(enumerate(HOSTILE))

    publish(table, "r1", staged(tmp_path, table, rows))

    assert rows_of(table) == rows
    assert set(FORMAT.live_files(table)) == set(HOSTILE)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_partition_is_replaced_alone(tmp_path: Path, value: str) -> None:
    table = created(tmp_path)
    first = staged(tmp_path, table, [(1, value), (2, "plain")])
    publish(table, "r1", first)
    second = staged(tmp_path, table, [(3, value)], "r2-0")

    publish(table, "r2", second, [f for f in first if f.key == value])

    assert rows_of(table) == [(2, "plain"), (3, value)]


@pytest.mark.parametrize("value", ["", None, NULL_PARTITION])
def test_a_value_that_reads_back_as_null_is_refused_before_any_commit(tmp_path: Path, value: str | None) -> None:
    """Items 42 and 43."""
    table = created(tmp_path)

    with pytest.raises(UnusablePartition, match="region"):
        staged(tmp_path, table, [(1, value), (2, "plain")])

    assert FORMAT.version(table) == 0
    assert rows_of(table) == []


def test_a_table_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert FORMAT.version(table_in(tmp_path)) is None


def test_creating_a_table_again_leaves_it_as_it_is(tmp_path: Path) -> None:
    table = created(tmp_path)
    publish(table, "r1", staged(tmp_path, table, [(1, "a")]))

    assert FORMAT.create(table) == 1
    assert rows_of(table) == [(1, "a")]


def test_a_bronze_table_refuses_deletes_by_other_writers(tmp_path: Path) -> None:
    table = created(tmp_path, append_only=True)
    publish(table, "r1", staged(tmp_path, table, [(1, "a")]))

    with pytest.raises(Exception, match="append-only"):
        DeltaTable(table.location).delete("n = 1")


def test_an_append_to_a_live_partition_of_bronze_is_no_conflict(tmp_path: Path) -> None:
    table = created(tmp_path, append_only=True)
    publish(table, "r1", staged(tmp_path, table, [(1, "a")]))

    publish(table, "r2", staged(tmp_path, table, [(2, "a")], "r2-0"))

    assert rows_of(table) == [(1, "a"), (2, "a")]


def test_a_replacement_of_files_that_are_not_live_is_a_conflict_and_commits_nothing(tmp_path: Path) -> None:
    table = created(tmp_path)
    first = staged(tmp_path, table, [(1, "a")])
    publish(table, "r1", first)
    second = staged(tmp_path, table, [(2, "a")], "r2-0")
    publish(table, "r2", second, first)

    with pytest.raises(PublishConflict, match=r"gold\.t a"):
        publish(table, "r3", staged(tmp_path, table, [(3, "a")], "r3-0"), first)

    assert (FORMAT.version(table), rows_of(table)) == (2, [(2, "a")])


def test_a_build_over_a_partition_that_somebody_made_meanwhile_is_a_conflict(tmp_path: Path) -> None:
    table = created(tmp_path)
    write_deltalake(table.location, pa.table({"n": [9], "region": ["a"]}), mode="append")

    with pytest.raises(PublishConflict):
        publish(table, "r1", staged(tmp_path, table, [(1, "a")]))

    assert rows_of(table) == [(9, "a")]


def test_a_write_to_another_partition_since_the_plan_is_kept(tmp_path: Path) -> None:
    table = created(tmp_path)
    first = staged(tmp_path, table, [(1, "a")])
    publish(table, "r1", first)
    write_deltalake(table.location, pa.table({"n": [9], "region": ["b"]}), mode="append")

    publish(table, "r2", staged(tmp_path, table, [(2, "a")], "r2-0"), first)

    assert rows_of(table) == [(2, "a"), (9, "b")]


def test_a_commit_that_lost_a_race_looks_at_the_base_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = created(tmp_path)
    first = staged(tmp_path, table, [(1, "a")])
    publish(table, "r1", first)
    commit, raced = delta._commit, []

    def commit_after_another(*args: Any) -> None:
        if not raced:
            raced.append(DeltaTable(table.location).delete("region = 'a'"))
        commit(*args)

    monkeypatch.setattr(delta, "_commit", commit_after_another)

    with pytest.raises(PublishConflict, match=r"gold\.t a"):
        publish(table, "r2", staged(tmp_path, table, [(2, "a")], "r2-0"), first)

    assert (len(raced), rows_of(table)) == (1, [])


def test_removing_without_adding_leaves_an_empty_partition(tmp_path: Path) -> None:
    table = created(tmp_path)
    files = staged(tmp_path, table, [(1, "a"), (2, "b")])
    publish(table, "r1", files)

    publish(table, "r2", [], [f for f in files if f.key == "a"])

    assert rows_of(table) == [(2, "b")]


def test_a_commit_is_found_again_by_its_run_and_attempt(tmp_path: Path) -> None:
    table = created(tmp_path)
    publish(table, "r1", staged(tmp_path, table, [(1, "a")]))
    publish(table, "r2", staged(tmp_path, table, [(2, "b")], "r2-0"))

    assert [FORMAT.published_version(table, r, 1) for r in ("r1", "r2", "r3")] == [1, 2, None]
    assert FORMAT.published_version(table, "r1", 2) is None


def test_the_newest_commit_says_who_wrote_it(tmp_path: Path) -> None:
    table = created(tmp_path)

    write_deltalake(table.location, pa.table({"n": [9], "region": ["b"]}), mode="append")

    assert FORMAT.foreign_writer(table).startswith("version 1, WRITE by ")


def test_a_commit_carries_statistics_that_other_readers_prune_by(tmp_path: Path) -> None:
    table = created(tmp_path)

    publish(table, "r1", staged(tmp_path, table, [(1, "a"), (7, "a")]))

    added = [json.loads(line)["add"] for line in log_of(table)[1].read_text().splitlines() if '"add"' in line]
    assert json.loads(added[0]["stats"])["maxValues"]["n"] == 7


@pytest.mark.parametrize(("content", "said"), [("", "empty"), ('{"commitInfo": {"timest', "torn"), ("{}\n", "cut off")])
def test_a_damaged_commit_is_named(tmp_path: Path, content: str, said: str) -> None:
    table = created(tmp_path)
    publish(table, "r1", staged(tmp_path, table, [(1, "a")]))
    assert FORMAT.damaged_commits(table) == []

    log_of(table)[1].write_text(content)

    (found,) = FORMAT.damaged_commits(table)
    assert said in found
    assert log_of(table)[1].name in found


def test_a_table_with_deletion_vectors_is_refused_before_any_commit(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    schema = pa.schema([("n", pa.int64()), ("region", pa.string())])
    DeltaTable.create(
        table.location, schema, partition_by=["region"], configuration={"delta.enableDeletionVectors": "true"}
    )

    with pytest.raises(RunError, match="deletionVectors"):
        publish(table, "r1", staged(tmp_path, table, [(1, "a")]))

    assert FORMAT.version(table) == 0


def test_a_month_partition_is_kept_under_its_first_day_and_read_as_its_month(tmp_path: Path) -> None:
    columns = (Column(name="n", type="BIGINT", required=True), Column(name="month", type="DATE", required=True))
    spec = PartitionSpec(column="month", grain=Grain.MONTH)
    table = Table(name="gold.m", location=str(tmp_path / "m"), columns=columns, partition=spec, append_only=False)
    FORMAT.create(table)
    with open_connection("256MB", 1, tmp_path / "spill") as con:
        sql = "SELECT CAST(1 AS BIGINT) AS n, DATE '2026-10-01' AS month"
        files = copy_partitioned(con, sql, table.location, spec, "r1-0")

    publish(table, "r1", files)

    assert set(FORMAT.live_files(table)) == {"2026-10"}
    assert str(DeltaTable(table.location).to_pyarrow_table()["month"][0]) == "2026-10-01"


def test_a_table_that_several_create_at_once_is_created_once(tmp_path: Path) -> None:
    for n in range(5):
        table = table_in(tmp_path / str(n))
        with ThreadPoolExecutor(4) as pool:
            versions = list(pool.map(lambda _, table=table: FORMAT.create(table), range(4)))

        assert versions == [0] * 4
        assert len(log_of(table)) == 1


def test_a_commit_that_is_there_is_not_repeated_and_one_that_is_barred_never_comes(tmp_path: Path) -> None:
    table = created(tmp_path)
    files = staged(tmp_path, table, [(1, "a")])

    assert publish(table, "r1", files) == publish(table, "r1", files) == 1
    assert FORMAT.bar(table, "r1", 1)
    assert not FORMAT.bar(table, "r2", 1)
    assert not FORMAT.bar(table, "r2", 1)
    publish(table, "r2", staged(tmp_path, table, [(2, "b")], "r2-0"))

    assert rows_of(table) == [(1, "a")]
    assert len(log_of(table)) == 3


# -- no table ----------------------------------------------------------------------------------------------------------


def test_where_there_is_no_table_there_are_no_live_files(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    assert FORMAT.live_files(table) == {}
    staged(tmp_path, table, [(1, "v")])

    assert FORMAT.live_files(table) == {}
    assert FORMAT.foreign_writer(table) == "somebody who removed the table"


def test_a_log_whose_first_entry_is_gone_is_damaged_and_no_table_that_is_gone(tmp_path: Path) -> None:
    table = created(tmp_path)
    publish(table, "r1", staged(tmp_path, table, [(1, "v")]))
    log_of(table)[0].unlink()

    with pytest.raises(LogDamaged, match="is gone, and later ones are there"):
        FORMAT.live_files(table)


def test_a_log_of_which_only_a_checkpoint_is_left_is_still_a_table(tmp_path: Path) -> None:
    table = created(tmp_path)
    publish(table, "r1", staged(tmp_path, table, [(1, "v")]))
    DeltaTable(table.location).create_checkpoint()
    (Path(table.location) / "_delta_log" / "_last_checkpoint").unlink()
    for entry in log_of(table):
        entry.unlink()

    assert set(FORMAT.live_files(table)) == {"v"}
