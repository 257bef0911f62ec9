"""What only Iceberg tables do: several committed as one, files that delete rows of others, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFileContent
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.types import LongType, StringType

from remint.engines.duckdb_rows import delta_stats
from remint.errors import LogDamaged, PublishConflict, RunError
from remint.formats import iceberg_catalog
from remint.formats.base import Table
from remint.formats.iceberg_files import partition_record, schema_of, spec_of
from remint.formats.iceberg_names import are_named
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionSpec
from remint.model.provenance import DataFile
from remint.workspace.catalogs import catalog_of
from tests.formats.kinds import Kind, iceberg_in
from tests.masks import mask_iceberg


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    return iceberg_in(tmp_path)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_of("sql", "remint", f"sqlite:///{tmp_path}/lake/catalog.db").library


def test_every_file_that_a_catalog_names_is_synced_before_it_names_it(
    kind: Kind, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(iceberg_catalog, "sync", lambda path: synced.add(str(path)))
    table = kind.created()

    kind.format.publish([kind.replacement(table, "r1", (1, "a"))])

    loaded = catalog.load_table(table.name)
    snapshot = loaded.current_snapshot()
    assert snapshot
    named = {
        loaded.metadata_location,
        snapshot.manifest_list,
        *(m.manifest_path for m in snapshot.manifests(loaded.io)),
    }
    named |= {entry.metadata_file for entry in loaded.metadata.metadata_log}
    assert named <= synced
    assert str(Path(table.location) / "metadata") in synced


def test_a_file_written_for_other_columns_is_refused(kind: Kind, catalog: Catalog) -> None:
    table = kind.created()
    change = kind.replacement(table, "r1", (1, "a"))
    with catalog.load_table(table.name).update_schema() as update:
        update.delete_column("n")
    kind.format.create(table)

    with pytest.raises(PublishConflict, match="columns of the table were given other ids"):
        kind.format.publish([change])


def test_manifests_that_name_nothing_live_do_not_pile_up(kind: Kind, catalog: Catalog) -> None:
    table = kind.created()
    files: list[Any] = []
    for n in range(5):
        adds = kind.staged(table, [(n, "a")], f"r{n}-0")
        kind.publish(table, f"r{n}", adds, files)
        files = adds

    loaded = catalog.load_table(table.name)
    snapshot = loaded.current_snapshot()
    assert snapshot
    assert len(snapshot.manifests(loaded.io)) == 2  # what was put in, and what was taken out


@pytest.mark.parametrize("file", ["metadata.json", "-m0.avro", "snap-"])
def test_metadata_that_cannot_be_read_is_named(kind: Kind, file: str) -> None:
    table = kind.created()
    kind.format.publish([kind.replacement(table, "r1", (1, "a"))])
    found = sorted(p for p in (Path(table.location) / "metadata").iterdir() if file in p.name)
    found[-1].write_bytes(b"")
    fresh = iceberg_in(kind.root)

    with pytest.raises(LogDamaged, match=r"gold\.t: the metadata of the table cannot be read"):
        fresh.format.live_files(table)
    assert fresh.format.read_log(table).faults
    assert fresh.format.damaged_commits(table)


@pytest.mark.parametrize(
    ("grain", "keys"),
    [
        (Grain.HOUR, ["1969-12-31T23", "2026-10-14T05"]),
        (Grain.DAY, ["1969-12-31", "2026-10-14"]),
        (Grain.MONTH, ["1969-12", "2026-10"]),
    ],
)
def test_a_hidden_cut_is_found_again_under_its_keys(
    kind: Kind, catalog: Catalog, grain: Grain, keys: list[str]
) -> None:
    cut = PartitionSpec(column="seen", grain=grain, is_hidden=True)
    table = kind.created(columns="n BIGINT, seen TIMESTAMPTZ", cut=cut)
    rows = [(1, "1969-12-31 23:59:59.999999+00"), (2, "2026-10-14 05:30:00+00"), (3, "2026-10-14 05:59:59+00")]
    files = kind.staged(table, rows)
    kind.publish(table, "r1", files)

    assert sorted(kind.format.live_files(table)) == sorted({f.key for f in files}) == keys
    assert [(n, at.isoformat(" ")) for n, at in kind.rows(table)] == [(n, at[:-3] + "+00:00") for n, at in rows]
    assert kind.format.differences(table) == []
    kind.stranger.append(table, [{"n": 4, "seen": datetime(2026, 10, 14, 5, 1, tzinfo=UTC)}])
    assert sorted(kind.format.live_files(table)) == keys
    loaded = catalog.load_table(table.name)
    assert len(list(loaded.scan(row_filter="seen < '2000-01-01T00:00:00+00:00'").plan_files())) == 1


@pytest.mark.parametrize(
    ("kind_of", "values"),
    [
        ("VARCHAR", ["a", "b", "", "é", None, "a"]),
        ("BIGINT", [1, -1, 0, 2**40, None, 1]),
        ("DATE", [date(1969, 12, 31), date(2026, 10, 14), None]),
        ("TIMESTAMPTZ", [datetime(2026, 10, 14, 5, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC), None]),
    ],
)
def test_buckets_are_those_of_iceberg(kind: Kind, catalog: Catalog, kind_of: str, values: list[Any]) -> None:
    cut = PartitionSpec(column="seen", grain=Grain.DAY, is_hidden=True, buckets=("who", 4))
    table = kind.created(columns=f"who {kind_of}, seen TIMESTAMPTZ", cut=cut)
    rows = [(value, datetime(2026, 10, 14, n, tzinfo=UTC)) for n, value in enumerate(values)]
    files = kind.staged(table, rows)
    kind.publish(table, "r1", files)
    assert kind.format.live_files(table) == {"2026-10-14": frozenset(f.path for f in files)}
    assert kind.format.differences(table) == []
    ours = {v: n for n in range(4) for v in _in_bucket(catalog, table, n)}

    kind.stranger.delete_all(table)
    kind.stranger.append(table, [{"who": who, "seen": seen} for who, seen in rows])

    assert {v: n for n in range(4) for v in _in_bucket(catalog, table, n)} == ours
    assert ours.keys() == set(values) - {None}


def _in_bucket(catalog: Catalog, table: Table, number: int) -> set[Any]:
    loaded = catalog.load_table(table.name)
    mine = [t.file for t in loaded.scan().plan_files() if t.file.partition[1] == number]
    return {v for file in mine for v in pq.read_table(file.file_path, partitioning=None)["who"].to_pylist()}


# -- what others write -------------------------------------------------------------------------------------------------


def delete_row(catalog: Catalog, table: Table, path: str, position: int, content: DataFileContent) -> None:
    """Delete one row of a file the way that merge-on-read writers do."""
    mask_iceberg(catalog.load_table(table.name), f"{table.location}/{path}", [position], content)


def test_position_deletes_make_a_partition_another_one_until_it_is_replaced(kind: Kind, catalog: Catalog) -> None:
    table = kind.created()
    change = kind.replacement(table, "r1", (1, "a"), (2, "a"), (3, "b"))
    kind.format.publish([change])
    old = next(f for f in change[1].adds if f.key == "a")
    delete_row(catalog, table, old.path, 0, DataFileContent.POSITION_DELETES)
    assert kind.rows(table) == [(2, "a"), (3, "b")]
    live = kind.format.live_files(table)
    assert len(live["a"]) == 2
    assert kind.format.differences(table) == []
    assert kind.format.not_plain(table, live) == {"a": "rows of its files are deleted by position"}
    assert pa.table(kind.format.rows(table, "a")).to_pylist() == [{"n": 2, "region": "a"}]
    new = kind.staged(table, [(7, "a")], "r2-0")

    with pytest.raises(PublishConflict):
        kind.publish(table, "r2", new, [old])
    gone = [replace(old, path=path, stats="") for path in live["a"] if path != old.path]
    kind.publish(table, "r2", new, [old, *gone])

    assert kind.rows(table) == [(3, "b"), (7, "a")]
    assert kind.format.live_files(table)["a"] == {f.path for f in new}
    with pytest.raises(PublishConflict, match="would come back"):
        kind.publish(table, "r2", [old, *(replace(f, stats="{}") for f in gone)], new, attempt=2)
    assert kind.rows(table) == [(3, "b"), (7, "a")]


def test_a_column_that_was_renamed_and_widened_makes_a_partition_not_plain(kind: Kind, catalog: Catalog) -> None:
    """Read by names, the rows of before would have NULL there."""
    table = kind.created(columns="n INTEGER, region VARCHAR")
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    with catalog.load_table(table.name).update_schema() as update:
        update.update_column("n", LongType())
    widened = kind.format.not_plain(table, ["a"])["a"]
    with catalog.load_table(table.name).update_schema() as update:
        update.rename_column("n", "k")
    after = kind.table(columns="k BIGINT, region VARCHAR")

    assert widened.startswith("column n is int32 in ")
    assert kind.format.not_plain(after, ["a"])["a"].startswith("column k is called n in ")
    assert kind.format.differences(after) == []
    assert pa.table(kind.format.rows(after, "a")).to_pylist() == [{"k": 1, "region": "a"}]


def test_files_are_known_to_hold_columns_under_their_names_of_before(kind: Kind, catalog: Catalog) -> None:
    table = kind.created(columns="n BIGINT, m VARCHAR, region VARCHAR")
    ours = kind.staged(table, [(1, "x", "a")])
    kind.publish(table, "r1", ours)
    kind.stranger.append(table, [{"n": 2, "m": "y", "region": "b"}])
    (theirs,) = kind.format.live_files(table)["b"]
    files = [*ours, replace(ours[0], path=theirs, stats="")]
    assert kind.format.renamed(table, files) == {}

    with catalog.load_table(table.name).update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("n", "k")
        update.delete_column("m")
    with catalog.load_table(table.name).update_schema() as update:
        update.add_column("m", StringType())
        update.add_column("n", LongType())
    after = kind.table(columns="k BIGINT, m VARCHAR, region VARCHAR, n BIGINT")

    # What somebody drops and adds anew without the contract is read as it was published; doctor tells.
    assert kind.format.renamed(after, files) == {f.path: {"k": "n", "n": ""} for f in files}
    assert "were given other ids" in str(kind.format.said_otherwise(after, ours))
    assert kind.format.renamed(after, kind.staged(after, [(3, "z", "c", 4)])) == {}


def test_a_column_that_somebody_renamed_is_not_added_beside_its_values(kind: Kind, catalog: Catalog) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    with catalog.load_table(table.name).update_schema() as update:
        update.rename_column("n", "k")

    with pytest.raises(RunError, match="column n was in the table, and somebody dropped or renamed it"):
        kind.format.create(table)

    assert catalog.load_table(table.name).schema().column_names == ["k", "region"]


def test_a_column_that_was_dropped_and_added_anew_is_another_one(kind: Kind, catalog: Catalog) -> None:
    """Read by names, the rows of before would have the dropped column's values."""
    table = kind.created(columns="n BIGINT, m VARCHAR, region VARCHAR")
    kind.publish(table, "r1", kind.staged(table, [(1, "x", "a")]))
    with catalog.load_table(table.name).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("m")
    with catalog.load_table(table.name).update_schema() as update:
        update.add_column("m", StringType())

    assert kind.format.not_plain(table, ["a"])["a"].startswith("column m is another one in ")
    assert pa.table(kind.format.rows(table, "a"))["m"].to_pylist() == [None]
    (path,) = kind.format.live_files(table)["a"]
    Path(f"{table.location}/{path}").unlink()
    assert kind.format.not_plain(table, ["a"]) == {}


def test_equality_deletes_are_refused(kind: Kind, catalog: Catalog) -> None:
    table = kind.created()
    change = kind.replacement(table, "r1", (1, "a"))
    kind.format.publish([change])
    delete_row(catalog, table, change[1].adds[0].path, 0, DataFileContent.EQUALITY_DELETES)

    with pytest.raises(RunError, match="equality deletes"):
        kind.publish(table, "r2", kind.staged(table, [(2, "b")], "r2-0"))
    assert "equality deletes" in kind.format.differences(table)[0]


@pytest.mark.parametrize("version", [1, 3])
def test_other_format_versions_are_refused(kind: Kind, catalog: Catalog, version: int) -> None:
    table = kind.table()
    catalog.create_namespace("gold")
    schema = pa.schema([("n", pa.int64()), ("region", pa.string())])
    made = catalog.create_table(table.name, schema, table.location, properties={"format-version": str(min(version, 2))})
    path = Path(made.metadata_location)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format-version": version, "next-row-id": 0}))

    with pytest.raises(RunError, match=f"format version {version}"):
        kind.publish(table, "r1", kind.staged(table, [(1, "a")]))


def test_a_bucket_is_read_from_the_folder_that_names_it_by_any_name_of_its_column() -> None:
    """Another column may be called like the bucket of this one."""
    columns = (Column(name="customer_bucket_date", type="DATE"), Column(name="customer", type="BIGINT"))
    cut = PartitionSpec(column="customer_bucket_date", grain=Grain.DAY, buckets=("customer", 4))
    table = Table(name="silver.t", location="/t", columns=columns, partition=cut, append_only=False)
    schema = schema_of(columns)
    metadata = new_table_metadata(schema, spec_of(table, schema), UNSORTED_SORT_ORDER, "/t")
    later = schema_of((columns[0], replace(columns[1], name="client")))
    metadata = metadata.model_copy(update={"schemas": [*metadata.schemas, later.model_copy(update={"schema_id": 1})]})
    metadata = metadata.model_copy(update={"current_schema_id": 1})

    for folder, bucket in (("customer_bucket=3", 3), ("client_bucket=0", 0), ("customer_bucket_4=2", 2)):
        path = f"data/customer_bucket_date_day=2026-11-01/{folder}/x.parquet"
        file = DataFile(path=path, key="2026-11-01", rows=1, size_bytes=1, sha256="", stats="")
        assert partition_record(table, metadata, file)[1] == bucket
    with pytest.raises(PublishConflict, match="names the bucket"):
        partition_record(table, metadata, replace(file, path="data/customer_bucket_date_day=2026-11-01/x.parquet"))


def test_a_column_may_be_called_like_what_the_statistics_say_of_ids() -> None:
    columns = (Column(name="fieldIds", type="BIGINT"), Column(name="n", type="BIGINT"))
    table = Table(
        name="silver.t",
        location="/t",
        columns=columns,
        partition=PartitionSpec(column="n", grain=Grain.IDENTITY),
        append_only=False,
    )
    found = {'"fieldIds"': {"min": "1", "max": "2", "null_count": "0"}}
    stats = delta_stats(2, found, {"fieldIds": "BIGINT", "n": "BIGINT"}, {"fieldIds": 7, "n": 8})

    assert are_named(table, DataFile(path="x", key="1", rows=2, size_bytes=1, sha256="", stats=stats))


def test_files_without_ids_are_read_by_the_name_mapping_of_their_table(kind: Kind, catalog: Catalog) -> None:
    """As files are that other programs took into a table as they were; a rename adds the new name to the mapping."""
    table = kind.created()
    place = Path(table.location) / "plain.parquet"
    place.parent.mkdir(parents=True, exist_ok=True)
    first = table.columns[0].name
    pq.write_table(pa.table({first: pa.array([1], pa.int64())}), place)
    loaded = catalog.load_table(table.name)
    with loaded.transaction() as transaction:
        transaction.set_properties(
            {"schema.name-mapping.default": loaded.schema().name_mapping.model_dump_json(by_alias=True)}
        )
    with catalog.load_table(table.name).update_schema() as update:
        update.rename_column(first, "called")
    now = replace(table, columns=(replace(table.columns[0], name="called"), *table.columns[1:]))
    file = DataFile(path="plain.parquet", key="a", rows=1, size_bytes=1, sha256="", stats="")

    assert kind.format.renamed(now, [file]) == {"plain.parquet": {"called": first}}
