"""What only Delta tables do: their log, what their readers prune by, and features that are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.transaction import RemoveAction

from remint.errors import LogDamaged, PublishConflict, RunError, StorageUnavailable, TableUnusable
from remint.formats import delta
from remint.formats.base import Table
from remint.model.provenance import DataFile
from remint.storage.places import storage_of
from tests.buckets import Bucket
from tests.formats.kinds import Kind, delta_in
from tests.masks import mask_delta

MAPPED = "delta.columnMapping"


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    return delta_in(tmp_path)


def log_of(table: Table) -> list[Path]:
    return sorted((Path(table.location) / "_delta_log").glob("*.json"))


def test_a_bronze_table_refuses_deletes_by_other_writers(kind: Kind) -> None:
    table = kind.created(append_only=True)
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    with pytest.raises(Exception, match="append-only"):
        DeltaTable(table.location).delete("n = 1")


def test_a_commit_carries_statistics_that_other_readers_prune_by(kind: Kind) -> None:
    table = kind.created()

    kind.publish(table, "r1", kind.staged(table, [(1, "a"), (7, "a")]))

    added = [json.loads(line)["add"] for line in log_of(table)[1].read_text().splitlines() if '"add"' in line]
    assert json.loads(added[0]["stats"])["maxValues"]["n"] == 7


@pytest.mark.parametrize(("content", "said"), [("", "empty"), ('{"commitInfo": {"timest', "torn"), ("{}\n", "cut off")])
def test_a_damaged_commit_is_named(kind: Kind, content: str, said: str) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    assert kind.format.damaged_commits(table) == []

    log_of(table)[1].write_text(content)

    (found,) = kind.format.damaged_commits(table)
    assert said in found
    assert log_of(table)[1].name in found


def test_a_table_that_allows_deletion_vectors_and_has_none_is_published_to(kind: Kind) -> None:
    table = kind.table()
    schema = pa.schema([("n", pa.int64()), ("region", pa.string())])
    DeltaTable.create(
        table.location, schema, partition_by=["region"], configuration={"delta.enableDeletionVectors": "true"}
    )

    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.format.differences(table) == []
    assert rows_of(table) == [(1, "a")]


def rows_of(table: Table, kind: Kind | None = None) -> list[tuple[object, ...]]:
    """Return the rows as delta-rs reads them, without those that vectors delete."""
    opened = DeltaTable(table.location, storage_options=dict(kind.storage.options) if kind else None)
    return sorted((row["n"], row["region"]) for row in pa.table(opened.scan()).to_pylist())


def masked(kind: Kind) -> tuple[Table, list[DataFile]]:
    """Return a table of which two of three rows of a partition are deleted by a vector, and what is live there."""
    table = kind.created()
    (old,) = kind.staged(table, [(1, "a b"), (2, "a b"), (3, "a b")])
    kind.publish(table, "r1", [old])
    kind.publish(table, "r2", kind.staged(table, [(4, "b")], "r2-0"))
    mask_delta(table.location, old.path.partition("/")[2], [0, 2], kind.storage)
    live = kind.format.live_files(table)["a b"]
    return table, [replace(old, path=p, size_bytes=old.size_bytes * (p == old.path), stats="{}") for p in sorted(live)]


def test_a_file_with_a_deletion_vector_is_taken_out_whole_and_put_back_as_it_was(kind: Kind) -> None:
    table, live = masked(kind)
    assert rows_of(table) == [(2, "a b"), (4, "b")]
    assert pa.table(kind.format.rows(table, "a b"))["n"].to_pylist() == [2]
    assert set(kind.format.not_plain(table, ["a b", "b"])) == {"a b"}
    new = kind.staged(table, [(7, "a b")], "r3-0")
    with pytest.raises(PublishConflict):
        kind.publish(table, "r3", new, [f for f in live if f.size_bytes])

    kind.publish(table, "r3", new, live)
    assert rows_of(table) == [(4, "b"), (7, "a b")]
    DeltaTable(table.location).create_checkpoint()
    assert kind.format.read_log(table).faults == ()
    kind.publish(table, "r3", live, new, attempt=2)

    assert rows_of(table) == [(2, "a b"), (4, "b")]
    assert kind.format.live_files(table)["a b"] == {f.path for f in live}
    assert kind.format.published_version(table, "r3", 2) == 5


def test_a_file_that_others_take_out_without_its_vector_is_live_still(kind: Kind) -> None:
    """As every reader has it: what goes is told by path and vector."""
    table, live = masked(kind)
    opened = DeltaTable(table.location)
    remove = RemoveAction(live[0].path, True, 0, live[0].size_bytes, {"region": "a b"})
    opened.create_write_transaction([remove], "append", opened.schema(), partition_by=["region"])

    assert rows_of(table) == [(2, "a b"), (4, "b")]
    assert kind.format.live_files(table)["a b"] == {f.path for f in live}


@pytest.mark.slow
def test_a_file_with_a_deletion_vector_is_taken_out_of_a_bucket(tmp_path: Path, at_bucket: Bucket) -> None:
    place = at_bucket.new_lake()
    kind = delta_in(tmp_path, place, storage_of(place, lambda _: None))
    table, live = masked(kind)

    kind.publish(table, "r3", kind.staged(table, [(7, "a b")], "r3-0"), live)

    assert rows_of(table, kind) == [(4, "b"), (7, "a b")]


def test_a_lost_race_for_an_entry_of_ours_is_tried_again(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    table, live = masked(kind)
    kind.before_commit(monkeypatch, lambda: kind.stranger.append(table, [{"n": 9, "region": "c"}]))

    version = kind.publish(table, "r3", [], live)

    assert version == 5
    assert rows_of(table) == [(4, "b"), (9, "c")]


def test_a_vector_beside_a_feature_that_an_entry_of_ours_could_break_is_refused(kind: Kind) -> None:
    table, live = masked(kind)
    (path,) = [p for p in log_of(table) if '"protocol"' in p.read_text() and "deletionVectors" in p.read_text()]
    path.write_text(path.read_text().replace('"invariants"', '"invariants", "allowColumnDefaults"'))

    with pytest.raises(RunError, match="allowColumnDefaults, which remint does not know how to keep"):
        kind.publish(table, "r3", [], live)

    assert kind.format.version(table) == 3


@pytest.mark.parametrize(
    ("protocol", "configuration", "said"),
    [
        ({"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["inCommitTimestamp"]}, {}, "inCommit"),
        ({"minReaderVersion": 2, "minWriterVersion": 5}, {f"{MAPPED}.mode": "name"}, "columnMapping"),
    ],
)
def test_a_table_with_a_feature_that_is_not_written_is_refused_at_once(
    kind: Kind, protocol: dict[str, object], configuration: dict[str, str], said: str
) -> None:
    table = kind.created()
    first = log_of(table)[0]
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = protocol
        if "metaData" in action:
            action["metaData"]["configuration"] = configuration
            schema = json.loads(action["metaData"]["schemaString"])
            for number, held in enumerate(schema["fields"], start=1):
                held["metadata"] = {f"{MAPPED}.id": number, f"{MAPPED}.physicalName": held["name"]}
            action["metaData"]["schemaString"] = json.dumps(schema)
    first.write_text("".join(f"{json.dumps(action)}\n" for action in actions))

    with pytest.raises(RunError, match=f"{said}.*, which remint does not write"):
        kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.format.version(table) == 0
    assert said in kind.format.differences(table)[0]
    with pytest.raises(TableUnusable, match=said):
        kind.format.prepare(table)


def test_a_file_whose_path_another_writer_spelled_in_its_way_is_taken_out(kind: Kind) -> None:
    table = kind.created()
    (old,) = kind.staged(table, [(1, "é x")])
    kind.publish(table, "r1", [old])
    path = log_of(table)[1]
    assert "%25C3%25A9" in path.read_text()
    (Path(table.location) / "region=é x").mkdir()
    strange = Path(table.location) / "region=é x" / "a.parquet"
    strange.write_bytes((Path(table.location) / old.path).read_bytes())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for action in lines:
        if "add" in action:
            action["add"]["path"] = "region=é%20x/a.parquet"
    path.write_text("".join(f"{json.dumps(action, ensure_ascii=False)}\n" for action in lines))
    new = kind.staged(table, [(2, "é x")], "r2-0")

    kind.publish(table, "r2", new, [replace(old, path="region=é x/a.parquet")])

    assert rows_of(table) == [(2, "é x")]


def test_a_log_whose_first_entry_is_gone_is_damaged_and_no_table_that_is_gone(kind: Kind) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "v")]))
    log_of(table)[0].unlink()

    with pytest.raises(LogDamaged, match="is gone, and later ones are there"):
        kind.format.live_files(table)


def test_a_log_of_which_only_a_checkpoint_is_left_is_still_a_table(kind: Kind) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "v")]))
    DeltaTable(table.location).create_checkpoint()
    (Path(table.location) / "_delta_log" / "_last_checkpoint").unlink()
    for entry in log_of(table):
        entry.unlink()

    assert set(kind.format.live_files(table)) == {"v"}


@pytest.mark.parametrize("times", [2, 3])
def test_an_answer_that_breaks_off_is_asked_for_again(kind: Kind, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """delta-rs asks again only where no answer has begun."""
    table, left, opens = kind.created(), [times], delta.DeltaTable

    def breaking(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("error reading a body from connection: Connection reset by peer (os error 104)")
        return opens(*args, **kwargs)

    monkeypatch.setattr(delta, "DeltaTable", breaking)

    if times == 2:
        assert kind.format.live_files(table) == {}
        assert left == [-1]
    else:
        with pytest.raises(StorageUnavailable, match="broke off"):
            kind.format.live_files(table)
