"""What holds of Delta tables on a disk holds of them in a bucket: the same tests, with the tables there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from remint.engines.duckdb_rows import copy_partitioned, open_connection
from remint.errors import StorageRefused
from remint.formats.base import Replacement, Table
from remint.formats.delta import DeltaFormat
from remint.storage.base import Storage, below
from remint.storage.places import storage_of
from tests.buckets import Bucket
from tests.formats import test_delta as suite

pytestmark = pytest.mark.slow

OTHERWISE = {
    "test_any_partition_value_comes_back_exactly_and_stays_below_the_table": "one test of all values at once is enough",
    "test_a_hostile_partition_is_replaced_alone": "the same",
    "test_a_month_partition_is_kept_under_its_first_day_and_read_as_its_month": "names its folder itself",
}
"""Tests that are not run again here, and why."""
ARGUMENTS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "test_a_value_that_reads_back_as_null_is_refused_before_any_commit": (("",), (None,)),
    "test_a_damaged_commit_is_named": (("", "empty"), ("{}\n", "cut off")),
}
CASES = [
    pytest.param(name, more, id=f"{name}{number or ''}")
    for name in vars(suite)
    if name.startswith("test_") and name not in OTHERWISE
    for number, more in enumerate(ARGUMENTS.get(name, ((),)))
]


@dataclass(frozen=True)
class Entry:
    """An entry of a log, as the tests of files treat it."""

    storage: Storage
    place: str

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]

    def read_text(self) -> str:
        return self.storage.read(self.place).decode()

    def write_text(self, text: str) -> None:
        self.storage.write(self.place, text.encode())

    def unlink(self) -> None:
        self.storage.delete([self.place])


@pytest.fixture
def storage(at_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Storage:
    """The bucket, to which the suite is moved."""
    found = storage_of("s3://", lambda _: None)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # the tests look at tables with delta-rs alone
    monkeypatch.chdir(tmp_path)
    table_in, lake = suite.table_in, at_bucket.new_lake()

    def moved(root: Path, *, append_only: bool = False) -> Table:
        table = table_in(root, append_only=append_only)
        return replace(table, location=f"{lake}/{root.name}/t")

    def log_of(table: Table) -> list[Entry]:
        folder = below(table.location, "_delta_log")
        return [Entry(found, below(folder, name)) for name in found.names(folder) if name.endswith(".json")]

    monkeypatch.setattr(suite, "FORMAT", DeltaFormat(found))
    monkeypatch.setattr(suite, "table_in", moved)
    monkeypatch.setattr(suite, "log_of", log_of)
    monkeypatch.setattr(suite, "open_connection", partial(open_connection, storage=found))
    monkeypatch.setattr(suite, "copy_partitioned", partial(copy_partitioned, storage=found))
    return found


@pytest.mark.parametrize(("name", "more"), CASES)
def test_what_holds_on_a_disk_holds_in_a_bucket(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: tuple[Any, ...]
) -> None:
    test: Callable[..., None] = getattr(suite, name)
    if name == "test_a_log_of_which_only_a_checkpoint_is_left_is_still_a_table":
        monkeypatch.setattr(suite, "Path", lambda place: Pointer(storage, place))
    if "monkeypatch" in test.__code__.co_varnames[: test.__code__.co_argcount]:
        more = (monkeypatch, *more)

    test(tmp_path, *more)


@dataclass(frozen=True)
class Pointer:
    """A place that is put together as a path is."""

    storage: Storage
    place: str

    def __truediv__(self, name: str) -> Pointer:
        return Pointer(self.storage, below(self.place, name))

    def unlink(self) -> None:
        self.storage.delete([self.place])

    def mkdir(self, **_: bool) -> None:
        pass


def test_of_many_writers_each_lands_once(storage: Storage, tmp_path: Path) -> None:
    table = suite.created(tmp_path)
    files = [suite.staged(tmp_path, table, [(n, f"v{n}")], f"r{n}-0") for n in range(8)]

    def write(n: int) -> int:
        change = Replacement(run_id=f"r{n}", attempt=1, adds=tuple(files[n]), removes=())
        return DeltaFormat(storage).publish(table, change)

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(write, range(8)))

    assert sorted(versions) == list(range(1, 9))
    assert suite.rows_of(table) == [(n, f"v{n}") for n in range(8)]


def test_credentials_that_may_not_are_refused_in_words_without_them(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_bucket: Bucket
) -> None:
    table = suite.created(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")

    for look in (lambda s: DeltaFormat(s).live_files(table), lambda s: s.names(table.location)):
        with pytest.raises(StorageRefused) as caught:
            look(storage_of("s3://", lambda _: None))
        assert "403" in caught.value.message
        assert at_bucket.key not in f"{caught.value.message} {caught.value.hint}"
    assert DeltaTable(table.location, storage_options={"AWS_SECRET_ACCESS_KEY": at_bucket.secret}).version() == 0
