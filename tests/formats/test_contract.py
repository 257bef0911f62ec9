"""What every table format does: what is published is what is read, by us and by others; nothing else is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pytest

from remint.engines.duckdb_rows import UnusablePartition
from remint.errors import PublishConflict, TableBusy
from remint.formats.base import Replacement, Table
from remint.model.dataset import Column
from remint.model.partition import NULL_PARTITION, Grain, PartitionSpec
from remint.storage.base import below
from tests.formats.kinds import Kind

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


def test_any_partition_value_comes_back_exactly_and_stays_below_the_table(kind: Kind) -> None:
    """Items 41, 43 and 45 to 47 of the catalogue of bad input."""
    table = kind.created()
    rows = [(n, value) for n, value in enumerate(HOSTILE)]

    kind.publish(table, "r1", kind.staged(table, rows))

    assert kind.rows(table) == sorted(rows, key=str)
    assert set(kind.format.live_files(table)) == set(HOSTILE)
    live = {path for paths in kind.format.live_files(table).values() for path in paths}
    assert live == {f.path for f in kind.storage.files(table.location) if f.path.endswith(".parquet")}
    assert all(p.resolve().is_relative_to(table.location) for p in kind.root.rglob("*.parquet"))


@pytest.mark.parametrize("value", HOSTILE[::3])
def test_a_hostile_partition_is_replaced_alone(kind: Kind, value: str) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, value), (2, "plain")])
    kind.publish(table, "r1", first)
    second = kind.staged(table, [(3, value)], "r2-0")

    kind.publish(table, "r2", second, [f for f in first if f.key == value])

    assert kind.rows(table) == [(2, "plain"), (3, value)]


@pytest.mark.parametrize("value", ["", None, NULL_PARTITION])
def test_a_value_that_reads_back_as_null_is_refused_before_any_commit(kind: Kind, value: str | None) -> None:
    """Items 42 and 43."""
    table = kind.created()

    # SeaweedFS lets nobody write below a folder ``region=`` in a bucket of tables: refused as well, by the server.
    refused = UnusablePartition if value != "" or kind.has_empty_folders else duckdb.Error
    with pytest.raises(refused, match=r"region|Access Denied"):
        kind.staged(table, [(1, value), (2, "plain")])

    assert kind.format.version(table) == 0
    assert kind.rows(table) == []


HOURS = ("2026-10-25 00:00:00+00", "2026-10-25 23:00:00+00", "1969-12-31 22:00:00+00")
CUTS = [
    (Grain.HOUR, None, [(h,) for h in HOURS], ["1969-12-31T22", "2026-10-25T00", "2026-10-25T23"]),
    (Grain.DAY, None, [("1969-12-31",), ("2026-10-14",)], ["1969-12-31", "2026-10-14"]),
    (Grain.WEEK, None, [("2026-10-26",), ("2024-12-30",)], ["2025-W01", "2026-W44"]),
    (Grain.MONTH, None, [("2026-10-01",), ("1969-11-01",)], ["1969-11", "2026-10"]),
    (Grain.DAY, "tenant", [("2026-10-14", v) for v in ("acme", "bolt/2", "..")], None),
    (Grain.HOUR, "v", [("2026-10-14 05:00:00+00", "v2")], ["2026-10-14T05/v2"]),
]


@pytest.mark.parametrize(("grain", "label", "rows", "keys"), CUTS)
def test_every_cut_is_found_again_under_its_key(
    kind: Kind, grain: Grain, label: str | None, rows: list[tuple[str, ...]], keys: list[str] | None
) -> None:
    cut = PartitionSpec(column="p", grain=grain, label=label)
    table = kind.created(columns=f"n BIGINT, p {cut.type}" + (f", {label} VARCHAR" if label else ""), cut=cut)
    files = kind.staged(table, [(n, *row) for n, row in enumerate(rows)])

    kind.publish(table, "r1", files)

    assert sorted(kind.format.live_files(table)) == (keys or sorted(f"{row[0]}/{row[1]}" for row in rows))
    read = [(n, p.astimezone(UTC) if isinstance(p, datetime) else p, *more) for n, p, *more in kind.rows(table)]
    written = [
        (n, datetime.fromisoformat(r[0]) if grain is Grain.HOUR else date.fromisoformat(r[0]), *r[1:])
        for n, r in enumerate(rows)
    ]
    assert read == sorted(written, key=str)
    held = {f.key: pa.table(kind.format.rows(table, f.key))["n"].to_pylist() for f in files}
    assert held == {f.key: [n] for n, row in enumerate(rows) for f in files if f.key == cut.key_of(row)}
    assert kind.format.not_plain(table, held) == {}


@pytest.mark.parametrize(
    ("grain", "value"),
    [(Grain.HOUR, "2026-10-14 05:30:00+00"), (Grain.WEEK, "2026-10-14"), (Grain.MONTH, "2026-10-02")],
)
def test_rows_that_begin_no_partition_of_the_grain_are_refused(kind: Kind, grain: Grain, value: str) -> None:
    cut = PartitionSpec(column="p", grain=grain)
    table = kind.created(columns=f"n BIGINT, p {cut.type}", cut=cut)

    with pytest.raises(UnusablePartition):
        kind.staged(table, [(1, value)])


def test_an_hour_that_somebody_else_wrote_is_found_under_its_key(kind: Kind) -> None:
    cut = PartitionSpec(column="p", grain=Grain.HOUR)
    table = kind.created(columns="n BIGINT, p TIMESTAMPTZ", cut=cut)
    kind.publish(table, "r1", kind.staged(table, [(1, "2026-10-14 05:00:00+00")]))

    kind.stranger.append(table, [{"n": 2, "p": datetime(2026, 10, 14, 5, tzinfo=UTC)}])

    assert {key: len(paths) for key, paths in kind.format.live_files(table).items()} == {"2026-10-14T05": 2}


def test_a_table_that_is_not_there_has_nothing(kind: Kind) -> None:
    table = kind.table()
    kind.staged(table, [(1, "v")])

    assert kind.format.version(table) is None
    assert kind.format.live_files(table) == {}
    assert kind.format.published_version(table, "r1", 1) is None
    assert kind.format.foreign_writer(table) == "somebody who removed the table"
    assert kind.format.read_log(table).newest == -1


def test_creating_a_table_again_leaves_it_as_it_is(kind: Kind) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.format.create(table) == 1
    assert kind.rows(table) == [(1, "a")]


def test_a_table_that_several_create_at_once_is_created_once(kind: Kind) -> None:
    table = kind.table()
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: kind.format.create(table), range(4)))

    assert versions == [0] * 4
    assert kind.rows(table) == []


def test_a_column_that_the_contract_adds_is_added_to_the_table(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a"), (2, "b")])
    kind.publish(table, "r1", first)
    wider = Table(
        name=table.name,
        location=table.location,
        columns=(*table.columns, Column(name="more", type="VARCHAR")),
        partition=table.partition,
        append_only=False,
    )
    files = kind.staged(wider, [(3, "a", "x")], "r2-0")
    kind.format.create(wider)

    kind.publish(wider, "r2", files, [f for f in first if f.key == "a"])

    assert kind.rows(wider) == [(2, "b", None), (3, "a", "x")]
    assert kind.format.differences(wider) == []


def test_what_is_not_as_declared_is_named(kind: Kind) -> None:
    table = kind.created()
    other = Table(
        name=table.name,
        location=table.location,
        columns=(Column(name="n", type="VARCHAR"), Column(name="region", type="VARCHAR")),
        partition=PartitionSpec(column="n", grain=Grain.IDENTITY),
        append_only=False,
    )

    assert kind.format.differences(table) == []
    found = kind.format.differences(other)
    assert found[0] == "it is partitioned by region, declared is n"
    assert found[1].startswith("column n: expected string, found long")


def test_an_append_to_a_live_partition_of_bronze_is_no_conflict(kind: Kind) -> None:
    table = kind.created(append_only=True)
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    kind.publish(table, "r2", kind.staged(table, [(2, "a")], "r2-0"))

    assert kind.rows(table) == [(1, "a"), (2, "a")]


def test_a_replacement_of_files_that_are_not_live_is_a_conflict_and_commits_nothing(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a")])
    kind.publish(table, "r1", first)
    kind.publish(table, "r2", kind.staged(table, [(2, "a")], "r2-0"), first)

    with pytest.raises(PublishConflict, match=r"gold\.t a"):
        kind.publish(table, "r3", kind.staged(table, [(3, "a")], "r3-0"), first)
    with pytest.raises(PublishConflict, match=r"gold\.t a"):
        kind.format.check(table, Replacement(run_id="r4", attempt=1, adds=(), removes=tuple(first)))

    assert (kind.format.version(table), kind.rows(table)) == (2, [(2, "a")])


def test_a_build_over_a_partition_that_somebody_made_meanwhile_is_a_conflict(kind: Kind) -> None:
    table = kind.created()
    kind.stranger.append(table, [{"n": 9, "region": "a"}])

    with pytest.raises(PublishConflict):
        kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.rows(table) == [(9, "a")]


def test_a_write_to_another_partition_since_the_plan_is_kept(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a")])
    kind.publish(table, "r1", first)
    kind.stranger.append(table, [{"n": 9, "region": "b"}])

    kind.publish(table, "r2", kind.staged(table, [(2, "a")], "r2-0"), first)

    assert kind.rows(table) == [(2, "a"), (9, "b")]


def test_a_commit_that_lost_a_race_looks_at_the_base_again(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a")])
    kind.publish(table, "r1", first)
    kind.before_commit(monkeypatch, lambda: kind.stranger.delete(table, "a"))

    with pytest.raises(PublishConflict, match=r"gold\.t a"):
        kind.publish(table, "r2", kind.staged(table, [(2, "a")], "r2-0"), first)

    assert kind.rows(table) == []


def test_a_commit_that_lost_a_race_to_another_partition_is_made_again(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = kind.created()
    kind.before_commit(monkeypatch, lambda: kind.stranger.append(table, [{"n": 9, "region": "b"}]))

    assert kind.publish(table, "r1", kind.staged(table, [(1, "a")])) == 2

    assert kind.rows(table) == [(1, "a"), (9, "b")]


def test_a_commit_says_what_it_was_made_on(kind: Kind) -> None:
    table = kind.created()
    files = kind.staged(table, [(1, "a")])
    change = Replacement(run_id="r1", attempt=1, adds=tuple(files), removes=())

    made, again = kind.format.publish([(table, change)])[0], kind.format.publish([(table, change)])[0]

    assert (made.version, made.after) == (1, 0)
    assert (again.version, again.after) == (1, None)


def test_removing_without_adding_leaves_an_empty_partition(kind: Kind) -> None:
    table = kind.created()
    files = kind.staged(table, [(1, "a"), (2, "b")])
    kind.publish(table, "r1", files)

    kind.publish(table, "r2", [], [f for f in files if f.key == "a"])

    assert kind.rows(table) == [(2, "b")]


def test_what_was_replaced_is_put_back_exactly(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a"), (2, "b")])
    kind.publish(table, "r1", first)
    old = [f for f in first if f.key == "a"]
    second = kind.staged(table, [(3, "a")], "r2-0")
    kind.publish(table, "r2", second, old)
    kind.stranger.append(table, [{"n": 9, "region": "c"}])

    kind.publish(table, "r2", old, second, attempt=2)

    assert kind.rows(table) == [(1, "a"), (2, "b"), (9, "c")]
    assert kind.format.live_files(table)["a"] == {f.path for f in old}


def test_a_commit_is_found_again_by_its_run_and_attempt(kind: Kind) -> None:
    table = kind.created()
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    kind.publish(table, "r2", kind.staged(table, [(2, "b")], "r2-0"))

    assert [kind.format.published_version(table, r, 1) for r in ("r1", "r2", "r3")] == [1, 2, None]
    assert kind.format.published_version(table, "r1", 2) is None
    assert kind.format.runs_after(table, None) == ["r1", "r2"]
    assert kind.format.runs_after(table, 1) == ["r2"]
    assert kind.format.runs_after(table, 2) == []


def test_a_version_is_told_from_the_same_one_of_a_table_that_was_made_anew(kind: Kind) -> None:
    table = kind.created()
    empty = kind.format.state(table)
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))
    first = kind.format.state(table)
    kind.stranger.append(table, [{"n": 9, "region": "b"}])

    assert (kind.format.state(table, 0), kind.format.state(table, 1)) == (empty, first)
    assert [s.version for s in (empty, first, kind.format.state(table)) if s] == [0, 1, 2]
    assert kind.format.state(table, 3) is None
    kind.drop(table)
    assert (kind.format.state(table), kind.format.state(table, 1)) == (None, None)
    kind.created()
    kind.stranger.append(table, [{"n": 1, "region": "a"}])
    again = kind.format.state(table, 0), kind.format.state(table)
    assert [s.version for s in again if s] == [0, 1]
    assert again[0] != empty
    assert again[1] != first


def test_a_commit_that_is_there_is_not_repeated_and_one_that_is_barred_never_comes(kind: Kind) -> None:
    table = kind.created()
    files = kind.staged(table, [(1, "a")])

    assert kind.publish(table, "r1", files) == kind.publish(table, "r1", files) == 1
    assert kind.format.bar(table, "r1", 1)
    assert not kind.format.bar(table, "r2", 1)
    assert not kind.format.bar(table, "r2", 1)
    kind.publish(table, "r2", kind.staged(table, [(2, "b")], "r2-0"))

    assert kind.rows(table) == [(1, "a")]
    assert kind.format.version(table) == 2


def test_the_newest_commit_of_somebody_else_says_who_wrote_it(kind: Kind) -> None:
    table = kind.created()
    kind.stranger.append(table, [{"n": 9, "region": "b"}])
    kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.format.foreign_writer(table).startswith("version 1, ")


def test_the_log_says_who_put_in_and_took_out_what(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a")])
    kind.publish(table, "r1", first)
    second = kind.staged(table, [(2, "a")], "r2-0")
    kind.publish(table, "r2", second, first)
    kind.stranger.append(table, [{"n": 9, "region": "b"}])

    log = kind.format.read_log(table)

    made = [(c.run_id, c.attempt, [(f.path, f.key) for f in c.adds], list(c.removes)) for c in log.commits if c.run_id]
    assert made[0] == ("r1", 1, [(first[0].path, "a")], [])
    assert made[1] == ("r2", 1, [(second[0].path, "a")], [first[0].path])
    assert (log.faults, log.newest) == ((), 3)
    assert log.live is not None
    assert {f.path for f in second} <= set(log.live)
    assert {f.path for f in [*first, *second]} <= log.named
    assert [c.run_id for c in log.commits if c.version == 3] == [""]


def test_only_files_that_the_newest_version_does_not_name_are_removed(kind: Kind) -> None:
    table = kind.created()
    first = kind.staged(table, [(1, "a")])
    kind.publish(table, "r1", first)
    second = kind.staged(table, [(2, "a")], "r2-0")
    kind.publish(table, "r2", second, first)

    stayed = kind.format.remove(table, [first[0].path, second[0].path])

    assert stayed == [second[0].path]
    assert kind.rows(table) == [(2, "a")]
    assert kind.storage.stat(below(table.location, first[0].path)) is None


def test_whoever_loses_every_race_is_told_so(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remint.formats.guard._TRIES", 1)
    table = kind.created()
    kind.before_commit(monkeypatch, lambda: kind.stranger.append(table, [{"n": 9, "region": "b"}]))

    with pytest.raises(TableBusy, match="1 commits in a row"):
        kind.publish(table, "r1", kind.staged(table, [(1, "a")]))

    assert kind.rows(table) == [(9, "b")]
