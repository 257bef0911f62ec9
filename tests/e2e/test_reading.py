"""``remint.open``: cuts that stay what they are, whole or not at all, for who may not even write."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import remint
from remint.errors import (
    NothingPublished,
    ProjectError,
    RefusedQuery,
    ReleaseIncomplete,
    UnknownDataset,
    UnknownRelease,
    UnknownRun,
)
from remint.execution.cut import Cut
from remint.model.provenance import Release
from tests.e2e.projects import COLUMNS, TABLES, Project, built, day_at, event, write_project

SUMS = "SELECT (SELECT sum(amount) FROM gold.daily), (SELECT sum(amount) FROM gold.monthly)"


def sums(cut: Cut) -> tuple[Any, ...]:
    (row,) = cut.sql(SUMS).to_pylist()
    return tuple(row.values())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return built(tmp_path / "p", days=4)


def test_a_cut_reads_every_table_as_delta_readers_see_it_when_no_run_is_at_work(project: Project) -> None:
    cut = remint.open(project.root).at()

    for table in COLUMNS:
        columns = COLUMNS[table]
        found = cut.sql(f"SELECT {', '.join(columns)} FROM {table}")
        delta = project.delta(table).to_pyarrow_table(columns=list(columns))
        order = [(name, "ascending") for name in columns]
        assert found.sort_by(order).to_pylist() == delta.sort_by(order).to_pylist(), table
    assert set(cut.tables) == set(TABLES)


def test_a_cut_stays_as_it_is_while_runs_come_and_go(project: Project) -> None:
    lake = remint.open(project.root)
    before = lake.at()
    first = sums(before)
    project.set_factor(2)
    run = project.run()

    assert sums(before) == first
    assert sums(lake.at()) == (first[0] * 2, first[1] * 2)
    project.rollback(run.run_id)
    assert sums(lake.at()) == first
    assert sums(lake.at(run.run_id)) == (first[0] * 2, first[1] * 2)


def test_a_cut_is_found_by_release_by_run_and_by_the_beginning_of_a_run(project: Project) -> None:
    lake = remint.open(project.root)
    ingest, build = lake.releases()

    assert lake.at().release == build
    assert lake.at(build.release_id).release == build
    assert lake.at(build).release == build
    assert lake.at(ingest.run_id).release == ingest
    assert lake.at(ingest.run_id[:-1]).release == ingest
    assert lake.at(ingest).arrow("gold.daily").num_rows == 0


@pytest.mark.parametrize(("name", "error"), [("release-99", UnknownRelease), ("r-19700101", UnknownRun)])
def test_a_cut_that_never_was_is_refused(project: Project, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        remint.open(project.root).at(name)


def test_a_run_that_did_not_end_well_left_no_cut(project: Project) -> None:
    project.edit("sql/events.sql", "FROM raw", "FROM raw WHERE amount > 12")
    with pytest.raises(Exception, match="accounted"):
        project.run()
    (failed,) = project.outstanding()

    with pytest.raises(UnknownRelease, match=failed.run_id):
        remint.open(project.root).at(failed.run_id)


def test_columns_and_partitions_are_chosen_before_anything_is_read(project: Project) -> None:
    cut = remint.open(project.root).at()
    for file in cut.files("gold.daily", partitions=day_at(3)):
        Path(file.path).unlink()

    found = cut.arrow("gold.daily", columns=["tenant", "event_date"], partitions=f"{day_at(0)}..{day_at(1)}")
    keys = cut.arrow("gold.daily", columns=["event_date"], partitions=[day_at(2)])

    assert found.column_names == ["tenant", "event_date"]
    assert {str(d) for d in found["event_date"].to_pylist()} == {day_at(0), day_at(1)}
    assert {str(d) for d in keys["event_date"].to_pylist()} == {day_at(2)}
    assert keys.schema.field("event_date").type == pa.date32()


def test_files_are_all_that_another_engine_needs(project: Project) -> None:
    cut = remint.open(project.root).at()

    files = cut.files("gold.daily")

    assert {f.path for f in files} == {os.path.realpath(f.path) for f in files}
    assert {f"/{Path(f.path).relative_to(project.root / 'lake')}" for f in files} == project.live()["gold.daily"]
    assert [f.partition for f in files] == [{"event_date": day_at(n)} for n in range(4)]
    assert sum(f.rows for f in files) == cut.arrow("gold.daily").num_rows


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda cut: cut.arrow("gold.weekly"), UnknownDataset),
        (lambda cut: cut.arrow("gold.daily", columns=["nix"]), RefusedQuery),
        (lambda cut: cut.sql("SELECT * FROM gold.weekly"), RefusedQuery),
        (lambda cut: cut.sql("DELETE FROM gold.daily"), RefusedQuery),
        (lambda cut: cut.sql("SELECT 1; SELECT 2"), RefusedQuery),
    ],
)
def test_what_cannot_be_read_is_said(project: Project, read: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(remint.open(project.root).at())


@pytest.mark.parametrize("harm", ["gone", "cut short"])
@pytest.mark.parametrize(
    "read",
    [
        lambda cut: cut.sql("SELECT count(*) FROM gold.daily"),
        lambda cut: cut.arrow("gold.daily"),
        lambda cut: cut.files("gold.daily"),
        lambda cut: cut.duckdb(),
    ],
    ids=["sql", "arrow", "files", "duckdb"],
)
def test_a_release_of_which_a_file_is_missing_gives_no_rows_of_a_part(project: Project, harm: str, read: Any) -> None:
    lake = remint.open(project.root)
    cut = lake.at()
    read(cut)
    path = Path(cut.files("gold.daily")[1].path)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ReleaseIncomplete) as raised:
        read(cut)

    assert str(path) in raised.value.message
    assert cut.release.run_id in raised.value.message
    assert cut.sql("SELECT count(*) AS n FROM gold.monthly").to_pylist() == [{"n": 3}]


def test_a_file_that_vanishes_under_a_read_is_named_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = remint.open(project.root).at()
    path = Path(cut.files("gold.daily")[1].path)
    whole = Cut._require
    asked = []

    def then_gone(self: Cut, *held: Any) -> None:
        whole(self, *held)
        asked.append(held)
        path.unlink(missing_ok=True)

    monkeypatch.setattr(Cut, "_require", then_gone)

    with pytest.raises(ReleaseIncomplete, match=path.name):
        cut.sql("SELECT count(*) FROM gold.daily")
    assert len(asked) == 1


def test_a_connection_of_ones_own_has_every_table_as_a_view(project: Project) -> None:
    cut = remint.open(project.root).at()

    con = cut.duckdb()

    assert con.sql("SELECT count(*) FROM gold.daily").fetchall() == [(12,)]
    con.execute("CREATE TABLE mine AS SELECT * FROM silver.events")
    listed = con.sql("SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for (name,) in listed} == set(cut.tables)


def test_a_query_after_another_cut_reads_nothing_of_that(project: Project) -> None:
    """Both cuts share an engine; a name that the second query hides would else find the view of the first."""
    lake = remint.open(project.root)
    lake.at().sql("SELECT * FROM gold.daily")

    with pytest.raises(RefusedQuery):
        lake.at().sql("SELECT * FROM query_table('gold.' || 'dai' || 'ly')")


def test_two_threads_that_open_a_project_each_read_their_cut(project: Project) -> None:
    found: list[tuple[Any, ...]] = []

    def read() -> None:
        lake = remint.open(project.root)
        found.extend(sums(lake.at()) for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 10
    assert len(set(found)) == 1


def test_reading_writes_nothing(project: Project) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.stat().st_size, p.stat().st_mtime_ns)
            for p in project.root.rglob("*")
            if not p.name.endswith(("-wal", "-shm")) and p.is_file()
        }

    project.edit("datasets.py", "FACTOR = 1", "FACTOR = 7")
    before = state()

    lake = remint.open(project.root)
    lake.at().sql("SELECT count(*) FROM gold.daily")
    lake.at().duckdb()
    lake.releases()

    assert state() == before


def test_without_a_project_or_a_release_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        remint.open(tmp_path)
    project = write_project(tmp_path)
    with pytest.raises(NothingPublished):
        remint.open(project.root).at()
    assert not (project.root / ".remint" / "state.db").exists()
    project.open().store.runs(1)
    with pytest.raises(NothingPublished):
        remint.open(project.root).at()


def test_a_store_that_is_open_for_reading_takes_no_change(project: Project) -> None:
    lake = remint.open(project.root)

    with pytest.raises(remint.errors.StoreError, match="for reading alone"):
        lake.tools.store.log(None)  # type: ignore[arg-type]
    assert lake.releases() == project.open().store.releases()
    assert isinstance(lake.releases()[0], Release)


def test_importing_remint_imports_nothing_that_reading_needs() -> None:
    code = "import sys, remint; print([m for m in ('duckdb', 'sqlalchemy', 'remint.workspace') if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_late_rows_and_an_empty_unit_are_read_as_they_are(project: Project) -> None:
    project.edit("datasets.py", "FROM events", f"FROM events WHERE event_date <> DATE '{day_at(2)}'")
    project.land("b", [event(77, 1)])
    project.ingest()
    project.run()
    cut = remint.open(project.root).at()

    assert cut.arrow("gold.daily", partitions=day_at(2)).num_rows == 0
    assert cut.files("gold.daily", partitions=day_at(2)) == ()
    assert cut.arrow("silver.events", partitions=day_at(1)).num_rows == 4
