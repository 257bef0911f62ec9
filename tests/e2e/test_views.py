"""Views files: what DuckDB alone reads through them is what ``remint sql`` reads, and they are replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

import remint
from remint.cli.main import cli
from remint.errors import ReadError, ReleaseIncomplete, UsageError
from remint.execution import views as views_module
from remint.model.event import Event, EventKind
from remint.workspace import Workspace
from tests.e2e.projects import DATASETS, NOON, Project, built, contract, day_at, event, history, write_project

MORE = """

@gold("hourly", partition=hour("event_hour"), inputs={"events": fan_out("silver.events")})
def hourly() -> str:
    return "SELECT date_trunc('hour', event_time) AS event_hour, count(*) AS events FROM events GROUP BY event_hour"


bronze("sales", partition=day("sold_on", by="tenant"), source=files("sales/*.jsonl", format="jsonl"),
       arrivals=arrivals("sold_at"))


@silver("tenants", partition=identity("tenant"), inputs={"sales": roll_up("bronze.sales")})
def tenants() -> str:
    return "SELECT tenant, CAST(sum(amount) AS BIGINT) AS amount FROM sales GROUP BY tenant"


@gold("signals", partition=day("event_date"), inputs={"days": same("gold.daily")},
      version=logic_version(1, column="signal_version", old="keep"))
def signals() -> str:
    return "SELECT event_date, tenant, amount * 1 AS signal FROM days"
"""
STRANGE = ("o'neil & co", "50%", "ñandú", "a=b", 'say "hi"', "x y", "%2F", "#1?")


def remint_(project: Project, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(project.root), *words])


def opened(file: Path, zone: str = "UTC") -> duckdb.DuckDBPyConnection:
    """Open a views file as somebody would who knows nothing of remint."""
    if file.suffix == ".duckdb":
        con = duckdb.connect(str(file), read_only=True)
    else:
        con = duckdb.connect()
        con.execute(file.read_text())
    con.execute(f"SET TimeZone = '{zone}'")
    return con


def rows(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the rows of a table in a form that needs no zone, sorted."""
    found = con.sql(f"SELECT * FROM {table}").to_arrow_table()
    return sorted(json.dumps(row, default=_plain, sort_keys=True) for row in found.to_pylist())


def _plain(value: Any) -> str:
    return str(value.timestamp()) if hasattr(value, "timestamp") else value.isoformat()


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Days, hours, values of every kind, kept versions, an empty unit, and a column that old files do not have."""
    imports = "from remint import fan_out, hour, identity, logic_version\n"
    changes = {
        "datasets.py": imports + DATASETS + MORE,
        "contracts/gold.hourly.yaml": contract("event_hour TIMESTAMPTZ *\nevents BIGINT"),
        "contracts/silver.tenants.yaml": contract("tenant VARCHAR *\namount BIGINT"),
        "contracts/bronze.sales.yaml": contract(
            "id BIGINT *\nsold_at TIMESTAMPTZ\ntenant VARCHAR\namount BIGINT\nsold_on DATE"
        ),
        "contracts/gold.signals.yaml": contract(
            "event_date DATE *\ntenant VARCHAR *\nsignal BIGINT\nsignal_version VARCHAR *"
        ),
    }
    project = write_project(tmp_path_factory.mktemp("views") / "it's a project", changes)
    project.land("a", history(4))
    sales = [
        {"id": i, "sold_at": f"{day_at(i % 2)}T01:00:00Z", "tenant": t, "amount": i, "sold_on": day_at(i % 2)}
        for i, t in enumerate(STRANGE)
    ]
    (project.root / "sales").mkdir()
    (project.root / "sales" / "a.jsonl").write_text("".join(f"{json.dumps(s)}\n" for s in sales))
    project.ingest()
    project.run()
    project.edit("datasets.py", "logic_version(1", "logic_version(2")
    project._replace("datasets.py", "amount * 1 AS", "amount * 2 AS")
    project.run()
    columns = project.root / "contracts/gold.hourly.yaml"
    columns.write_text(columns.read_text() + "      - {name: note, physicalType: VARCHAR}\n")
    project.edit(
        "datasets.py",
        "count(*) AS events FROM events GROUP BY event_hour",
        "count(*) AS events, 'n' AS note FROM events GROUP BY event_hour",
    )
    project.edit(
        "datasets.py",
        'inputs={"events": fan_out("silver.events")}',
        'inputs={"events": fan_out("silver.events")}, version=2',
    )
    project.run("gold.hourly", span=day_at(1))
    return project


@pytest.mark.parametrize("suffix", [".sql", ".duckdb"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_views_show_the_rows_that_remint_sql_shows(strange: Project, tmp_path: Path, suffix: str, zone: str) -> None:
    lake = remint.open(strange.root)
    file = tmp_path / f"v{suffix}"

    release, written = lake.write_views(file)

    assert written == file
    cut = lake.at()
    with opened(file, zone) as con:
        assert con.sql("SELECT release_id, run_id FROM remint.release").fetchall() == [
            (release.release_id, release.run_id)
        ]
        for table in cut.tables:
            assert rows(con, table) == rows(cut.duckdb(), table), table
        assert {v for (v,) in con.sql("SELECT DISTINCT signal_version FROM gold.signals").fetchall()} == {"v2"}
        kept = con.sql("SELECT DISTINCT signal_version FROM gold.signals_versions").fetchall()
        assert {v for (v,) in kept} == {"v1", "v2"}
        assert {v for (v,) in con.sql("SELECT tenant FROM silver.tenants").fetchall()} >= set(STRANGE)
        assert set(con.sql("SELECT note IS NULL FROM gold.hourly").fetchall()) == {(True,), (False,)}
        assert con.sql("SELECT count(*) FROM bronze.events_quarantine").fetchall() == [(0,)]
        types = con.sql("SELECT typeof(event_hour) FROM gold.hourly LIMIT 1").fetchall()
        assert types == [("TIMESTAMP WITH TIME ZONE",)]
    assert list(tmp_path.iterdir()) == [file]


def test_a_views_file_stays_on_its_release(strange: Project, tmp_path: Path) -> None:
    lake = remint.open(strange.root)
    first = lake.releases()[1]

    lake.write_views(tmp_path / "old.duckdb", first.run_id)

    with opened(tmp_path / "old.duckdb") as con:
        assert rows(con, "gold.signals") == rows(lake.at(first).duckdb(), "gold.signals")
        assert con.sql("SELECT DISTINCT signal_version FROM gold.signals").fetchall() == [("v1",)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return built(tmp_path / "p", days=3)


def amount(file: Path) -> int:
    with opened(file) as con:
        (found,) = con.sql("SELECT sum(amount) FROM gold.daily").fetchall()
    return int(found[0])


@pytest.mark.parametrize("suffix", ["sql", "duckdb"])
def test_a_project_with_a_views_path_has_it_refreshed_by_every_run(project: Project, suffix: str) -> None:
    toml = project.root / "remint.toml"
    toml.write_text(f'{toml.read_text()}[views]\npath = "shared/lake.{suffix}"\n')
    file = project.root / "shared" / f"lake.{suffix}"

    project.set_factor(2)
    run = project.run()
    first = amount(file)
    project.set_factor(6)
    project.run()

    assert amount(file) == 3 * first
    project.rollback(project.open().store.runs(1)[0].run_id)
    assert amount(file) == first
    project.land("b", [event(90, 0)])
    ingest = project.ingest()
    with opened(file) as con:
        assert con.sql("SELECT run_id FROM remint.release").fetchall() == [(ingest.run_id,)]
        assert con.sql("SELECT count(*) FROM bronze.events").fetchall() == [(10,)]
    assert run.run_id in file.read_bytes().decode(errors="ignore") or run.run_id != ingest.run_id


def test_a_run_whose_views_cannot_be_written_ends_well_and_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = project.root / "remint.toml"
    toml.write_text(f'{toml.read_text()}[views]\npath = "lake.duckdb"\n')
    project.set_factor(2)
    project.run()
    file = project.root / "lake.duckdb"
    before = amount(file)
    heard: list[Event] = []

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    project.set_factor(4)
    with monkeypatch.context() as patch:
        patch.setattr(views_module.os, "replace", broken)
        workspace = Workspace(project.root, clock=project.now, emit=heard.append)
        run = workspace.apply(project.plan())

    assert run.state == "succeeded"
    (alert,) = [e for e in heard if e.kind is EventKind.ALERT]
    assert alert.run_id == run.run_id
    assert "No space left on device" in alert.detail
    assert amount(file) == before
    assert [p.name for p in project.root.iterdir() if p.name.startswith(".lake")] == []

    assert remint_(project, "views").exit_code == 0
    assert amount(file) == 2 * before


def test_the_command_writes_a_file_and_says_which_release(project: Project, tmp_path: Path) -> None:
    first = project.open().store.runs(1)[0].run_id
    project.set_factor(3)
    project.run()

    now = remint_(project, "views", str(tmp_path / "now.duckdb"))
    then = remint_(project, "views", str(tmp_path / "then.sql"), "--as-of", first, "--json")

    assert "release-3" in now.output
    answer = json.loads(then.output)
    assert answer["format"] == "remint.views/1"
    assert answer["release"]["run_id"] == first
    assert amount(tmp_path / "now.duckdb") == 3 * amount(tmp_path / "then.sql")
    assert f"-- run_id: {first}" in (tmp_path / "then.sql").read_text()


@pytest.mark.parametrize("words", [(), ("views.txt",)])
def test_a_views_file_needs_a_name_of_its_kind(project: Project, words: tuple[str, ...]) -> None:
    answer = remint_(project, "views", *words)

    assert answer.exit_code == UsageError.exit_code
    assert ".duckdb" in answer.stderr


def test_views_of_a_release_that_is_not_whole_are_not_written(project: Project, tmp_path: Path) -> None:
    lake = remint.open(project.root)
    lake.write_views(tmp_path / "v.sql")
    text = (tmp_path / "v.sql").read_bytes()
    Path(lake.at().files("gold.daily")[0].path).unlink()

    with pytest.raises(ReleaseIncomplete):
        lake.write_views(tmp_path / "v.sql")

    assert (tmp_path / "v.sql").read_bytes() == text
    assert [p.name for p in tmp_path.iterdir()] == ["p", "v.sql"] or {p.name for p in tmp_path.iterdir()} == {
        "p",
        "v.sql",
    }


def test_a_views_file_that_somebody_writes_to_is_left_alone(project: Project, tmp_path: Path) -> None:
    lake = remint.open(project.root)
    file = tmp_path / "v.duckdb"
    lake.write_views(file)
    with duckdb.connect(str(file)) as con:
        con.execute("CREATE TABLE mine AS SELECT 1 AS x")
        assert Path(f"{file}.wal").exists()
        with pytest.raises(ReadError, match="open for writing"):
            lake.write_views(file)
        assert con.sql("SELECT * FROM mine").fetchall() == [(1,)]


def test_whoever_has_a_views_file_open_goes_on_with_its_release(project: Project, tmp_path: Path) -> None:
    lake = remint.open(project.root)
    file = tmp_path / "v.duckdb"
    lake.write_views(file)
    before = amount(file)
    with opened(file) as con:
        project.set_factor(2)
        project.run()
        lake.write_views(file)
        assert con.sql("SELECT sum(amount) FROM gold.daily").fetchall() == [(before,)]
    assert amount(file) == 2 * before


def test_another_run_that_ends_while_views_are_written_is_in_them(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = remint.open(project.root)
    write = views_module.os.replace
    ended: list[str] = []

    def replace(*names: Any) -> None:
        write(*names)
        if not ended:
            ended.append("")
            project.set_factor(2)
            ended.append(project.run().run_id)

    monkeypatch.setattr(views_module.os, "replace", replace)

    release, _ = lake.write_views(tmp_path / "v.sql")

    assert release.run_id == ended[1]
    assert f"-- run_id: {ended[1]}" in (tmp_path / "v.sql").read_text()
    assert NOON.isoformat()[:10] in (tmp_path / "v.sql").read_text()


def test_units_that_a_value_cuts_beside_the_time_are_proven_by_a_range(strange: Project) -> None:
    told = remint_(strange, "verify", "gold.signals", "--range", f"{day_at(0)}..{day_at(3)}")

    assert told.exit_code == 0, told.output
    assert "4 proven, 0 different" in told.output
