"""Staging with a Python function: Arrow tables in, any Arrow stream out, and what does not fit refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from remint.engines.base import Scan, StageWork
from remint.errors import RemintError, SchemaMismatch, TieInKeep, TransformFailed
from remint.model.dataset import Column, Dataset, LogicVersion, Parse
from tests.engines.both import ENGINES, make_embedded, make_engine
from tests.engines.test_stage import COLUMNS, Bench, dataset, days

Function = Callable[..., Any]


@dataclass(frozen=True)
class Given:
    """A function as the engine is given it; the loader's own is tested with it."""

    function: Function
    place: str = "datasets.py:7"

    def run(self, tables: Mapping[str, Any], take: Callable[[Any], Any]) -> Any:
        return take(self.function(**tables))


@pytest.fixture(params=ENGINES)
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, make_engine(request.param, tmp_path))


def by_function(**changes: Any) -> Dataset:
    made = dataset("", **changes)
    assert made.transform is not None
    return replace(made, transform=replace(made.transform, function="datasets.py:t"))


def work(bench: Bench, function: Function, made: Dataset | None = None, scan: Scan | None = None) -> StageWork:
    whole = bench.work(made or by_function(), days(1, 2, 3), scan or bench.input())
    return replace(whole, function=Given(function))


def rows_of(bench: Bench, of: StageWork) -> list[tuple[Any, ...]]:
    staged = bench.engine.stage(of)
    paths = tuple(f.path for f in staged.files)
    scan = Scan(root=of.root, paths=paths, columns=of.dataset.columns, partition=of.dataset.partition)
    return sorted(make_embedded(bench.root).query("SELECT * FROM t", {"t": scan}, 100).rows)


EVERY = (
    Column(name="id", type="VARCHAR"),
    Column(name="flag", type="BOOLEAN"),
    Column(name="small", type="INTEGER"),
    Column(name="n", type="BIGINT"),
    Column(name="x", type="DOUBLE"),
    Column(name="money", type="DECIMAL(10,2)"),
    Column(name="moment", type="TIMESTAMPTZ"),
    Column(name="day", type="DATE"),
)
EVERY_ROW = "('a', true, 1, 2, 0.5, 1.25, TIMESTAMPTZ '2026-10-01 01:00:00.000001+00', '2026-10-01')"


def test_every_type_goes_in_as_declared_and_comes_back_as_it_was(bench: Bench) -> None:
    seen: list[pa.Table] = []

    def function(t: pa.Table) -> pa.Table:
        seen.append(t)
        return t

    made = by_function(columns=EVERY)

    rows = rows_of(bench, work(bench, function, made, bench.input(EVERY_ROW, EVERY)))

    assert [(f.name, str(f.type)) for f in seen[0].schema] == [
        ("id", "string"),
        ("flag", "bool"),
        ("small", "int32"),
        ("n", "int64"),
        ("x", "double"),
        ("money", "decimal128(10, 2)"),
        ("moment", "timestamp[us, tz=UTC]"),
        ("day", "date32[day]"),
    ]
    at = datetime(2026, 10, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert rows == [("a", True, 1, 2, 0.5, Decimal("1.25"), at, date(2026, 10, 1))]


def polars(t: pa.Table) -> Any:
    return pl.from_arrow(t)


def batches(t: pa.Table) -> Any:
    return pa.RecordBatchReader.from_batches(t.schema, t.to_batches(max_chunksize=1))


@pytest.mark.parametrize("returned", [lambda t: t, polars, batches], ids=["pyarrow", "polars", "batches"])
def test_any_arrow_stream_is_rows_and_makes_what_sql_makes(bench: Bench, returned: Function) -> None:
    def function(t: pa.Table) -> Any:
        return returned(t.set_column(1, "n", pc.multiply(t["n"], 2)))

    scan = bench.input()
    by_sql = bench.engine.stage(bench.work(dataset("SELECT id, n * 2 AS n, day FROM t"), days(1, 2, 3), scan))

    staged = bench.engine.stage(work(bench, function, scan=scan))

    assert staged.digests == by_sql.digests
    assert [(f.key, f.rows) for f in staged.files] == [(f.key, f.rows) for f in by_sql.files]
    assert bench.engine.recompute(work(bench, function, scan=scan)) == by_sql.digests


def test_rows_come_in_one_order_however_the_files_lie(bench: Bench) -> None:
    seen: list[list[str]] = []

    def function(t: pa.Table) -> pa.Table:
        seen.append(t["id"].to_pylist())
        return t

    scan = bench.input("('b', 2, '2026-10-01'), ('c', 3, '2026-10-02'), ('a', 1, '2026-10-03')")
    bench.engine.recompute(work(bench, function, scan=scan))
    bench.engine.recompute(work(bench, function, scan=replace(scan, paths=scan.paths[::-1])))

    assert seen == [["a", "b", "c"], ["a", "b", "c"]]


def test_an_input_without_rows_is_a_table_with_columns(bench: Bench) -> None:
    seen: list[pa.Table] = []

    def function(t: pa.Table) -> pa.Table:
        seen.append(t)
        return t

    staged = bench.engine.stage(work(bench, function, scan=replace(bench.input(), paths=())))

    assert (seen[0].num_rows, seen[0].column_names) == (0, ["id", "n", "day"])
    assert (staged.files, {d.rows for d in staged.digests.values()}) == ((), {0})


def test_the_context_is_read_and_not_written(bench: Bench) -> None:
    given = replace(work(bench, lambda t: t), keys=days(2, 3), context=days(1))

    staged = bench.engine.stage(given)

    assert [f.key for f in staged.files] == ["2026-10-02", "2026-10-03"]
    assert staged.strays == {}


def test_keep_and_checks_go_on_from_what_the_function_returned(bench: Bench) -> None:
    kept = by_function(keep=("n",))
    rows = "('a', 1, '2026-10-01'), ('a', 3, '2026-10-01'), ('a', 2, '2026-10-01')"

    staged = bench.engine.stage(work(bench, lambda t: t, kept, bench.input(rows)))

    assert (staged.rows_superseded, staged.rows) == (2, 1)
    with pytest.raises(TieInKeep):
        bench.engine.stage(
            work(
                bench,
                lambda t: t.set_column(0, "id", pa.array(["a", "a"])).set_column(1, "n", pa.array([1, 1])),
                by_function(keep=("n",), columns=(*COLUMNS, Column(name="other", type="VARCHAR"))),
                bench.input("('a', 1, '2026-10-01', 'x'), ('b', 1, '2026-10-01', 'y')",
                            (*COLUMNS, Column(name="other", type="VARCHAR"))),
            )
        )  # fmt: skip


def test_a_payload_is_parsed_before_the_function_is_given_its_valid_rows(bench: Bench) -> None:
    raw = (Column(name="id", type="VARCHAR"), Column(name="payload", type="VARCHAR"), Column(name="day", type="DATE"))
    parse = Parse(alias="t", column="payload", fields=(Column(name="n", type="BIGINT", required=True),))
    scan = bench.input("""('a', '{"n": 5}', '2026-10-01'), ('b', '{"n": "x"}', '2026-10-01')""", raw)
    seen: list[pa.Table] = []

    def function(t: pa.Table) -> pa.Table:
        seen.append(t)
        return t.select(["id", "n", "day"])

    staged = bench.engine.stage(work(bench, function, by_function(parse=parse), scan))

    assert (seen[0].num_rows, sorted(seen[0].column_names)) == (1, ["day", "id", "n"])
    assert str(seen[0].schema.field("n").type) == "int64"
    assert (staged.rows, staged.rows_read, staged.rows_rejected) == (1, 2, 1)


def test_the_version_column_is_filled_in(bench: Bench) -> None:
    columns = (*COLUMNS, Column(name="v", type="VARCHAR"))
    made = by_function(columns=columns, version=LogicVersion(number=2, column="v"))

    rows = rows_of(bench, work(bench, lambda t: t, made))

    assert {row[-1] for row in rows} == {"v2"}


def test_types_that_lose_nothing_are_widened(bench: Bench) -> None:
    def function(t: pa.Table) -> pa.Table:
        ids = t["id"].dictionary_encode()
        return t.set_column(0, "id", ids).set_column(1, "n", pc.cast(t["n"], pa.int16()))

    assert rows_of(bench, work(bench, function))[0] == ("a", 1, date(2026, 10, 1))


NANOSECONDS = (*COLUMNS, Column(name="at", type="TIMESTAMPTZ"))


def at_nanosecond(number: int) -> Function:
    return lambda t: t.append_column("at", pa.array([number] * len(t), pa.timestamp("ns", "Europe/Madrid")))


def test_times_in_nanoseconds_are_taken_where_nothing_is_lost(bench: Bench) -> None:
    """Data frames count in nanoseconds by default; DuckDB would cut them off without a word."""
    made = by_function(columns=NANOSECONDS)

    rows = rows_of(bench, work(bench, at_nanosecond(1_000_005_000), made))

    assert {row[-1] for row in rows} == {datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)}
    with pytest.raises(SchemaMismatch, match="no whole microseconds"):
        bench.engine.stage(work(bench, at_nanosecond(1_000_005_001), made))


def one(t: pa.Table) -> Iterator[pa.Table]:
    yield t


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        (lambda t: None, TransformFailed, "the function returned nothing; it returns a table"),
        (one, TransformFailed, "the function returned a generator; it returns a table"),
        (lambda t: t.to_pylist(), TransformFailed, "the function returned a list; it returns a table"),
        (lambda t: "SELECT 1", TransformFailed, "the function returned a str; it returns a table"),
        (lambda t: pa.Table, TransformFailed, "the function returned a "),
        (lambda t: t["n"], TransformFailed, "the function returned a ChunkedArray, which is no table"),
        (lambda t: pl.from_arrow(t)["n"], TransformFailed, "the function returned a Series, which is no table"),
        (lambda t: t.drop_columns(["n"]), SchemaMismatch, "n: expected BIGINT, the transform has no such column"),
        (lambda t: t.append_column("m", t["n"]), SchemaMismatch, "m: not in the contract"),
        (lambda t: t.append_column("N", t["n"]), SchemaMismatch, "the function returned n twice"),
        (lambda t: t.set_column(1, "n", t["id"]), SchemaMismatch, "n: expected BIGINT, found VARCHAR"),
        (lambda t: t.set_column(1, "n", pc.divide(pc.cast(t["n"], "double"), 2.0)), SchemaMismatch, "found DOUBLE"),
        (lambda t: t.set_column(2, "day", pc.cast(t["day"], pa.timestamp("us"))), SchemaMismatch, "found TIMESTAMP"),
        (
            lambda t: t.set_column(1, "n", pa.array([2**64 - 1] * len(t), pa.uint64())),
            TransformFailed,
            "out of range",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    tmp_path: Path, function: Function, error: type[RemintError], says: str
) -> None:
    bench = Bench(tmp_path, make_engine("duckdb", tmp_path))  # which judges it for every engine
    with pytest.raises(error) as raised:
        bench.engine.stage(work(bench, function))

    assert says in raised.value.message
    assert "silver.t" in raised.value.message
    assert bench.written() == []
    assert rows_of(bench, work(bench, lambda t: t))[0] == ("a", 1, date(2026, 10, 1))


def test_a_value_that_its_column_cannot_hold_is_refused_by_every_engine(bench: Bench) -> None:
    with pytest.raises(TransformFailed, match=r"silver\.t .*out of range"):
        bench.engine.stage(work(bench, lambda t: t.set_column(1, "n", pa.array([2**63] * len(t), pa.uint64()))))

    assert bench.written() == []


def test_a_row_without_a_partition_is_refused_as_for_sql(bench: Bench) -> None:
    with pytest.raises(TransformFailed, match=r"silver\.t .*day"):
        bench.engine.stage(work(bench, lambda t: t.set_column(2, "day", pa.nulls(len(t), pa.date32()))))


def test_a_refusal_names_the_function_by_file_and_line(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch) as raised:
        bench.engine.stage(work(bench, lambda t: t.drop_columns(["n"])))

    assert raised.value.message.startswith("silver.t: datasets.py:7: the function's columns are not those of")
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("correct the function, or contracts/silver.t.yaml")


def test_a_function_that_was_not_bound_is_refused(bench: Bench) -> None:
    with pytest.raises(TransformFailed, match=r"silver\.t: datasets\.py:t is not loaded"):
        bench.engine.stage(bench.work(by_function(), days(1), bench.input()))
