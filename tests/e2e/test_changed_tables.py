"""Columns, cut and catalog of a table change underneath remint: it follows, goes on as published, or refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.types import LongType

import remint
from remint.execution.symptom import Health, Kind
from remint.execution.verify import Proof
from tests.e2e import projects
from tests.e2e.lakehouses import Iceberg
from tests.e2e.projects import COLUMNS, Project, built, event
from tests.engines.both import what_spark_lacks
from tests.proof import full_size, proof

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on Iceberg whose history of three days is built."""
    monkeypatch.setattr(projects, "tables_in", "iceberg")
    return built(tmp_path / "p", 3)


def rename(project: Project, table: str, old: str, new: str) -> None:
    """Rename a column with another program."""
    assert isinstance(project.lakehouse, Iceberg)
    with project.lakehouse.table(table).update_schema() as update:
        update.rename_column(old, new)


def bad(project: Project) -> list[tuple[str, Kind | None]]:
    return [(s.subject, s.kind) for s in project.open().upkeep.doctor((), read_data=True) if s.health is Health.BAD]


def told(project: Project, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in project.open().reader.sql(sql).rows]


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=[proof, full_size])])
def test_rows_that_arrived_before_a_rename_are_read_after_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Bronze is never written anew, so its files keep the old name for ever."""
    if engine == "spark" and (missing := what_spark_lacks()):
        pytest.skip(f"Spark cannot run here: {missing}")
    monkeypatch.setenv("REMINT_ENGINE__NAME", engine)
    monkeypatch.setenv("REMINT_ENGINE__DIGESTS", "portable")
    before = told(project, "SELECT event_id, payload FROM bronze.events ORDER BY 1")
    rename(project, "bronze.events", "payload", "body")

    project.edit("contracts/bronze.events.yaml", "name: payload", "name: body")
    project.edit("datasets.py", 'column="payload"', 'column="body"')
    assert told(project, "SELECT event_id, body FROM bronze.events ORDER BY 1") == before
    (file,) = remint.open(project.root).at().files("bronze.events")
    assert (file.partition, file.renamed) == ({"ingestion_date": "2026-11-02"}, {"body": "payload"})
    project.run()

    made = project.expected()
    assert {t: project.rows(t) for t in projects.MADE} == {t: made[t] for t in projects.MADE}
    assert {p.proof for p in project.open().verify((), size=3)} == {Proof.PROVEN}
    assert bad(project) == []


@pytest.mark.parametrize(("old", "new"), [("updated_at", "changed_at"), ("payload", "body")], ids=["key", "other"])
def test_rows_that_arrive_again_after_a_rename_are_known(project: Project, old: str, new: str) -> None:
    again = [line.replace(f'"{old}": ', f'"{new}": ', 1) for line in project.lines]
    rename(project, "bronze.events", old, new)
    project.edit("contracts/bronze.events.yaml", f"name: {old}", f"name: {new}")
    if old == "payload":
        project.edit("datasets.py", 'column="payload"', 'column="body"')
    else:
        project.edit("sql/events.sql", "updated_at", "changed_at AS updated_at")
    assert again != project.lines

    project.land("again", again)
    project.ingest()

    counted = "SELECT (SELECT count(*) FROM bronze.events), (SELECT count(*) FROM bronze.events_quarantine)"
    assert told(project, counted) == [(9, 0)]


def test_what_a_rename_replaced_is_put_back_under_the_new_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.tables()
    rename(project, "silver.events", "amount", "value")
    project.edit("contracts/silver.events.yaml", "name: amount", "name: value")
    project.edit("sql/events.sql", "tenant, amount", "tenant, amount AS value")
    project.edit("datasets.py", "sum(amount) * {FACTOR}", "sum(value) * {FACTOR}")
    monkeypatch.setitem(COLUMNS, "silver.events", ["value" if c == "amount" else c for c in COLUMNS["silver.events"]])
    assert project.tables() == before
    assert told(project, "SELECT count(value) FROM silver.events") == [(9,)]

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    run = project.run()
    assert project.tables() == project.expected()
    assert told(project, "SELECT count(value) FROM silver.events") == [(10,)]
    project.rollback(run.run_id)

    held = project.tables()
    assert {t: held[t] for t in projects.MADE} == {t: before[t] for t in projects.MADE}
    assert told(project, "SELECT count(value) FROM silver.events") == [(9,)]
    assert bad(project) == []


def test_a_rename_of_which_the_contract_knows_nothing_stops_runs_before_they_begin(project: Project) -> None:
    project.land("late", [event(900, 1, 77)])
    project.ingest()
    before = (project.files(), len(list(project.open().store.runs(99))))
    rename(project, "silver.events", "amount", "value")
    assert bad(project) == [("silver.events", Kind.TABLE_UNUSABLE)]

    said = projects.remint(project, "run")

    assert said.exit_code == 6, said.output
    assert "RM449" in said.output
    assert "silver.events: column amount was in the table, and somebody dropped or renamed it" in said.output
    assert project.outstanding() == []
    assert len(list(project.open().store.runs(99))) == before[1]
    rename(project, "silver.events", "value", "amount")
    project.run()
    assert project.tables() == project.expected()
    assert bad(project) == []


def test_what_only_reads_a_renamed_column_goes_on_as_it_was_published(project: Project) -> None:
    rename(project, "silver.events", "amount", "value")
    assert told(project, "SELECT count(amount) FROM silver.events") == [(9,)]

    project.set_factor(2)
    project.run()

    made = project.expected()
    assert {t: project.rows(t) for t in ("gold.daily", "gold.trend")} == {
        t: made[t] for t in ("gold.daily", "gold.trend")
    }
    assert bad(project) == [("silver.events", Kind.TABLE_UNUSABLE)]


def test_a_column_that_was_dropped_and_added_anew_is_read_as_published_and_told(project: Project) -> None:
    """By Iceberg's own rules it is another column, and NULL in every row."""
    assert isinstance(project.lakehouse, Iceberg)
    with project.lakehouse.table("silver.events").update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("amount")
    with project.lakehouse.table("silver.events").update_schema() as update:
        update.add_column("amount", LongType())
    assert {r["amount"] for r in project.lakehouse.rows("silver.events").to_pylist()} == {None}
    assert told(project, "SELECT count(amount) FROM silver.events") == [(9,)]
    assert set(bad(project)) == {("silver.events", Kind.WRONG_ENTRY)}

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    project.run()
    made = project.expected()
    assert {t: project.rows(t) for t in ("gold.daily", "gold.trend")} == {
        t: made[t] for t in ("gold.daily", "gold.trend")
    }

    project.run(rebuild=True)
    assert project.tables() == made
    assert bad(project) == []


@pytest.mark.parametrize("cut", ['day("event_date"), buckets=("event_id", 3)', 'day("event_time", hidden=True)'])
def test_another_cut_of_a_table_that_is_there_is_refused_before_a_run(project: Project, cut: str) -> None:
    project.land("late", [event(900, 1, 77)])
    project.ingest()
    before = project.files().keys()
    project.edit("datasets.py", 'silver("events", partition=day("event_date")', f'silver("events", partition={cut}')

    for command in ("plan", "run"):
        found = projects.remint(project, command)

        assert (found.exit_code, project.outstanding()) == (6, []), found.output
        assert "RM449" in found.output
        assert "it is partitioned by day(event_date), declared is" in " ".join(found.output.split())
    assert project.files().keys() == before


@pytest.mark.parametrize("said", ["", 'format = "iceberg"\n[catalog]\nname = "another"'], ids=["format", "catalog"])
def test_an_ingest_into_a_place_where_the_tables_are_not_is_refused(project: Project, said: str) -> None:
    toml = project.root / "remint.toml"
    kept = toml.read_text()
    project.land("late", [event(900, 1, 77)])
    before = project.files().keys()
    toml.write_text(f"{kept.partition('[tables]')[0]}[tables]\n{said}\n")

    found = projects.remint(project, "ingest")

    assert found.exit_code == 6, found.output
    assert "RM303" in found.output
    assert "there is no table in" in found.output
    toml.write_text(kept)
    assert project.files().keys() == before
    project.ingest()
    project.run()
    assert project.tables() == project.expected()


def test_rows_that_another_program_appends_are_adopted_where_it_put_them(project: Project) -> None:
    assert isinstance(project.lakehouse, Iceberg)
    table = project.lakehouse.table("bronze.events")
    row = {**table.scan().to_arrow().to_pylist()[0], "event_id": "mine"}
    table.append(pa.Table.from_pylist([row], table.schema().as_arrow()))

    found = projects.remint(project, "adopt", "bronze.events", "--reason", "mine")

    assert found.exit_code == 0, found.output
    project.run()
    assert told(project, "SELECT count(*) FROM silver.events WHERE event_id = 'mine'") == [(1,)]
    assert bad(project) == []


def test_what_was_published_is_read_while_the_catalog_is_damaged(project: Project) -> None:
    before = told(project, "SELECT * FROM silver.events ORDER BY 1")
    (project.root / "lake" / "catalog.db").write_bytes(b"no database")

    assert told(project, "SELECT * FROM silver.events ORDER BY 1") == before


def test_files_of_the_table_that_was_there_before_are_read_by_their_names(project: Project) -> None:
    """The table that is made anew gives the same numbers to other columns."""
    (first,) = {r.run_id for r in project.open().store.records("silver.events").values()}
    sql = "SELECT event_id, tenant, amount FROM silver.events ORDER BY 1"
    before = [tuple(row) for row in project.open().reader.sql(sql, as_of=first).rows]
    assert isinstance(project.lakehouse, Iceberg)
    project.lakehouse.catalog().drop_table("silver.events")
    contract = project.root / "contracts" / "silver.events.yaml"
    head, tenant, tail = contract.read_text().partition("      - name: tenant\n")
    contract.write_text(f"{head}      - name: region\n        physicalType: VARCHAR\n{tenant}{tail}")
    project.edit("sql/events.sql", "tenant, amount", "'eu' AS region, tenant, amount")
    project.run()

    assert [tuple(row) for row in project.open().reader.sql(sql, as_of=first).rows] == before
    assert told(project, sql) == before
    assert bad(project) == []


def test_renames_in_a_chain_are_followed(project: Project) -> None:
    before = told(project, "SELECT event_id, amount, tenant FROM silver.events ORDER BY 1")
    rename(project, "silver.events", "amount", "value")
    rename(project, "silver.events", "tenant", "amount")
    contract = project.root / "contracts" / "silver.events.yaml"
    text = contract.read_text().replace("name: amount", "name: value").replace("name: tenant", "name: amount")
    contract.write_text(text)
    project.edit("sql/events.sql", "tenant, amount", "tenant AS amount, amount AS value")
    project.edit("datasets.py", "event_date, tenant, count(*)", "event_date, amount AS tenant, count(*)")
    project.edit("datasets.py", "sum(amount) * {FACTOR}", "sum(value) * {FACTOR}")
    project.edit("datasets.py", "FROM events GROUP BY event_date, tenant", "FROM events GROUP BY ALL")

    assert told(project, "SELECT event_id, value, amount FROM silver.events ORDER BY 1") == before


@pytest.mark.parametrize("kept_in", ["delta", "iceberg"])
def test_a_table_that_a_part_was_made_anew_of_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_in: str
) -> None:
    monkeypatch.setattr(projects, "tables_in", kept_in)
    project = built(tmp_path / "p", 3)
    if isinstance(project.lakehouse, Iceberg):
        project.lakehouse.catalog().drop_table("silver.events")
    else:
        shutil.rmtree(project.folder("silver.events") / "_delta_log")
    first = projects.day_at(0)
    project.run("silver.events", span=f"{first}..{first}", rebuild=True)

    assert "silver.events" in project.stale()
    found = projects.remint(project, "verify", "silver.events")
    assert found.exit_code == 1, found.output
    project.run()
    assert project.tables() == project.expected()
    assert bad(project) == []


def test_rows_in_manifests_of_the_first_format_version_are_rows(project: Project) -> None:
    assert isinstance(project.lakehouse, Iceberg)
    catalog = project.lakehouse.catalog()
    table = catalog.load_table("gold.monthly")
    rows, schema, spec, place = table.scan().to_arrow(), table.schema(), table.spec(), table.location()
    catalog.drop_table("gold.monthly")
    made = catalog.create_table("gold.monthly", schema, place, spec, properties={"format-version": "1"})
    made.append(rows)
    with made.transaction() as transaction:
        transaction.upgrade_table_version(2)
    made.append(rows.slice(0, 0))

    found = projects.remint(project, "adopt", "gold.monthly", "--reason", "ours")

    assert found.exit_code == 0, found.output
    assert told(project, "SELECT count(*) FROM gold.monthly") == [(rows.num_rows,)]


def test_a_rollback_that_the_cut_of_a_table_does_not_allow_is_refused_before_it_begins(project: Project) -> None:
    project.set_factor(2)
    run = project.run()
    assert isinstance(project.lakehouse, Iceberg)
    with project.lakehouse.table("gold.daily").update_spec() as update:
        update.add_identity("tenant")

    for command in (["--dry-run"], []):
        found = projects.remint(project, "rollback", run.run_id, *command, "--reason", "x")
        assert found.exit_code == 6, found.output
        assert "RM449" in found.output
    assert project.outstanding() == []


def test_a_catalog_whose_url_says_more_than_its_file_is_there(project: Project) -> None:
    toml = project.root / "remint.toml"
    toml.write_text(f'{toml.read_text()}[catalog]\nurl = "sqlite:///{project.root}/lake/catalog.db?timeout=30"\n')

    assert not project.stale()
    assert bad(project) == []
