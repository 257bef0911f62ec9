"""One project on two engines: the same rows and digests, one release; and from one engine to the other and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.errors import NotOnSpark
from tests.e2e import projects
from tests.e2e.projects import DATASETS, FILES, MADE, Project, built, event, history, write_project
from tests.engines.both import spark_session


@pytest.fixture(scope="module", autouse=True)
def spark() -> None:
    spark_session()


ON_SPARK = ("silver.events", "silver.events_quarantine", "gold.trend")


def set_engine(project: Project, text: str) -> None:
    """Give the settings of engines anew, and leave all others."""
    path = project.root / "remint.toml"
    others = re.sub(r"(?ms)^\[engine[.\]].*?(?=^\[|\Z)", "", path.read_text())
    path.write_text(f"{others}\n[engine]\n{text}\n")


def schemes(project: Project) -> set[str]:
    return {text.rsplit(":", 2)[0] for by_key in project.digests().values() for text in by_key.values()}


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
    assert {u.proof for u in project.open().verify(("gold.daily",), size=1, ways=("batch",))} == {"proven"}
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


def test_datasets_of_two_engines_are_one_release_and_what_one_engine_makes_of_them_all(tmp_path: Path) -> None:
    projects = []
    for folder, engine in (("duckdb", ""), ("both", 'engine="spark", ')):
        project = write_project(tmp_path / folder)
        for name in ('silver("events", ', '@gold("trend", '):
            project._replace("datasets.py", name, name + engine)
        set_engine(project, 'digests = "portable"')
        project.land("a", [*history(2), event(50, 1, "no number")])
        project.ingest()
        projects.append((project, project.run()))
    (duckdb, _), (both, run) = projects

    assert both.tables() == both.expected()
    assert both.digests() == duckdb.digests()
    assert schemes(both) == {PORTABLE_SCHEME}
    timings = both.open().store.timings(MADE, 9)
    made_by = {name: {t.engine for t in found} for name, found in timings.items() if found}
    assert made_by == {name: {"spark" if name in ON_SPARK else "duckdb"} for name in MADE}
    assert set(both.records_of(run)) == set(MADE)


def test_what_is_large_goes_to_spark_by_itself(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    for number, (above, maker) in enumerate((("1GB", "duckdb"), ("1KB", "spark"))):
        project.land(above, [event(70 + number, 1)])
        project.ingest()
        set_engine(project, f'digests = "portable"\n[engine.spark]\nabove = "{above}"')
        project.run()

        assert project.tables() == project.expected()
        timings = project.open().store.timings(("silver.events",), 1)
        assert [t.engine for t in timings["silver.events"]] == [maker]


def test_a_hidden_cut_with_buckets_is_the_same_on_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "tables_in", "iceberg")
    hidden = 'silver("events", partition=day("event_time", hidden=True), buckets=("event_id", 2)'
    datasets = DATASETS.replace('silver("events", partition=day("event_date")', hidden)
    digests = []
    for name in ("duckdb", "spark"):
        toml = FILES["remint.toml"].replace("[engine]\n", f'[engine]\nname = "{name}"\ndigests = "portable"\n')
        project = write_project(tmp_path / name, {"datasets.py": datasets, "remint.toml": toml})
        project.land("a", [*history(3), event(1, 0, 99, version=2)])
        project.ingest()
        project.run()
        assert project.tables() == project.expected()
        assert len(project.live()["silver.events"]) > 3
        digests.append(project.digests())

    assert digests[0] == digests[1]
    assert {u.proof for u in project.open().verify((), size=9)} == {"proven"}


def test_what_spark_has_not_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    plain = "count(*) AS events"
    assert plain in DATASETS
    datasets = DATASETS.replace(plain, "CAST(hash(tenant) % 9 AS BIGINT) AS events")
    project = write_project(tmp_path / "p", {"datasets.py": datasets})
    project.land("a", history(2))
    project.ingest()
    set_engine(project, 'name = "spark"\ndigests = "portable"')
    before, plan = project.files().keys(), project.plan()

    with pytest.raises(NotOnSpark, match="HASH"):
        project.apply(plan)

    assert project.files().keys() == before
    assert project.outstanding() == []


def test_what_reads_the_time_of_the_plan_runs_on_spark(tmp_path: Path) -> None:
    said = DATASETS.replace("FROM events GROUP BY", "FROM events WHERE event_time <= run.now GROUP BY")
    assert said != DATASETS
    project = write_project(tmp_path / "p", {"datasets.py": said})
    project.land("a", history(2))
    project.ingest()
    project.run("silver.events")
    set_engine(project, 'name = "spark"\ndigests = "portable"')

    project.run("gold.daily")

    assert project.rows("gold.daily") == project.expected()["gold.daily"]
