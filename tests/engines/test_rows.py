import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from deltalake import CommitProperties, DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction

from remint.engines import duckdb_rows
from remint.engines.base import Scan, Target, literal
from remint.engines.duckdb_rows import (
    FAST_SCHEME,
    UnusablePartition,
    copy_partitioned,
    digest_aggregates,
    digest_scheme,
    key_sql,
    open_connection,
    scan_sql,
)
from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.model.dataset import Column
from remint.model.digest import ContentDigest
from remint.model.partition import Grain, PartitionSet, PartitionSpec

DAY = PartitionSpec(column="day", grain=Grain.DAY)
MONTH = PartitionSpec(column="month", grain=Grain.MONTH)
REGION = PartitionSpec(column="region", grain=Grain.IDENTITY)
HOSTILE = [
    "../../etc",
    "/abs",
    "a/b",
    "a\\b",
    "..",
    ".",
    "%2e%2e",
    "100%",
    "a=b",
    "it's",
    "; drop",
    "$HOME",
    "é",
    " x ",
]


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_connection("1GB", 2, tmp_path / "spill") as opened:
        yield opened


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_name) for name, type_name in types.items())


def digest(con: duckdb.DuckDBPyConnection, scheme: str, shape: tuple[Column, ...], rows: str) -> ContentDigest:
    names = ", ".join(c.name for c in shape)
    sums = ", ".join(digest_aggregates(shape, scheme))
    ((n, total, parity),) = con.execute(f"SELECT {sums} FROM (VALUES {rows}) AS t({names})").fetchall()
    return ContentDigest(scheme, n, total % (1 << 64), parity)


def test_a_connection_is_in_utc_and_installs_nothing(con: duckdb.DuckDBPyConnection) -> None:
    names = ("TimeZone", "autoinstall_known_extensions", "autoload_known_extensions", "preserve_insertion_order")

    found = con.execute(f"SELECT {', '.join(f'current_setting({literal(n)})' for n in names)}").fetchall()

    assert found == [("UTC", False, False, False)]


def test_this_build_computes_the_hashes_that_the_fast_scheme_names(con: duckdb.DuckDBPyConnection) -> None:
    assert digest_scheme(con) == FAST_SCHEME


def test_a_build_with_other_hashes_uses_the_portable_scheme(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_rows, "_KNOWN_HASHES", (("hash('abc')", 14846292297954449589),))

    assert digest_scheme(con) == PORTABLE_SCHEME


@pytest.mark.parametrize("scheme", [FAST_SCHEME, PORTABLE_SCHEME])
class TestContentDigests:
    def test_row_order_does_not_count(self, con: duckdb.DuckDBPyConnection, scheme: str) -> None:
        shape = columns(a="VARCHAR", b="BIGINT")

        assert digest(con, scheme, shape, "('x', 1), ('y', 2)") == digest(con, scheme, shape, "('y', 2), ('x', 1)")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("('x', 'y')", "('y', 'x')"),
            ("('x', NULL)", "(NULL, 'x')"),
            ("('x', NULL)", "('x', '')"),
            ("('x', NULL)", "('x', '~')"),
            ("('a|b', 'c')", "('a', 'b|c')"),
            (r"('a|b', 'c')", r"('a\pb', 'c')"),
            (r"('~', 'c')", r"('\n', 'c')"),
            (r"('\\', 'c')", r"('\', 'c')"),
            ("('x', 'y')", "('x', 'y'), ('x', 'y')"),
            ("('x', 'y'), ('x', 'y'), ('x', 'y')", "('x', 'y')"),
        ],
    )
    def test_rows_that_differ_have_another_digest(
        self, con: duckdb.DuckDBPyConnection, scheme: str, one: str, other: str
    ) -> None:
        shape = columns(a="VARCHAR", b="VARCHAR")

        assert digest(con, scheme, shape, one) != digest(con, scheme, shape, other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("(0.1 + 0.2)", "(0.3)"),
            ("(499499999.99999994)", "(499500000.0)"),
            ("(-0.0::DOUBLE)", "(0.0::DOUBLE)"),
            ("('nan'::DOUBLE)", "(-('nan'::DOUBLE))"),
        ],
    )
    def test_the_order_of_an_addition_cannot_fake_a_change(
        self, con: duckdb.DuckDBPyConnection, scheme: str, one: str, other: str
    ) -> None:
        shape = columns(x="DOUBLE")

        assert digest(con, scheme, shape, one) == digest(con, scheme, shape, other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("(1.00000000001)", "(1.00000000002)"), ("('inf'::DOUBLE)", "(-('inf'::DOUBLE))"), ("(0.0)", "(NULL)")],
    )
    def test_doubles_that_differ_within_twelve_digits_count(
        self, con: duckdb.DuckDBPyConnection, scheme: str, one: str, other: str
    ) -> None:
        shape = columns(x="DOUBLE")

        assert digest(con, scheme, shape, one) != digest(con, scheme, shape, other)

    def test_a_narrower_type_with_the_same_value_is_the_same_row(
        self, con: duckdb.DuckDBPyConnection, scheme: str
    ) -> None:
        shape = columns(a="BIGINT", b="DECIMAL(10,2)", t="TIMESTAMPTZ")

        narrow = digest(con, scheme, shape, "(7::INTEGER, 1.5::DECIMAL(4,1), TIMESTAMPTZ '2026-01-01 01:00:00+01')")
        wide = digest(con, scheme, shape, "(7::HUGEINT, 1.50::DECIMAL(20,2), TIMESTAMPTZ '2026-01-01 00:00:00+00')")

        assert narrow == wide

    def test_digests_of_parts_add_up(self, con: duckdb.DuckDBPyConnection, scheme: str) -> None:
        shape = columns(a="VARCHAR", d="DATE", ok="BOOLEAN")
        rows = ["('x', DATE '2026-01-01', true)", "('y', NULL, false)", "('y', NULL, false)"]

        parts = [digest(con, scheme, shape, row) for row in rows]

        assert ContentDigest.combine(scheme, parts) == digest(con, scheme, shape, ", ".join(rows))

    def test_no_rows_have_the_empty_digest(self, con: duckdb.DuckDBPyConnection, scheme: str) -> None:
        sums = ", ".join(digest_aggregates(columns(a="BIGINT"), scheme))

        assert con.execute(f"SELECT {sums} FROM (SELECT 1 AS a WHERE false)").fetchall() == [(0, 0, 0)]


def test_the_portable_digest_is_the_md5_of_documented_text(con: duckdb.DuckDBPyConnection) -> None:
    """Another engine must be able to compute it from this sentence alone."""
    shape = columns(a="VARCHAR", n="BIGINT", ok="BOOLEAN", t="TIMESTAMPTZ", x="DOUBLE", d="DATE", m="DECIMAL(6,2)")
    row = (
        r"('p|q~\', NULL::BIGINT, true, TIMESTAMPTZ '1970-01-01 00:00:01+00', 0.5::DOUBLE, DATE '2026-01-02', "
        "3.1::DECIMAL(6,2))"
    )

    text = r"p\pq\n\\|~|1|1000000|500000000000e-12|20455|3.10"

    assert digest(con, PORTABLE_SCHEME, shape, row).parity == int(hashlib.md5(text.encode()).hexdigest()[:16], 16)


class TestPartitionedFiles:
    def test_hostile_values_stay_below_the_root_and_come_back(
        self, con: duckdb.DuckDBPyConnection, tmp_path: Path
    ) -> None:
        con.execute("CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS region, 1 AS n", [HOSTILE])
        root = tmp_path / "lake"

        files = copy_partitioned(con, "SELECT n, region FROM t", Target(root=str(root), spec=REGION, token="r1"))

        assert sorted(f.key for f in files) == sorted(HOSTILE)
        assert all((root / f.path).resolve().is_relative_to(root) and (root / f.path).is_file() for f in files)
        scan = Scan(
            root=str(root),
            paths=tuple(f.path for f in files),
            columns=columns(n="BIGINT", region="VARCHAR"),
            partition=REGION,
        )
        assert sorted(r[1] for r in con.execute(scan_sql(scan)).fetchall()) == sorted(HOSTILE)

    def test_files_are_described_as_they_are_on_disk(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        select = "SELECT range AS n, DATE '2026-01-01' + CAST(range % 2 AS INTEGER) AS day FROM range(5)"

        files = copy_partitioned(con, select, Target(root=str(tmp_path / "t"), spec=DAY, token="run-7"))

        assert [(f.key, f.rows) for f in files] == [("2026-01-01", 3), ("2026-01-02", 2)]
        for file in files:
            content = (tmp_path / "t" / file.path).read_bytes()
            assert file.path.startswith(f"day={file.key}/part-run-7-")
            assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())

    def test_months_have_keys_without_a_day(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        files = copy_partitioned(
            con, "SELECT 1 AS n, DATE '2026-03-01' AS month", Target(root=str(tmp_path), spec=MONTH, token="r")
        )

        assert [f.key for f in files] == ["2026-03"]
        assert con.execute(f"SELECT {key_sql(MONTH)} FROM (SELECT DATE '2026-03-01' AS month)").fetchall() == [
            ("2026-03",)
        ]

    def test_a_second_write_leaves_the_first_files_alone(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        select = "SELECT 1 AS n, DATE '2026-03-01' AS day"

        first = copy_partitioned(con, select, Target(root=str(tmp_path), spec=DAY, token="a"))
        second = copy_partitioned(con, select, Target(root=str(tmp_path), spec=DAY, token="b"))

        assert {f.path for f in (*first, *second)} == {
            str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.parquet")
        }

    def test_no_rows_make_no_file(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        assert (
            copy_partitioned(
                con,
                "SELECT 1 AS n, DATE '2026-03-01' AS day WHERE false",
                Target(root=str(tmp_path), spec=DAY, token="a"),
            )
            == []
        )

    @pytest.mark.parametrize(
        ("spec", "value", "shown"),
        [
            (DAY, "NULL::DATE", "NULL"),
            (DAY, "DATE '0001-01-01'", "'0001-01-01'"),
            (DAY, "DATE 'infinity'", "'infinity'"),
            (MONTH, "DATE '2026-03-02'", "'2026-03-02'"),
            (REGION, "''", "''"),
            (REGION, "NULL::VARCHAR", "NULL"),
        ],
    )
    def test_a_value_that_no_unit_can_have_is_signalled_with_its_rows(
        self, con: duckdb.DuckDBPyConnection, tmp_path: Path, spec: PartitionSpec, value: str, shown: str
    ) -> None:
        select = f"SELECT range AS n, {value} AS {spec.column} FROM range(3)"

        with pytest.raises(UnusablePartition) as caught:
            copy_partitioned(con, select, Target(root=str(tmp_path), spec=spec, token="a"))

        assert caught.value.rows == {shown: 3}


VALUES = """SELECT * FROM (VALUES
    (1::INTEGER, 9007199254740993::BIGINT, 1.5::DOUBLE, 'it''s "é"', DATE '2026-01-05',
     TIMESTAMPTZ '2026-01-01 05:33:21.123456+00', 12.30::DECIMAL(10,2), true, repeat('z', 40), NULL::BIGINT,
     'nan'::DOUBLE, 12345678901234567890123::DECIMAL(38,0), DATE '2026-01-01'),
    (2, -9007199254740993, -2.5, '', DATE '1999-12-31', TIMESTAMPTZ '2026-01-01 05:33:21+00', -1.05, false,
     'a' || chr(0) || 'b', NULL, 1.0, -1, DATE '2026-01-01')
) AS t(i, b, x, s, d, t, m, ok, long, nothing, odd, wide, day)"""


class TestDeltaStatistics:
    @pytest.fixture
    def stats(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> dict[str, dict[str, object]]:
        (file,) = copy_partitioned(con, VALUES, Target(root=str(tmp_path), spec=DAY, token="a"))
        return json.loads(file.stats)

    def test_bounds_have_the_json_types_of_their_columns(self, stats: dict[str, dict[str, object]]) -> None:
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

    def test_long_text_is_cut_to_a_bound_that_no_value_exceeds(self, stats: dict[str, dict[str, object]]) -> None:
        assert stats["maxValues"]["long"] == "z" * 31 + "{"

    def test_bounds_that_are_not_certain_are_left_out(self, stats: dict[str, dict[str, object]]) -> None:
        assert {"ok", "odd", "nothing", "wide"}.isdisjoint(stats["maxValues"])
        assert stats["nullCount"]["nothing"] == 2

    def test_delta_reads_them_back(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        """delta-rs stops with a panic on statistics of the wrong JSON type."""
        (file,) = copy_partitioned(con, VALUES, Target(root=str(tmp_path), spec=DAY, token="a"))
        types = {"i": "integer", "b": "long", "x": "double", "s": "string", "d": "date", "t": "timestamp"}
        types |= {"m": "decimal(10,2)", "ok": "boolean", "long": "string", "nothing": "long", "odd": "double"}
        types |= {"wide": "decimal(38,0)", "day": "date"}
        schema = Schema([Field(name, PrimitiveType(kind), nullable=True) for name, kind in types.items()])
        table = DeltaTable.create(str(tmp_path), schema=schema, partition_by=["day"])

        table.create_write_transaction(
            [AddAction(file.path, file.size_bytes, {"day": file.key}, 0, True, file.stats)],
            "append",
            schema,
            partition_by=["day"],
            commit_properties=CommitProperties(max_commit_retries=0),
        )

        actions = DeltaTable(str(tmp_path)).get_add_actions(flatten=True)
        assert actions["num_records"].to_pylist() == [2]
        assert actions["max.b"].to_pylist() == [9007199254740993]
        assert str(actions["min.t"].to_pylist()[0]).startswith("2026-01-01 05:33:21")
        assert actions["max.long"].to_pylist() == ["z" * 31 + "{"]


class TestScans:
    def write(self, con: duckdb.DuckDBPyConnection, root: Path, select: str, spec: PartitionSpec = DAY) -> list[str]:
        return [f.path for f in copy_partitioned(con, select, Target(root=str(root), spec=spec, token="a"))]

    def scan(self, root: Path, paths: list[str], shape: tuple[Column, ...], **given: object) -> Scan:
        return Scan(root=str(root), paths=tuple(paths), columns=shape, **{"partition": DAY, **given})

    def test_no_files_read_as_typed_columns_without_rows(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        relation = con.sql(scan_sql(self.scan(tmp_path, [], columns(a="BIGINT", t="TIMESTAMPTZ"))))

        assert (relation.columns, [str(t) for t in relation.types]) == (
            ["a", "t"],
            ["BIGINT", "TIMESTAMP WITH TIME ZONE"],
        )
        assert relation.fetchall() == []

    def test_a_column_added_after_some_or_all_files_is_null_there(
        self, con: duckdb.DuckDBPyConnection, tmp_path: Path
    ) -> None:
        old = self.write(con, tmp_path, "SELECT 1 AS n, DATE '2026-01-01' AS day")
        new = self.write(con, tmp_path, "SELECT 2::BIGINT AS n, 'x' AS added, DATE '2026-01-02' AS day")
        shape = columns(n="BIGINT", added="VARCHAR", later="DOUBLE", day="DATE")

        some = con.execute(
            f"SELECT n, added, later FROM ({scan_sql(self.scan(tmp_path, old + new, shape))}) ORDER BY n"
        )
        assert some.fetchall() == [(1, None, None), (2, "x", None)]
        every = con.execute(f"SELECT n, added, later FROM ({scan_sql(self.scan(tmp_path, old, shape))})")
        assert every.fetchall() == [(1, None, None)]

    def test_only_the_named_days_of_a_timestamp_are_read_half_open(
        self, con: duckdb.DuckDBPyConnection, tmp_path: Path
    ) -> None:
        moments = "'2026-01-01 23:59:59.999999+00', '2026-01-02 00:00:00+00', '2026-01-03 00:00:00+00'"
        paths = self.write(con, tmp_path, f"SELECT unnest([{moments}])::TIMESTAMPTZ AS t, DATE '2026-02-01' AS day")
        only = PartitionSet.of(Grain.DAY, ["2026-01-02"])

        scan = self.scan(tmp_path, paths, columns(t="TIMESTAMPTZ", day="DATE"), only=only, only_column="t")

        assert con.execute(f"SELECT CAST(t AS VARCHAR) FROM ({scan_sql(scan)})").fetchall() == [
            ("2026-01-02 00:00:00+00",)
        ]

    def test_only_the_named_months_and_days_of_a_date_are_read(
        self, con: duckdb.DuckDBPyConnection, tmp_path: Path
    ) -> None:
        days = "SELECT 1 AS n, DATE '2026-01-31' + CAST(range AS INTEGER) AS day FROM range(60)"
        paths = self.write(con, tmp_path, days)
        sets = {
            28: PartitionSet.of(Grain.MONTH, ["2026-02"]),
            2: PartitionSet.of(Grain.DAY, ["2026-01-31", "2026-03-05"]),
            0: PartitionSet(Grain.DAY),
        }

        for expected, only in sets.items():
            scan = self.scan(tmp_path, paths, columns(n="BIGINT", day="DATE"), only=only, only_column="day")
            assert con.execute(f"SELECT count(*) FROM ({scan_sql(scan)})").fetchall() == [(expected,)]

    def test_only_the_named_identity_values_are_read(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        select = "SELECT unnest(['it''s', 'x', 'y']) AS region, 1 AS n"
        paths = self.write(con, tmp_path, select, REGION)
        only = PartitionSet.of(Grain.IDENTITY, ["it's", "y"])
        shape = columns(n="BIGINT", region="VARCHAR")

        scan = self.scan(tmp_path, paths, shape, partition=REGION, only=only, only_column="region")

        assert sorted(r[1] for r in con.execute(scan_sql(scan)).fetchall()) == ["it's", "y"]

    def test_the_filter_reaches_the_files(self, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        paths = self.write(con, tmp_path, "SELECT range AS n, DATE '2026-01-01' AS day FROM range(9)")
        paths += self.write(con, tmp_path, "SELECT range AS n, DATE '2026-01-02' AS day FROM range(9)")
        only = PartitionSet.of(Grain.DAY, ["2026-01-02"])
        scan = self.scan(tmp_path, paths, columns(n="BIGINT", day="DATE"), only=only, only_column="day")

        plan = con.execute(f"EXPLAIN {scan_sql(scan)}").fetchall()[0][1]

        assert "Scanning Files: 1/2" in plan or "File Filters" in plan
