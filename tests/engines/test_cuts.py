"""Staging units by hour, week, day and value, and logic version; digests over the columns that a consumer reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from remint.engines.base import Engine, Scan, StageWork, Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.model.dataset import Column, Dataset, Disposition, Layer, Logic, LogicVersion, Transform
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.model.provenance import Layout
from tests.engines.both import ENGINES, make_engine

DAY = PartitionSpec(column="day", grain=Grain.DAY)
INPUT = (
    Column(name="moment", type="TIMESTAMPTZ"),
    Column(name="tenant", type="VARCHAR"),
    Column(name="n", type="BIGINT"),
    Column(name="day", type="DATE"),
)
ROWS = [
    ("2026-10-14 05:10:00+00", "acme", 1, "2026-10-14"),
    ("2026-10-14 23:59:59+00", "bolt/2", 2, "2026-10-14"),
    ("2026-10-18 00:00:00+00", "acme", 3, "2026-10-18"),
]


def scan_of(root: Path, rows: list[tuple[object, ...]]) -> Scan:
    shown = ", ".join("(" + ", ".join(repr(value) for value in row) + ")" for row in rows)
    casts = ", ".join(f"CAST({c.name} AS {c.type}) AS {c.name}" for c in INPUT)
    root.mkdir()
    with open_connection("256MB", 1, root / "spill") as con:
        sql = f"SELECT {casts} FROM (VALUES {shown}) v({', '.join(c.name for c in INPUT)})"
        files = copy_partitioned(con, sql, Target(root=str(root), spec=DAY, token="in"))
    return Scan(root=str(root), paths=tuple(f.path for f in files), columns=INPUT, partition=DAY)


def dataset(sql: str, cut: PartitionSpec, **more: object) -> Dataset:
    columns = [Column(name="n", type="BIGINT"), Column(name="tenant", type="VARCHAR"), Column(name="p", type=cut.type)]
    columns += [Column(name=cut.label, type="VARCHAR")] if cut.label == "v" else []
    made = Dataset(
        name="gold.t",
        layer=Layer.GOLD,
        location="gold/t",
        partition=cut,
        columns=tuple(columns),
        key=(),
        transform=Transform(sql=sql, logic=Logic(digest="l", canonical=sql, canonicaliser="test")),
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture(params=ENGINES)
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Engine:
    return make_engine(request.param, tmp_path, threads=1)


def work(root: Path, made: Dataset, keys: list[str], *, context: list[str] | None = None) -> StageWork:
    grain = made.partition.grain
    ids = {c.name: number for number, c in enumerate(made.columns, start=1)} if made.partition.is_hidden else {}
    return StageWork(
        dataset=made,
        keys=PartitionSet.of(grain, keys),
        inputs={"t": scan_of(root / "input", ROWS)},
        context=PartitionSet.of(grain, context or []),
        root=str(root / "out"),
        token="r-1",
        layout=Layout(field_ids=ids),
    )


CUTS = [
    (
        "SELECT n, tenant, date_trunc('hour', moment) AS p FROM t",
        PartitionSpec(column="p", grain=Grain.HOUR),
        ["2026-10-14T05", "2026-10-14T23", "2026-10-18T00"],
    ),
    (
        "SELECT n, tenant, CAST(date_trunc('week', day) AS DATE) AS p FROM t",
        PartitionSpec(column="p", grain=Grain.WEEK),
        ["2026-W42"],
    ),
    (
        "SELECT n, tenant, day AS p FROM t",
        PartitionSpec(column="p", grain=Grain.DAY, label="tenant"),
        ["2026-10-14/acme", "2026-10-14/bolt/2", "2026-10-18/acme"],
    ),
    (
        "SELECT n, tenant, day AS p FROM t",
        PartitionSpec(column="p", grain=Grain.DAY, label="v"),
        ["2026-10-14/v3", "2026-10-18/v3"],
    ),
    (
        "SELECT n, tenant, moment AS p FROM t",
        PartitionSpec(column="p", grain=Grain.HOUR, is_hidden=True),
        ["2026-10-14T05", "2026-10-14T23", "2026-10-18T00"],
    ),
    (
        "SELECT n, tenant, moment AS p FROM t",
        PartitionSpec(column="p", grain=Grain.DAY, is_hidden=True),
        ["2026-10-14", "2026-10-18"],
    ),
    (
        "SELECT n, tenant, moment AS p FROM t",
        PartitionSpec(column="p", grain=Grain.MONTH, is_hidden=True),
        ["2026-10"],
    ),
]


@pytest.mark.parametrize(("sql", "cut", "keys"), CUTS)
def test_units_of_every_cut_are_written_measured_and_recomputed_alike(
    tmp_path: Path, engine: Engine, sql: str, cut: PartitionSpec, keys: list[str]
) -> None:
    version = LogicVersion(number=3, column="v", old=Disposition.KEEP) if cut.label == "v" else LogicVersion()
    todo = work(tmp_path, dataset(sql, cut, version=version), keys)

    staged = engine.stage(todo)

    assert sorted(f.key for f in staged.files) == keys == sorted(staged.digests)
    assert sum(d.rows for d in staged.digests.values()) == len(ROWS)
    assert engine.recompute(todo) == staged.digests
    out = Scan(root=todo.root, paths=tuple(f.path for f in staged.files), columns=todo.dataset.columns, partition=cut)
    assert engine.digests(out) == staged.digests


@pytest.mark.parametrize(("sql", "cut", "keys"), [c for c in CUTS if len(c[2]) > 1])
def test_rows_of_units_that_are_only_read_along_are_dropped(
    tmp_path: Path, engine: Engine, sql: str, cut: PartitionSpec, keys: list[str]
) -> None:
    version = LogicVersion(number=3, column="v", old=Disposition.KEEP) if cut.label == "v" else LogicVersion()

    staged = engine.stage(work(tmp_path, dataset(sql, cut, version=version), keys[:1], context=keys[1:]))

    assert [f.key for f in staged.files] == keys[:1]
    assert staged.strays == {}


def test_a_digest_over_columns_follows_those_columns_and_no_other(tmp_path: Path, engine: Engine) -> None:
    cut = PartitionSpec(column="p", grain=Grain.DAY)
    views = (("n",), ("n", "tenant"), ("tenant",))

    def projections(name: str, sql: str) -> dict[tuple[str, ...], str]:
        (tmp_path / name).mkdir()
        todo = work(tmp_path / name, dataset(sql, cut, read_as=views), ["2026-10-14"])
        staged = engine.stage(replace(todo, keys=PartitionSet.of(Grain.DAY, ["2026-10-14", "2026-10-18"])))
        paths = tuple(f.path for f in staged.files)
        scan = Scan(root=todo.root, paths=paths, columns=todo.dataset.columns, partition=cut)
        for columns in views:
            assert engine.digests(scan, columns) == staged.projections[columns]
        return {columns: str(staged.projections[columns]["2026-10-14"]) for columns in views}

    first = projections("first", "SELECT n, tenant, day AS p FROM t")
    other_n = projections("other_n", "SELECT n + 1 AS n, tenant, day AS p FROM t")
    other_tenant = projections("other_tenant", "SELECT n, tenant || '!' AS tenant, day AS p FROM t")

    assert {c for c in views if first[c] != other_n[c]} == {("n",), ("n", "tenant")}
    assert {c for c in views if first[c] != other_tenant[c]} == {("n", "tenant"), ("tenant",)}
