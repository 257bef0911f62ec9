"""What an engine leaves on disk: the same files in the same folders, of one attempt of every task, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.transforms import BucketTransform

from remint.engines import iceberg_bucket, spark_rows
from remint.engines.base import Engine, Scan, StageWork, Target
from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.engines.spark import SparkEngine
from remint.engines.spark_files import write_partitioned
from remint.errors import TransformFailed
from remint.formats.iceberg_files import iceberg_type
from remint.model.dataset import Arrivals, Column, Dataset, Layer, Logic, Parse, Transform
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.model.provenance import Layout
from remint.storage.local import LOCAL
from tests.engines.both import ENGINES, make_engine
from tests.engines.test_rows import HOSTILE, VALUES

REGION = PartitionSpec(column="region", grain=Grain.IDENTITY)
HOUR = PartitionSpec(column="p", grain=Grain.HOUR, label="odd-name")


@pytest.fixture(params=ENGINES)
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Engine:
    return make_engine(request.param, tmp_path, scheme=PORTABLE_SCHEME)


def written(root: Path, sql: str, spec: PartitionSpec, columns: tuple[Column, ...]) -> Scan:
    with open_connection("256MB", 1, root.parent / "spill") as con:
        files = copy_partitioned(con, sql, Target(root=str(root), spec=spec, token="in"))
    return Scan(root=str(root), paths=tuple(f.path for f in files), columns=columns, partition=spec)


def work(scan: Scan, root: Path, keys: list[str], sql: str = "SELECT * FROM t") -> StageWork:
    transform = Transform(sql=sql, logic=Logic(digest="l", canonical=sql, canonicaliser="test"))
    dataset = Dataset(
        name="gold.t",
        layer=Layer.GOLD,
        location="gold/t",
        partition=scan.partition,
        columns=scan.columns,
        key=(),
        transform=transform,
    )
    grain = scan.partition.grain
    return StageWork(
        dataset=dataset,
        keys=PartitionSet.of(grain, keys),
        inputs={"t": scan},
        context=PartitionSet(grain),
        root=str(root),
        token="r-20261121-180000-abcd-0-1",
    )


def test_hostile_values_come_from_and_go_to_the_folders_that_both_engines_name_alike(
    tmp_path: Path, engine: Engine
) -> None:
    values = [*HOSTILE, "[x]", "{a,b}", "q?*", "日本", "plus+", "col:on"]
    shown = ", ".join("(" + "'" + v.replace("'", "''") + "')" for v in values)
    columns = (Column(name="n", type="BIGINT"), Column(name="region", type="VARCHAR"))
    select = f"SELECT CAST(length(region) AS BIGINT) AS n, region FROM (VALUES {shown}) v(region)"
    scan = written(tmp_path / "in", select, REGION, columns)

    staged = engine.stage(work(scan, tmp_path / "out", values))

    assert sorted(f.key for f in staged.files) == sorted(values)
    assert {str(Path(f.path).parent) for f in staged.files} == {str(Path(p).parent) for p in scan.paths}
    assert staged.digests == engine.digests(scan)
    assert staged.strays == {}


def test_hours_and_values_have_the_same_folders(tmp_path: Path, engine: Engine) -> None:
    columns = (
        Column(name="n", type="INTEGER"),
        Column(name="p", type="TIMESTAMPTZ"),
        Column(name="odd-name", type="VARCHAR"),
    )
    select = "SELECT 1 AS n, TIMESTAMPTZ '2026-10-14 05:00:00+00' AS p, 'é/1' AS \"odd-name\""
    scan = written(tmp_path / "in", select, HOUR, columns)

    staged = engine.stage(work(scan, tmp_path / "out", ["2026-10-14T05/é/1"]))

    assert [Path(f.path).parent for f in staged.files] == [Path(scan.paths[0]).parent]
    assert engine.digests(replace(scan, root=str(tmp_path / "out"), paths=tuple(f.path for f in staged.files))) == (
        staged.digests
    )


def test_files_are_described_as_they_are_and_nothing_else_is_left(tmp_path: Path, engine: Engine) -> None:
    types = {"i": "INTEGER", "b": "BIGINT", "x": "DOUBLE", "s": "VARCHAR", "d": "DATE", "t": "TIMESTAMPTZ"}
    types |= {"m": "DECIMAL(10,2)", "ok": "BOOLEAN", "long": "VARCHAR", "nothing": "BIGINT", "odd": "DOUBLE"}
    types |= {"wide": "DECIMAL(38,0)", "day": "DATE"}
    columns = tuple(Column(name=n, type=k) for n, k in types.items())
    day = PartitionSpec(column="day", grain=Grain.DAY)
    scan = written(tmp_path / "in", VALUES, day, columns)

    (file,) = engine.stage(work(scan, tmp_path / "out", ["2026-01-01"])).files

    place = tmp_path / "out" / file.path
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == [place]
    assert re.fullmatch(r"day=2026-01-01/part-r-20261121-180000-abcd-0-1-[0-9a-f-]{36}\.parquet", file.path)
    assert file.sha256 == hashlib.sha256(place.read_bytes()).hexdigest()
    assert (file.rows, file.size_bytes) == (2, place.stat().st_size)
    schema = pq.read_schema(place)
    assert schema.names == [n for n in types if n != "day"]
    assert [str(schema.field(n).type) for n in ("b", "t", "m", "wide", "d")] == [
        "int64",
        "timestamp[us, tz=UTC]",
        "decimal128(10, 2)",
        "decimal128(38, 0)",
        "date32[day]",
    ]
    stats = json.loads(file.stats)
    assert stats["numRecords"] == 2
    assert stats["minValues"] == {
        "i": 1,
        "b": -9007199254740993,
        "x": -2.5,
        "s": "",
        "d": "1999-12-31",
        "t": "2026-01-01T05:33:21.000000Z",
        "m": -1.05,
        "long": "a\0b",
        "wide": -1.0,
    }
    assert stats["maxValues"]["long"] == "z" * 31 + "{"
    assert stats["nullCount"]["nothing"] == 2


@pytest.mark.parametrize("value", ["NULL", "''"])
def test_a_partition_value_that_no_unit_can_have_is_refused_with_its_rows(
    tmp_path: Path, engine: Engine, value: str
) -> None:
    columns = (Column(name="n", type="BIGINT"), Column(name="region", type="VARCHAR"))
    scan = written(tmp_path / "in", "SELECT range AS n, 'x' AS region FROM range(3)", REGION, columns)

    with pytest.raises(TransformFailed, match=rf"region: expected a usable value, found {value} \(3 rows\)"):
        engine.stage(work(scan, tmp_path / "out", ["x"], f"SELECT n, CAST({value} AS VARCHAR) AS region FROM t"))


def test_the_digests_of_files_are_those_of_their_partitions(tmp_path: Path, engine: Engine) -> None:
    columns = (Column(name="at", type="TIMESTAMPTZ"), Column(name="region", type="VARCHAR"))
    select = (
        "SELECT TIMESTAMPTZ '2026-01-01 23:00:00+00' + INTERVAL 1 HOUR * range AS at, "
        "CASE WHEN range < 2 THEN 'a b' ELSE 'é' END AS region FROM range(3)"
    )
    scan = written(tmp_path / "in", select, REGION, columns)
    dataset = replace(work(scan, tmp_path, []).dataset, arrivals=Arrivals(column="at", grain=Grain.DAY, label="region"))

    by_file = engine.file_digests(dataset, scan, by_event=False)
    by_event = engine.file_digests(dataset, scan, by_event=True)

    assert {key: digest for (_, key), digest in by_file.items()} == engine.digests(scan)
    assert {path for path, _ in by_file} == set(scan.paths)
    assert {key: d.rows for (_, key), d in by_event.items()} == {
        "2026-01-01/a b": 1,
        "2026-01-02/a b": 1,
        "2026-01-02/é": 1,
    }


PAYLOADS = [
    '{"n": 1, "x": 2.5, "s": "t", "d": "2026-01-05", "t": "2026-01-05T01:02:03Z", "m": 1.25, "b": true}',
    '{"n": 9007199254740993, "x": 1e300, "s": "", "m": 99999999.99}',
    '{"n": 1.0, "x": "3.5", "s": 12, "b": "true", "m": "7"}',
    '{"n": 1.5}',
    '{"n": 1e3, "d": "2026-1-5"}',
    '{"n": "12", "t": "2026-01-05 10:00"}',
    '{"n": null}',
    '{"N": 1}',
    '{"n": 1, "n": 2}',
    '{"n": 1, "s": {"deep": [1, 2]}, "x": null}',
    '{"n": 1, "s": "é 🙂 \\u0041 \\"q\\" | ~ \\\\"}',
    '{"n": 1, "m": 1.005, "d": "2026-02-30"}',
    '{"n": 1, "t": "2026-01-05T01:02:03+02:00", "x": -0.0}',
    '{"n": 1, "x": NaN}',
    '{"n": 1} trailing',
    '{"n": 1',
    "[1]",
    "12",
    '"text"',
    "null",
    "",
    ' {"n": 1} ',
    '{"n": 99999999999999999999}',
    '{"n": -9223372036854775808, "b": 1}',
]


def test_a_payload_is_read_alike_down_to_the_words_of_the_reason(tmp_path: Path, engine: Engine) -> None:
    day = PartitionSpec(column="day", grain=Grain.DAY)
    raw = (Column(name="id", type="BIGINT"), Column(name="payload", type="VARCHAR"), Column(name="day", type="DATE"))
    shown = ", ".join(f"({i}, '{p.replace(chr(39), chr(39) * 2)}')" for i, p in enumerate(PAYLOADS))
    values = f"(VALUES {shown}, (99, NULL)) v(id, payload)"
    select = f"SELECT CAST(id AS BIGINT) AS id, payload, DATE '2026-01-01' AS day FROM {values}"
    fields = {"n": "BIGINT", "x": "DOUBLE", "s": "VARCHAR", "d": "DATE", "t": "TIMESTAMPTZ", "m": "DECIMAL(10,2)"}
    parse = Parse(
        alias="t",
        column="payload",
        fields=tuple(Column(name=n, type=k, required=n == "n") for n, k in {**fields, "b": "BOOLEAN"}.items()),
    )
    scan = written(tmp_path / "in", select, day, raw)
    valid = work(scan, tmp_path / "valid", ["2026-01-01"], "SELECT id, n, x, s, d, t, m, b, day FROM t")
    valid = replace(valid, dataset=replace(valid.dataset, parse=parse, columns=(raw[0], *parse.fields, raw[2])))
    reason = Column(name="reason", type="VARCHAR")
    rejected = work(scan, tmp_path / "rejected", ["2026-01-01"], "SELECT id, payload, reason, day FROM t_rejected")
    rejected = replace(rejected, dataset=replace(rejected.dataset, parse=parse, columns=(*raw[:2], reason, raw[2])))
    oracle = make_engine("duckdb", tmp_path, scheme=PORTABLE_SCHEME)

    for todo in (valid, rejected):
        staged = engine.stage(todo)

        assert staged.digests == oracle.recompute(todo)
        assert (staged.rows_read, staged.rows_rejected) == (25, 13)


class TestSparkAlone:
    """What only an engine with tasks and attempts can get wrong."""

    @pytest.fixture
    def spark(self, tmp_path: Path) -> SparkEngine:
        made = make_engine("spark", tmp_path)
        assert isinstance(made, SparkEngine)
        return made

    @pytest.fixture
    def scan(self, tmp_path: Path) -> Scan:
        columns = (Column(name="n", type="BIGINT"), Column(name="region", type="VARCHAR"))
        return written(
            tmp_path / "in", "SELECT range AS n, 'r' || range % 3 AS region FROM range(9000)", REGION, columns
        )

    def test_a_task_that_fails_halfway_and_is_tried_again_leaves_no_row_twice(
        self, tmp_path: Path, spark: SparkEngine, scan: Scan
    ) -> None:
        """The first attempt of a task dies after it has written rows; the second writes all of them."""
        marker = str(tmp_path / "failed")

        def dies_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            from pyspark import TaskContext

            context = TaskContext.get()
            for number, batch in enumerate(batches):
                if number and context.attemptNumber() == 0:
                    open(marker, "w").close()
                    raise OSError("the disk of this executor")
                yield batch

        frame = spark_rows.scan_frame(spark._spark, scan)
        spark._spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "500")
        doomed = frame.coalesce(1).mapInArrow(dies_once, "n BIGINT, region STRING")

        into = Target(root=str(tmp_path / "out"), spec=REGION, token="r-20261121-180000-abcd")
        files = write_partitioned(doomed, into, LOCAL)

        assert Path(marker).exists()
        assert sum(f.rows for f in files) == 9000
        places = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
        assert sorted(str(p.relative_to(tmp_path / "out")) for p in places) == sorted(f.path for f in files)

    def test_a_job_that_fails_leaves_nothing(self, tmp_path: Path, spark: SparkEngine, scan: Scan) -> None:
        with pytest.raises(TransformFailed):
            spark.stage(work(scan, tmp_path / "out", ["r0"], "SELECT n * 9000000000000000000 AS n, region FROM t"))

        assert list((tmp_path / "out").rglob("*")) == []

    def test_what_a_killed_attempt_left_is_cleared_by_the_next_and_named_after_its_run(
        self, tmp_path: Path, spark: SparkEngine, scan: Scan
    ) -> None:
        from remint.execution.doctor_files import writer

        todo = work(scan, tmp_path / "out", ["r0", "r1", "r2"])
        left = tmp_path / "out" / f"part-{todo.token}-spark" / "_temporary" / "0" / "part-00000.parquet"
        left.parent.mkdir(parents=True)
        left.write_text("half a file")
        assert writer(str(left.relative_to(tmp_path / "out"))) == "r-20261121-180000-abcd"

        staged = spark.stage(todo)

        assert staged.rows == 9000
        assert not left.exists()


@pytest.mark.parametrize("engine", ["duckdb"], indirect=True)  # it writes what people hand over, for every maker
def test_arrow_rows_are_written_in_the_declared_types(tmp_path: Path, engine: Engine) -> None:
    columns = (
        Column(name="n", type="BIGINT"),
        Column(name="m", type="DECIMAL(10,2)"),
        Column(name="region", type="VARCHAR"),
    )
    rows = pa.table({"region": ["é/1", "b"], "m": [1, 2], "n": pa.array([1, 2], pa.int32())})
    root = tmp_path / "out"

    files = engine.write(rows.to_reader(), columns, Target(root=str(root), spec=REGION, token="r1"))

    assert sorted((f.key, f.rows) for f in files) == [("b", 1), ("é/1", 1)]
    assert [str(kind) for kind in pq.read_schema(root / files[0].path).types] == ["int64", "decimal128(10, 2)"]
    scan = Scan(root=str(root), paths=tuple(f.path for f in files), columns=columns, partition=REGION)
    assert {key: digest.rows for key, digest in engine.digests(scan).items()} == {"b": 1, "é/1": 1}


@pytest.mark.parametrize("engine", ["duckdb"], indirect=True)
def test_arrow_rows_that_do_not_fit_are_refused(tmp_path: Path, engine: Engine) -> None:
    columns = (Column(name="n", type="INTEGER"), Column(name="region", type="VARCHAR"))
    target = Target(root=str(tmp_path / "out"), spec=REGION, token="r1")

    for rows in ({"n": [1 << 40], "region": ["a"]}, {"n": [1], "region": [None]}):
        with pytest.raises(TransformFailed, match="rows cannot be written"):
            engine.write(pa.table(rows).to_reader(), columns, target)


SPLIT = [
    replace(REGION, buckets=("who", 4)),
    PartitionSpec(column="seen", grain=Grain.DAY, is_hidden=True, buckets=("who", 4)),
]


@pytest.mark.parametrize("cut", SPLIT, ids=["plain", "hidden"])
@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("VARCHAR", ["'a'", "''", "'é🙂'", "NULL", "'12345678'"]),
        ("BIGINT", ["1", "-1", "1099511627776", "NULL"]),
        ("INTEGER", ["1", "-7"]),
        ("DECIMAL(10,2)", ["1.05", "-99999999.99"]),
        ("DATE", ["DATE '1969-12-31'", "DATE '2026-10-14'"]),
        ("TIMESTAMPTZ", ["TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'", "TIMESTAMPTZ '2026-10-14 05:00:00+00'"]),
    ],
)
def test_buckets_are_those_of_the_specification_and_no_column_of_a_file(
    tmp_path: Path, engine: Engine, cut: PartitionSpec, kind: str, shown: list[str]
) -> None:
    columns = (
        Column(name="who", type=kind),
        Column(name="seen", type="TIMESTAMPTZ"),
        Column(name="region", type="VARCHAR"),
    )
    rows = ", ".join(f"(CAST({value} AS {kind}), '{region}')" for value in shown for region in ("a/b", "é"))
    select = f"SELECT who, TIMESTAMPTZ '2026-10-14 05:00:00+00' AS seen, region FROM (VALUES {rows}) v(who, region)"
    scan = written(tmp_path / "in", select, REGION, columns)
    keys = ["2026-10-14"] if cut.is_hidden else ["a/b", "é"]
    ids = {c.name: n for n, c in enumerate(columns, start=1)}
    asked = work(scan, tmp_path / "out", [])
    asked = replace(
        asked,
        dataset=replace(asked.dataset, partition=cut),
        keys=PartitionSet.of(cut.grain, keys),
        context=PartitionSet(cut.grain),
        layout=Layout(folder="data", field_ids=ids),
    )

    staged = engine.stage(asked)

    bucket = BucketTransform(4).transform(iceberg_type(columns[0]))
    found = set()
    for file in staged.files:
        table = pq.read_table(tmp_path / "out" / file.path, partitioning=None)
        assert set(table.column_names) == set(ids)
        named = re.search(r"/who_bucket=(\w+)/", file.path)
        assert named is not None
        for value in table["who"].to_pylist():
            assert (named[1] == str(bucket(value))) if value is not None else not named[1].isdecimal()
            found.add((file.key, value))
    assert len(found) == len(keys) * len(shown)
    made = Scan(root=asked.root, paths=tuple(f.path for f in staged.files), columns=columns, partition=cut)
    assert engine.digests(made) == staged.digests
    assert {key: d.rows for key, d in staged.digests.items()} == dict.fromkeys(keys, 2 * len(shown) // len(keys))


def test_columns_that_a_file_holds_under_other_names_are_found_and_others_of_their_name_are_not(
    tmp_path: Path, engine: Engine
) -> None:
    columns = tuple(Column(name=name, type="VARCHAR") for name in ("a", "b", "new", "again", "region"))
    with open_connection("256MB", 1, tmp_path / "spill") as con:
        files = [
            copy_partitioned(con, sql, Target(root=str(tmp_path / "in"), spec=REGION, token=f"t{n}"))
            for n, sql in enumerate(
                [
                    "SELECT 'a0' AS a, 'b0' AS b, 'n0' AS new, 'g0' AS again, 'é' AS region",
                    "SELECT 'a1' AS b, 'b1' AS a, 'n1' AS old, 'another' AS again, 'é' AS region",
                    "SELECT 'a2' AS a, 'é' AS region",
                ]
            )
        ]
    paths = tuple(f.path for made in files for f in made)
    names = (("a", "b"), ("again", ""), ("b", "a"), ("new", "old"))
    scan = Scan(root=str(tmp_path / "in"), paths=paths, columns=columns, partition=REGION, renamed=((paths[1], names),))

    staged = engine.stage(work(scan, tmp_path / "out", ["é"], "SELECT a, b, new, again, region FROM t"))

    rows = [
        row for f in staged.files for row in pq.read_table(tmp_path / "out" / f.path, partitioning=None).to_pylist()
    ]
    assert sorted(tuple(row[n] for n in ("a", "b", "new", "again")) for row in rows) == [
        ("a0", "b0", "n0", "g0"),
        ("a1", "b1", "n1", None),
        ("a2", None, None, None),
    ]
    assert engine.digests(scan) == staged.digests


@pytest.mark.parametrize("name", ["region=pay%C3%A9", "region_identity=pay%C3%A9", "elsewhere"])
def test_no_folder_is_read_for_a_value_where_the_files_hold_it(tmp_path: Path, engine: Engine, name: str) -> None:
    folders = ("region=pay%C3%A9", name)
    rows = pa.table({"region": pa.array(["pay\u00e9"]), "n": pa.array([1], pa.int64())})
    paths = [f"data/{folder}/{n}.parquet" for n, folder in enumerate(folders)]
    for path in paths:
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, tmp_path / "in" / path)
    columns = (Column(name="region", type="VARCHAR"), Column(name="n", type="BIGINT"))
    scan = Scan(
        root=str(tmp_path / "in"), paths=tuple(paths), columns=columns, partition=REGION, renamed=(), is_whole=True
    )

    assert {key: digest.rows for key, digest in engine.digests(scan).items()} == {"pay\u00e9": 2}


def test_buckets_of_decimals_are_made_wherever_they_lie() -> None:
    """What comes from another process lies at any eighth byte."""
    whole = pa.array([Decimal("1.50"), Decimal("-7.25")], pa.decimal128(10, 2))
    content = whole.buffers()[1].to_pybytes()
    (aside,) = [b for n in (8, 16) if (b := pa.py_buffer(bytes(n) + content).slice(n)).address % 16 == 8]
    values = pa.Array.from_buffers(whole.type, 2, [None, aside])
    assert values.to_pylist() == whole.to_pylist()

    bucket = iceberg_bucket._bucket(16)

    assert bucket(values).to_pylist() == bucket(whole).to_pylist()
