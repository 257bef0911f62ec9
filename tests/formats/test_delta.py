"""What only Delta tables do: their log, what their readers prune by, and features that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from remint.errors import LogDamaged, RunError
from remint.formats.base import Table
from tests.formats.kinds import Kind, delta_in


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


def test_a_table_with_deletion_vectors_is_refused_before_any_commit(kind: Kind) -> None:
    table = kind.table()
    schema = pa.schema([("n", pa.int64()), ("region", pa.string())])
    DeltaTable.create(
        table.location, schema, partition_by=["region"], configuration={"delta.enableDeletionVectors": "true"}
    )

    with pytest.raises(RunError, match="deletionVectors"):
        kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.format.version(table) == 0


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
