"""One project on two engines: the same rows and digests, one release; and from one engine to the other and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.engines.portable_digest import PORTABLE_SCHEME
from tests.e2e.projects import Project, built, event, history, write_project
from tests.engines.both import spark_session


@pytest.fixture(scope="module", autouse=True)
def spark() -> None:
    spark_session()


def set_engine(project: Project, text: str) -> None:
    path = project.root / "remint.toml"
    path.write_text(path.read_text().partition("\n[engine]")[0] + f"\n[engine]\n{text}\n")


def schemes(project: Project) -> set[str]:
    return {text.rsplit(":", 2)[0] for by_key in project.digests().values() for text in by_key.values()}


def test_both_engines_publish_the_same_rows_under_the_same_digests(tmp_path: Path) -> None:
    projects = []
    for text in ('digests = "portable"', 'name = "spark"'):
        project = write_project(tmp_path / str(len(projects)))
        set_engine(project, text)
        project.land("a", [*history(2), event(50, 1, "no number")])
        project.ingest()
        project.run()
        projects.append(project)
    duckdb, spark = projects

    assert spark.tables() == spark.expected()
    assert spark.digests() == duckdb.digests()
    assert schemes(spark) == {PORTABLE_SCHEME}
    made_by = {t.engine for ts in spark.open().store.timings(["gold.trend"], 9).values() for t in ts}
    assert made_by == {"spark"}


def test_a_change_of_engine_makes_nothing_stale_and_proves_what_the_other_made(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    assert schemes(project) == {"duckdb-hash-1"}

    set_engine(project, 'name = "spark"')
    assert project.stale() == {}
    assert project.plan().is_empty
    before = project.digests()
    rebuilt = project.run("gold.daily", rebuild=True)  # the same content, known under the other scheme
    assert project.digests() == before
    assert project.stale() == {}
    assert {u.proof for u in project.open().verify((), size=1, ways=("batch",))} == {"proven"}
    assert project.records_of(rebuilt) == {"gold.daily": 2}

    project.land("b", [event(70, 1)])
    project.ingest()
    assert {"silver.events", "gold.daily"} <= set(project.stale())
    project.run()
    assert project.tables() == project.expected()
    assert schemes(project) == {"duckdb-hash-1", PORTABLE_SCHEME}

    set_engine(project, "")
    assert project.stale() == {}
    assert {u.proof for u in project.open().verify((), size=9)} == {"proven"}
    project.land("c", [event(71, 0)])
    project.ingest()
    project.run()
    assert project.tables() == project.expected()
    assert project.stale() == {}


def test_a_project_whose_datasets_are_made_by_two_engines_publishes_one_release(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.edit("datasets.py", '@gold("trend", ', '@gold("trend", engine="spark", ')
    project.land("a", history(2))
    project.ingest()

    run = project.run()

    assert project.tables() == project.expected()
    assert schemes(project) == {PORTABLE_SCHEME}
    timings = project.open().store.timings(["gold.daily", "gold.trend"], 9)
    assert {n: {t.engine for t in ts} for n, ts in timings.items()} == {
        "gold.daily": {"duckdb"},
        "gold.trend": {"spark"},
    }
    assert set(project.records_of(run)) >= {"gold.daily", "gold.trend", "gold.monthly"}
