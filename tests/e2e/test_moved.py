"""Corrections that move an event to another day: no day keeps a version that a newer one has taken elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from remint.errors import ArrivalsRedeclared, ChecksFailed, SourceRejected
from tests.e2e.projects import FILES, MADE, Project, contract, day_at, history, keyed_project, version, write_project


def arrive(project: Project, *files: Iterable[Mapping[str, Any]]) -> None:
    """Land and ingest each file, then run what is stale."""
    for events in files:
        project.land(f"f-{project.ticks:05}", events)
        project.ingest()
    project.run()


def days_of(project: Project, name: str) -> list[str]:
    return [row[5] for row in project.rows("silver.events") if row[0] == name]


def test_a_correction_that_moves_an_event_leaves_no_copy_behind(tmp_path: Path) -> None:
    project = keyed_project(tmp_path)
    arrive(project, history(6), [version("m", 1, 1)])

    arrive(project, [version("m", 4, 2)])

    assert days_of(project, "m") == [day_at(4)]
    assert project.tables() == project.expected()
    assert not project.stale()
    assert {v.proof.value for v in project.open().verify((), size=50)} == {"proven"}


def test_a_day_that_loses_its_only_event_is_published_empty(tmp_path: Path) -> None:
    project = keyed_project(tmp_path)
    arrive(project, [version("m", 1, 1), version("x", 3, 1)])

    arrive(project, [version("m", 3, 2)])

    assert project.digests()["silver.events"][day_at(1)].split(":")[1] == "0"
    assert project.rows("gold.daily") == [(day_at(3), "t1", 2, 20)]
    assert project.tables() == project.expected()
    assert not project.stale()


def test_a_row_older_than_what_is_stored_changes_nothing_downstream(tmp_path: Path) -> None:
    """On its own day and on another: the units are recomputed, come out the same, and nothing reads on."""
    project = keyed_project(tmp_path)
    arrive(project, history(6), [version("m", 4, 7)])
    before = project.versions()

    project.land("old", [version("m", 4, 3, 99), version("m", 1, 2, 99)])
    project.ingest()
    run = project.run()

    assert {t: v for t, v in project.versions().items() if t in MADE} == {t: before[t] for t in MADE if t in before}
    assert project.records_of(run) == {"silver.events": 2, "silver.events_quarantine": 2}
    assert days_of(project, "m") == [day_at(4)]
    assert project.tables() == project.expected()
    assert not project.stale()


def test_an_older_version_that_arrives_later_on_another_day_is_not_published_there(tmp_path: Path) -> None:
    project = keyed_project(tmp_path)
    arrive(project, [version("m", 4, 2)])

    arrive(project, [version("m", 1, 1)])

    assert days_of(project, "m") == [day_at(4)]
    assert project.digests()["silver.events"][day_at(1)].split(":")[1] == "0"
    assert project.tables() == project.expected()


def test_an_event_may_move_away_and_back_and_across_months(tmp_path: Path) -> None:
    project = keyed_project(tmp_path)
    arrive(project, history(14))
    for number, day in enumerate([2, 11, 2, 12, 12, 2], start=1):
        arrive(project, [version("m", day, number, number)])

        assert days_of(project, "m") == [day_at(day)]
        assert project.tables() == project.expected()
        assert not project.stale()

    assert {r[0] for r in project.rows("gold.monthly")} == {"2026-09-01", "2026-10-01"}
    assert {v.proof.value for v in project.open().verify((), size=50)} == {"proven"}


def test_an_event_whose_newest_version_is_rejected_stays_where_it_was_last_valid(tmp_path: Path) -> None:
    """And the rejected row of another day is in quarantine once, on its own."""
    project = keyed_project(tmp_path)
    arrive(project, history(6), [version("m", 1, 1)])

    arrive(project, [version("m", 4, 2, "many")])

    assert days_of(project, "m") == [day_at(1)]
    assert project.rows("silver.events_quarantine") == [("m", version("m", 4, 2)["updated_at"])]
    assert project.tables() == project.expected()


VERSIONS = (version("m", 1, 1, 1), version("m", 3, 2, 2), version("m", 5, 3, 3))


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = keyed_project(tmp_path_factory.mktemp("once"))
    arrive(project, [*VERSIONS, *history(7, each=1)])
    return project


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("when", ["after each", "at the end"])
def test_three_versions_on_three_days_give_the_same_tables_in_any_order(
    tmp_path: Path, at_once: Project, order: tuple[int, ...], when: str
) -> None:
    project = keyed_project(tmp_path)
    arrive(project, history(7, each=1))
    files = [[VERSIONS[i]] for i in order]
    for group in [[f] for f in files] if when == "after each" else [files]:
        arrive(project, *group)

    assert project.tables() == project.expected() == at_once.tables()
    assert project.digests()["gold.trend"] == at_once.digests()["gold.trend"]
    assert not project.stale()


def test_a_unit_alone_is_what_it_is_in_a_batch(tmp_path: Path) -> None:
    whole = keyed_project(tmp_path / "whole")
    for events in history(6, each=1), *([version(f"m{i}", i * n % 6, n) for i in range(5)] for n in (1, 2, 3)):
        whole.land(f"f-{whole.ticks}", events)
        whole.ingest()
    alone = whole.clone(tmp_path / "alone")
    alone.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 1")

    plans = whole.plan(), alone.plan()
    whole.apply(plans[0])
    alone.apply(plans[1])

    assert [len(p.batches) for p in plans] == [1, 6]
    assert alone.tables() == whole.tables() == whole.expected()
    assert alone.digests() == whole.digests()
    assert {v.proof.value for v in whole.open().verify((), size=50)} == {"proven"}


POSTS = """\
from remint import arrivals, bronze, by_arrival, day, files, silver

bronze("posts", partition=day("ingestion_date"), arrivals=arrivals("created_at", key=("post_id",)),
       source=files("landing/*.jsonl", format="jsonl", ingested_at="ingested_at"))

silver("posts", partition=day("day"), inputs={"raw": by_arrival("bronze.posts")}, sql="sql/posts.sql")
"""
POSTS_SQL = """\
SELECT post_id AS id, updated_at, likes, CAST(created_at AS DATE) AS day
FROM raw
QUALIFY row_number() OVER (PARTITION BY post_id ORDER BY updated_at DESC) = 1
"""


def post(name: str, day: int, number: int) -> str:
    entry = version(name, day, number)
    return (
        f'{{"post_id": "{name}", "created_at": "{entry["event_time"]}", "updated_at": "{entry["updated_at"]}", '
        f'"likes": {number}}}'
    )


@pytest.fixture
def posts(tmp_path: Path) -> Project:
    """A project whose Silver chooses the latest version in SQL and gives the key another name."""
    changes = dict.fromkeys(FILES) | {
        "remint.toml": FILES["remint.toml"],
        "datasets.py": POSTS,
        "sql/posts.sql": POSTS_SQL,
        "contracts/bronze.posts.yaml": contract(
            "post_id VARCHAR *\nupdated_at TIMESTAMPTZ *\ncreated_at TIMESTAMPTZ\nlikes BIGINT\n"
            "ingested_at TIMESTAMPTZ\ningestion_date DATE"
        ),
        "contracts/silver.posts.yaml": contract("id VARCHAR *\nupdated_at TIMESTAMPTZ\nlikes BIGINT\nday DATE"),
    }
    return write_project(tmp_path, changes)


def published(project: Project) -> list[tuple[str, str, int]]:
    found = project.delta("silver.posts").to_pyarrow_table().to_pylist()
    return sorted((row["id"], row["day"].isoformat(), row["likes"]) for row in found)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_sql_that_chooses_the_latest_version_itself_comes_out_right(posts: Project, order: tuple[int, ...]) -> None:
    versions = [post("m", 1, 1), post("m", 3, 2), post("m", 5, 3)]
    for index in order:
        posts.land(f"p-{index}", [versions[index], post(f"other-{index}", index, 1)])
        posts.ingest()
        posts.run()

    others = [(f"other-{i}", day_at(i), 1) for i in range(3)]
    assert published(posts) == [("m", day_at(5), 3), *others]
    assert not posts.stale()
    assert {v.proof.value for v in posts.open().verify((), size=50)} == {"proven"}


def test_rows_that_stray_to_a_day_that_no_version_names_are_still_refused(posts: Project) -> None:
    posts.edit("sql/posts.sql", "CAST(created_at AS DATE)", "CAST(created_at AS DATE) + 10")
    posts.land("a", [post("m", 1, 1), post("m", 3, 2)])
    posts.ingest()

    with pytest.raises(ChecksFailed, match="rows stay in their partition"):
        posts.run("silver.posts", span=day_at(1))


def test_arrivals_that_are_declared_anew_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    """Rows that came before were counted without a key, so versions among them would not be found."""
    project = write_project(tmp_path)
    arrive(project, [version("m", 1, 1)])
    project.land("b", [version("m", 4, 2)])
    before = project.fingerprint()
    project.edit("datasets.py", 'arrivals("event_time")', 'arrivals("event_time", key=("event_id",))')

    words = "counted by day of event_time, and its arrivals are declared by day of event_time with every version of"
    for act in (project.ingest, project.plan, lambda: project.open().verify((), size=1)):
        with pytest.raises(ArrivalsRedeclared, match=words):
            act()

    assert project.fingerprint() == before
    assert not project.outstanding()


def test_an_ingest_is_not_resumed_under_arrivals_that_are_declared_anew(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", [version("m", 1, 1)])
    path = project.land("b", ["no rows"])
    path.write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(SourceRejected):
        project.ingest()
    path.unlink()
    project.edit("datasets.py", 'arrivals("event_time")', 'arrivals("event_time", key=("event_id",))')

    with pytest.raises(ArrivalsRedeclared, match="the run counted rows by day of event_time, and"):
        project.open().resume(project.outstanding()[0].run_id)

    project.edit("datasets.py", ', key=("event_id",)', "")
    assert project.open().resume(project.outstanding()[0].run_id).state == "succeeded"
