"""The end of a Delta log after a loss of power: what is torn is moved aside, and everything else stays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from remint.errors import LogDamaged, PublishUnverified
from remint.formats.base import Replacement, Table
from remint.formats.delta_log import log_folder
from tests.formats.kinds import Kind, delta_in
from tests.formats.test_delta import log_of


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    return delta_in(tmp_path)


def second(kind: Kind) -> tuple[Table, Replacement]:
    """Return a table with two commits, and the second of them."""
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    adds = kind.staged(table, [(2, "b"), (3, "c")], "r2-0")
    change = Replacement(run_id="r2", attempt=1, adds=tuple(adds), removes=())
    kind.format.publish([(table, change)])
    return table, change


def emptied(text: str) -> str:
    return ""


def halved(text: str) -> str:
    return text[: len(text) // 2]


def without_its_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def without_a_file(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:1], *lines[2:]])


@pytest.mark.parametrize("tear", [emptied, halved, without_its_last_line, without_a_file])
def test_a_torn_last_commit_is_kept_aside_and_made_again_under_its_number(
    tmp_path: Path, kind: Kind, tear: Callable[[str], str]
) -> None:
    table, change = second(kind)
    whole = kind.rows(table)
    entry = log_of(table)[-1]
    torn = tear(entry.read_text())
    entry.write_text(torn)

    moved = kind.format.mend(table, [change], tmp_path / "aside")
    version = kind.format.publish([(table, change)])[0].version

    assert len(moved) == 1
    assert (tmp_path / "aside" / entry.name).read_text() == torn
    assert version == 2
    assert kind.rows(table) == whole
    assert kind.format.damaged_commits(table) == []


def test_a_whole_log_is_left_as_it_is(tmp_path: Path, kind: Kind) -> None:
    table, change = second(kind)
    before = {p: p.read_bytes() for p in log_of(table)}

    assert kind.format.mend(table, [change], tmp_path / "aside") == []
    assert kind.format.publish([(table, change)])[0].version == 2
    assert {p: p.read_bytes() for p in log_of(table)} == before
    assert not (tmp_path / "aside").exists()


def test_a_foreign_commit_without_a_commit_entry_is_left_as_it_is(tmp_path: Path, kind: Kind) -> None:
    table, change = second(kind)
    write_deltalake(table.location, pa.table({"n": [9], "region": ["z"]}), mode="append")
    entry = log_of(table)[-1]
    entry.write_text("".join(line for line in entry.read_text().splitlines(True) if "commitInfo" not in line))

    assert kind.format.mend(table, [change], tmp_path / "aside") == []


def test_an_empty_entry_in_the_middle_is_not_ours_to_mend(tmp_path: Path, kind: Kind) -> None:
    table, change = second(kind)
    log_of(table)[1].write_text("")

    assert kind.format.mend(table, [change], tmp_path / "aside") == []
    assert kind.format.damaged_commits(table) == [
        f"log entry {log_of(table)[1].name} is empty: readers take it for a commit that changed nothing"
    ]


def test_a_commit_of_the_run_that_lists_other_files_is_not_taken_for_it(tmp_path: Path, kind: Kind) -> None:
    table, change = second(kind)
    other = Replacement(run_id="r2", attempt=1, adds=change.adds[:1], removes=())

    with pytest.raises(PublishUnverified, match="does not list exactly the 1 files"):
        kind.format.publish([(table, other)])


def test_a_torn_first_entry_is_moved_and_the_table_made_again(tmp_path: Path, kind: Kind) -> None:
    table = kind.created()
    log_of(table)[0].write_text("")

    assert len(kind.format.mend(table, [], tmp_path / "aside")) == 1
    assert kind.format.version(table) is None
    assert kind.format.create(table) == 0


def test_a_torn_commit_says_what_to_do_until_it_is_mended(tmp_path: Path, kind: Kind) -> None:
    table, _ = second(kind)
    entry = log_of(table)[-1]
    entry.write_text(halved(entry.read_text()))

    with pytest.raises(LogDamaged, match=r"gold\.t: the log of the table cannot be read") as found:
        kind.format.live_files(table)
    assert "remint repair gold.t" in (found.value.hint or "")


def test_a_torn_checkpoint_loses_nothing(tmp_path: Path, kind: Kind) -> None:
    table, _ = second(kind)
    DeltaTable(table.location).create_checkpoint()
    checkpoint = next(Path(log_folder(table)).glob("*.checkpoint.parquet"))
    whole = kind.rows(table)
    for content in (b"", checkpoint.read_bytes()[:100]):
        kept = tmp_path / f"kept-{len(content)}"
        shutil.copytree(table.location, kept)
        checkpoint.write_bytes(content)

        assert len(kind.format.mend(table, [], tmp_path / f"aside-{len(content)}")) == 1
        assert kind.rows(table) == whole
        shutil.rmtree(table.location)
        shutil.copytree(kept, table.location)


def test_no_commit_of_remint_lets_the_library_delete_log_entries(tmp_path: Path, kind: Kind) -> None:
    table = kind.created()
    opened = DeltaTable(table.location)
    opened.alter.set_table_properties(
        {"delta.logRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "2"}
    )
    before = len(log_of(table))  # the library may have deleted the first one when it set them
    for number in range(6):
        kind.publish(table, f"r{number}", kind.staged(table, [(number, f"v{number}")], f"r{number}-0"))

    assert list(Path(log_folder(table)).glob("*.checkpoint.parquet"))
    assert len(log_of(table)) == before + 6
