"""Staging, on every engine: one query for all units of a batch, files read back, and what does not fit refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from remint.checks.judge import UNIQUE_KEY
from remint.engines.base import Engine, Scan, StageWork, Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.errors import SchemaMismatch, TieInKeep, TransformFailed
from remint.model.dataset import Check, Column, Dataset, Layer, Logic, Parse, Rule, Severity, Transform
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from tests.engines.both import make_embedded, make_engine

DAY = PartitionSpec(column="day", grain=Grain.DAY)
COLUMNS = (
    Column(name="id", type="VARCHAR", required=True),
    Column(name="n", type="BIGINT"),
    Column(name="day", type="DATE", required=True),
)
ROWS = "('a', 1, '2026-10-01'), ('b', 2, '2026-10-01'), ('c', 3, '2026-10-02'), ('d', 4, '2026-10-03')"


def dataset(sql: str, **changes: object) -> Dataset:
    transform = Transform(sql=sql, logic=Logic(digest="l", canonical=sql, canonicaliser="test"))
    made = Dataset(
        name="silver.t",
        layer=Layer.SILVER,
        location="silver/t",
        partition=DAY,
        columns=COLUMNS,
        key=("id",),
        transform=transform,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def days(*numbers: int) -> PartitionSet:
    return PartitionSet.of(Grain.DAY, [f"2026-10-{n:02}" for n in numbers])


@dataclass
class Bench:
    """An engine and an input table ``t`` on disk."""

    root: Path
    engine: Engine

    def input(self, rows: str = ROWS, columns: tuple[Column, ...] = COLUMNS) -> Scan:
        names = ", ".join(c.name for c in columns)
        casts = ", ".join(f"CAST({c.name} AS {c.type}) AS {c.name}" for c in columns)
        folder = self.root / "input"
        folder.mkdir(exist_ok=True)
        with open_connection("256MB", 1, self.root / "spill") as con:
            files = copy_partitioned(
                con, f"SELECT {casts} FROM (VALUES {rows}) v({names})", Target(root=str(folder), spec=DAY, token="in")
            )
        return Scan(root=str(folder), paths=tuple(f.path for f in files), columns=columns, partition=DAY)

    def work(self, made: Dataset, keys: PartitionSet, scan: Scan, context: PartitionSet | None = None) -> StageWork:
        return StageWork(
            dataset=made,
            keys=keys,
            inputs={"t": scan},
            context=context or PartitionSet(Grain.DAY),
            root=str(self.root / "out"),
            token="r-1",
        )

    def written(self) -> list[Path]:
        return sorted((self.root / "out").rglob("*.parquet"))


@pytest.fixture(params=[("duckdb", 1), ("duckdb", 2), ("spark", 2)], ids=["duckdb, 1 thread", "duckdb", "spark"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    name, threads = request.param
    return Bench(tmp_path, make_engine(name, tmp_path, threads=threads))


def test_every_unit_asked_for_has_a_digest_and_an_empty_one_has_no_file(bench: Bench) -> None:
    """Item 53 of the catalogue of bad input."""
    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t WHERE n < 3"), days(1, 2, 3), bench.input()))

    assert {k: d.rows for k, d in staged.digests.items()} == {"2026-10-01": 2, "2026-10-02": 0, "2026-10-03": 0}
    assert [(f.key, f.rows) for f in staged.files] == [("2026-10-01", 2)]
    assert staged.strays == {}


def test_recomputing_gives_the_digests_of_staging_and_writes_nothing(bench: Bench) -> None:
    work = bench.work(dataset("SELECT id, n * 2 AS n, day FROM t"), days(1, 2, 3), bench.input())

    digests = bench.engine.recompute(work)

    assert bench.written() == []
    assert digests == bench.engine.stage(work).digests


def test_a_unit_alone_has_the_digest_that_it_has_in_a_batch(bench: Bench) -> None:
    made = dataset("SELECT * FROM t")
    whole = bench.engine.stage(bench.work(made, days(1, 2, 3), bench.input())).digests

    one_row = bench.input("('c', 3, '2026-10-02')")
    alone = bench.engine.recompute(bench.work(made, days(2), one_row))

    assert alone["2026-10-02"] == whole["2026-10-02"]


def test_the_digests_are_those_of_the_files_on_disk(bench: Bench) -> None:
    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t"), days(1, 2, 3), bench.input()))
    scan = Scan(root=str(bench.root / "out"), paths=tuple(f.path for f in staged.files), columns=COLUMNS, partition=DAY)

    assert bench.engine.digests(scan) == staged.digests


def test_a_changed_value_changes_the_digest_and_the_order_of_rows_does_not(bench: Bench) -> None:
    made, keys = dataset("SELECT * FROM t"), days(1)
    first = bench.engine.recompute(
        bench.work(made, keys, bench.input("('a', 1, '2026-10-01'), ('b', 2, '2026-10-01')"))
    )
    (bench.root / "input").rename(bench.root / "input-1")
    turned = bench.engine.recompute(
        bench.work(made, keys, bench.input("('b', 2, '2026-10-01'), ('a', 1, '2026-10-01')"))
    )
    (bench.root / "input").rename(bench.root / "input-2")
    other = bench.engine.recompute(
        bench.work(made, keys, bench.input("('a', 2, '2026-10-01'), ('b', 1, '2026-10-01')"))
    )

    assert turned == first
    assert other != first


def test_rows_that_leave_their_partition_are_counted_as_strays(bench: Bench) -> None:
    """Item 52."""
    moving = dataset("SELECT id, n, CAST(day + 1 AS DATE) AS day FROM t WHERE n = 4 UNION ALL SELECT * FROM t")

    staged = bench.engine.stage(bench.work(moving, days(1, 2, 3), bench.input()))

    assert staged.strays == {"2026-10-04": 1}


def test_rows_of_the_context_of_a_window_are_dropped(bench: Bench) -> None:
    summed = "SELECT max(id) AS id, CAST(sum(sum(n)) OVER (ORDER BY day) AS BIGINT) AS n, day FROM t GROUP BY day"

    staged = bench.engine.stage(bench.work(dataset(summed), days(3), bench.input(), context=days(1, 2)))

    assert [(f.key, f.rows) for f in staged.files] == [("2026-10-03", 1)]
    assert staged.strays == {}


def test_the_latest_row_of_a_key_is_kept_and_the_others_are_counted(bench: Bench) -> None:
    rows = "('a', 1, '2026-10-01'), ('a', 3, '2026-10-01'), ('a', 2, '2026-10-01'), ('a', 1, '2026-10-02')"

    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t", keep=("n",)), days(1, 2), bench.input(rows)))

    assert {k: d.rows for k, d in staged.digests.items()} == {"2026-10-01": 1, "2026-10-02": 1}
    assert staged.rows_superseded == 2


def test_different_rows_that_tie_for_the_latest_are_refused(bench: Bench) -> None:
    """Item 57: never first()."""
    rows = "('a', 1, '2026-10-01'), ('a', 1, '2026-10-01')"
    told_apart = "SELECT id, row_number() OVER (ORDER BY id) AS n, day FROM t"
    made = dataset(told_apart, columns=(*COLUMNS, Column(name="k", type="BIGINT")), keep=("k",))
    tied = replace(made, transform=dataset(f"SELECT *, CAST(1 AS BIGINT) AS k FROM ({told_apart})").transform)

    with pytest.raises(TieInKeep, match="id=a"):
        bench.engine.stage(bench.work(tied, days(1), bench.input(rows)))

    assert bench.written() == []


def test_equal_rows_that_tie_are_one_row(bench: Bench) -> None:
    """Item 59."""
    rows = "('a', 1, '2026-10-01'), ('a', 1, '2026-10-01')"

    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t", keep=("n",)), days(1), bench.input(rows)))

    assert (staged.digests["2026-10-01"].rows, staged.rows_superseded) == (1, 1)


def test_rows_that_share_a_key_violate_a_check_that_is_always_on(bench: Bench) -> None:
    rows = "('a', 1, '2026-10-01'), ('a', 2, '2026-10-01'), ('a', 3, '2026-10-02')"

    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t"), days(1, 2), bench.input(rows)))

    assert staged.violations == {UNIQUE_KEY: {"2026-10-01": 1}}


def test_checks_are_counted_by_partition(bench: Bench) -> None:
    check = Check(name="small", sql="count(*) FILTER (WHERE n > 1)", severity=Severity.BLOCK)

    staged = bench.engine.stage(bench.work(dataset("SELECT * FROM t", checks=(check,)), days(1, 2, 3), bench.input()))

    assert staged.violations == {"small": {"2026-10-01": 1, "2026-10-02": 1, "2026-10-03": 1}}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT id, day FROM t", "n: expected BIGINT, the transform has no such column"),
        ("SELECT *, 1 AS more FROM t", "more: not in the contract"),
        ("SELECT id, n / 2 AS n, day FROM t", "n: expected BIGINT, found DOUBLE"),
        ("SELECT id, CAST(n AS VARCHAR) AS n, day FROM t", "n: expected BIGINT, found VARCHAR"),
        ("SELECT id, n, CAST(day AS TIMESTAMP) AS day FROM t", "day: expected DATE, found TIMESTAMP"),
    ],
)
def test_columns_that_are_not_the_contracts_are_refused_by_name(bench: Bench, sql: str, said: str) -> None:
    with pytest.raises(SchemaMismatch, match="columns") as raised:
        bench.engine.stage(bench.work(dataset(sql), days(1), bench.input()))

    assert said in raised.value.message
    assert bench.written() == []


def test_a_narrower_whole_number_is_taken(bench: Bench) -> None:
    sql = "SELECT id, CAST(n AS INTEGER) AS n, day FROM t"

    staged = bench.engine.stage(bench.work(dataset(sql), days(1), bench.input("('a', 1, '2026-10-01')")))

    assert staged.digests == bench.engine.recompute(
        bench.work(dataset("SELECT * FROM t"), days(1), bench.input("('a', 1, '2026-10-01')"))
    )


@pytest.mark.parametrize(
    "sql", ["SELECT id, CAST(id AS BIGINT) AS n, day FROM t", "SELECT id, n * 9223372036854775807 * 2 AS n, day FROM t"]
)
def test_a_transform_that_fails_names_its_dataset_and_units(bench: Bench, sql: str) -> None:
    """Item 63: an overflow stops the query."""
    with pytest.raises(TransformFailed, match=r"silver\.t 2026-10-01"):
        bench.engine.stage(bench.work(dataset(sql), days(1), bench.input()))


def test_a_transform_reads_no_file_of_its_own(bench: Bench) -> None:
    sql = "SELECT content AS id, CAST(1 AS BIGINT) AS n, DATE '2026-10-01' AS day FROM read_text('/etc/hostname')"

    with pytest.raises(TransformFailed, match="Permission"):
        bench.engine.stage(bench.work(dataset(sql), days(1), bench.input()))


PAYLOADS = (Column(name="id", type="VARCHAR"), Column(name="payload", type="VARCHAR"), Column(name="day", type="DATE"))
RULE = Rule(name="n is not negative", condition="n >= 0")
PARSE = Parse(alias="t", column="payload", fields=(Column(name="n", type="BIGINT", required=True),), rules=(RULE,))


def parsing(sql: str, columns: tuple[Column, ...]) -> Dataset:
    return dataset(sql, parse=PARSE, columns=columns)


def test_every_row_is_parsed_or_rejected_with_its_reason(bench: Bench) -> None:
    rows = """('a', '{"n": 1}', '2026-10-01'), ('b', '{"n": -1}', '2026-10-01'), ('c', '{"n": "x"}', '2026-10-01'),
        ('d', 'no json', '2026-10-01'), ('e', '{}', '2026-10-01'), ('f', NULL, '2026-10-01')"""
    scan = bench.input(rows, PAYLOADS)
    valid = bench.engine.stage(bench.work(parsing("SELECT id, n, day FROM t", COLUMNS), days(1), scan))

    rejected = bench.engine.stage(
        bench.work(
            parsing(
                "SELECT id, reason, day FROM t_rejected",
                (COLUMNS[0], Column(name="reason", type="VARCHAR"), COLUMNS[2]),
            ),
            days(1),
            scan,
        )
    )

    assert (valid.rows_read, valid.rows_rejected) == (6, 5)
    assert [f.rows for f in valid.files] == [1]
    assert [f.rows for f in rejected.files] == [5]


def test_columns_may_have_the_names_that_the_engine_uses_itself(bench: Bench) -> None:
    """DuckDB's GROUP BY takes a column before an alias of the same name."""
    columns = tuple(Column(name=n, type="INTEGER") for n in ("k", "n", "h", "change", "total")) + COLUMNS[-1:]
    rows = "(1, 1, 1, 1, 1, '2026-10-01'), (2, 1, 1, 1, 1, '2026-10-01'), (2, 2, 1, 1, 1, '2026-10-01')"
    scan = bench.input(rows, columns)
    made = dataset("SELECT * FROM t", columns=columns, key=("k",), keep=("n",))

    staged = bench.engine.stage(bench.work(made, days(1), scan))
    after = replace(scan, root=str(bench.root / "out"), paths=tuple(f.path for f in staged.files))
    compared = make_embedded(bench.root).compare(scan, after, ("day", "k", "n"), 3)

    assert (staged.rows, staged.rows_superseded, staged.violations) == (2, 1, {})
    assert bench.engine.digests(after)["2026-10-01"] == staged.digests["2026-10-01"]
    assert (compared.added, compared.removed, compared.changed) == (0, 1, 0)
