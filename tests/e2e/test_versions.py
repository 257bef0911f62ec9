"""Logic versions: kept beside each other or replaced, listed, compared; and refused where a number was not raised."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from remint.errors import PlanError, UsageError, VersionNotRaised
from remint.model.partition import DateRange
from remint.model.request import Trial
from tests.e2e.projects import FILES, NOON, Project, built, contract, day_at, event, history, remint, write_project

DECLARED = """

@gold("signals", partition=day("event_date"), inputs={"days": same("gold.daily")}, metrics={"total": "sum(signal)"},
      version=logic_version(1, column="signal_version", old="keep"))
def signals() -> str:
    return "SELECT event_date, tenant, amount * 1 AS signal, events FROM days"


@gold("alerts", partition=day("event_date"), inputs={"signals": same("gold.signals")})
def alerts() -> str:
    return "SELECT event_date, tenant, signal > 50 AS is_high FROM signals"
"""
IMPORTED = "json_payload, logic_version, month"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Six days, with signals of version 1 and alerts that read them."""
    made = write_project(
        tmp_path,
        {
            "datasets.py": FILES["datasets.py"].replace("json_payload, month", IMPORTED) + DECLARED,
            "contracts/gold.signals.yaml": contract(
                "event_date DATE *\ntenant VARCHAR *\nsignal BIGINT\nevents BIGINT\nsignal_version VARCHAR *"
            ),
            "contracts/gold.alerts.yaml": contract("event_date DATE *\ntenant VARCHAR *\nis_high BOOLEAN"),
        },
    )
    made.land("a", history(6))
    made.ingest()
    made.run()
    return made


def change(project: Project, *, version: int = 2, old: str = "keep", factor: int = 2) -> None:
    """Declare another version of the signals, whose values are ``factor`` times those of the first."""
    path = project.root / "datasets.py"
    head, _, rest = path.read_text().partition("version=logic_version(")
    _, _, rest = rest.partition(")")
    text = f'{head}version=logic_version({version}, column="signal_version", old="{old}"){rest}'
    before, _, after = text.partition("amount * ")
    path.write_text(f"{before}amount * {factor}{after[1:]}")


def sql(project: Project, query: str) -> list[tuple[Any, ...]]:
    return list(project.open().reader.sql(query).rows)


def files(project: Project, version: str) -> dict[str, str]:
    root = project.folder("gold.signals")
    found = root.glob(f"event_date=*/signal_version={version}/*.parquet")
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def test_a_raised_version_is_built_beside_the_old_one_which_stays_as_it_is(project: Project) -> None:
    before = files(project, "v1")
    change(project)

    plan = project.plan()
    project.apply(plan)

    assert len(before) == 6
    assert files(project, "v1") == before
    assert len(files(project, "v2")) == 6
    assert ("gold.signals", [f"{day_at(n)}/v2" for n in range(6)]) in [(a.dataset, list(a.keys)) for a in plan.actions]
    assert "6 partitions of v1 stay beside the current version" in [u.detail for u in plan.untouched]
    assert not project.stale()


def test_consumers_and_queries_read_the_current_version_alone(project: Project) -> None:
    first = sql(project, "SELECT sum(signal) FROM gold.signals")[0][0]
    change(project)
    project.run()

    assert sql(project, "SELECT sum(signal), min(signal_version) FROM gold.signals") == [(2 * first, "v2")]
    assert sql(project, "SELECT signal_version, sum(signal) FROM gold.signals_versions GROUP BY 1 ORDER BY 1") == [
        ("v1", first),
        ("v2", 2 * first),
    ]
    joined = "gold.alerts a JOIN gold.signals s USING (event_date, tenant)"
    assert sql(project, f"SELECT count(*) FROM {joined} WHERE is_high <> (signal > 50)") == [(0,)]
    assert sql(project, "SELECT count(*) FROM gold.alerts WHERE is_high")[0][0] > 0


def test_until_it_is_built_the_version_before_is_what_a_query_reads(project: Project) -> None:
    change(project)

    assert sql(project, "SELECT DISTINCT signal_version FROM gold.signals") == [("v1",)]


def test_a_query_as_of_an_earlier_run_reads_the_version_of_then(project: Project) -> None:
    run = project.open().store.runs(1)[0].run_id
    change(project)
    project.run()

    result = remint(project, "sql", "SELECT DISTINCT signal_version FROM gold.signals", "--as-of", run, "--json")

    assert json.loads(result.output)["rows"] == [["v1"]]


def test_new_data_is_built_in_the_current_version_alone(project: Project) -> None:
    change(project)
    project.run()
    before = files(project, "v1")
    project.land("b", [event(900, 2, 500)])
    project.ingest()

    project.run()

    assert files(project, "v1") == before
    assert sql(project, f"SELECT max(signal) FROM gold.signals WHERE event_date = '{day_at(2)}'")[0][0] >= 1000


def test_the_registry_says_what_each_version_is_good_for(project: Project) -> None:
    change(project)
    declared = project.open().versions(["gold.signals"])
    project.run()
    run = project.open().store.runs(1)[0].run_id

    first, second = project.open().versions(["gold.signals"])

    assert [(v.number, v.state, v.partitions) for v in declared] == [(1, "current", 6), (2, "declared", 0)]
    assert (first.state, first.partitions, second.state, second.partitions) == ("kept", 6, "current", 6)
    assert (second.first_run, second.change, second.read_by) == (run, "changes signal", ("gold.alerts",))
    assert second.published_at > NOON.isoformat()


def test_a_version_that_was_rolled_back_is_withdrawn(project: Project) -> None:
    change(project)
    run = project.run()

    project.rollback(run.run_id)

    states = [(v.number, v.state, v.partitions) for v in project.open().versions(["gold.signals"])]
    assert states == [(1, "current", 6), (2, "withdrawn", 0)]
    assert sql(project, "SELECT DISTINCT signal_version FROM gold.signals") == [("v1",)]


def test_deprecated_versions_are_said_to_be_so_wherever_they_show(project: Project) -> None:
    change(project, old="deprecate")
    project.run()

    status, listed = remint(project, "status"), remint(project, "versions", "gold.signals", "--json")
    asked = remint(project, "sql", "SELECT count(*) FROM gold.signals_versions")
    other = remint(project, "sql", "SELECT count(*) FROM gold.signals")

    assert "6 partitions of gold.signals v1 are deprecated" in status.output
    assert [v["state"] for v in json.loads(listed.output)["versions"]] == ["deprecated", "current"]
    assert "6 partitions of gold.signals v1 are deprecated" in asked.output
    assert "deprecated" not in other.output


def test_two_kept_versions_are_compared_by_key_and_metric_without_their_label(project: Project) -> None:
    change(project)
    project.run()

    whole = project.open().reader.diff_versions("gold.signals", (1, 2))
    part = project.open().reader.diff_versions("gold.signals", (1, 2), DateRange.parse(day_at(3)))
    shown = remint(project, "diff", "gold.signals", "--versions", "1", "2")

    assert whole.comparison is not None
    assert whole.comparison.changed_columns == {"signal": 18}
    assert (whole.comparison.added, whole.comparison.removed) == (0, 0)
    assert [(m.name, m.after / m.before) for m in whole.metrics] == [("total", 2)]
    assert list(part.differing) == [day_at(3)]
    assert "column signal: 18 rows" in shown.output


def test_versions_that_replace_each_other_are_compared_in_the_ledger(tmp_path: Path) -> None:
    project = built(tmp_path, days=5)
    project.set_factor(3)
    project.run()
    project.set_factor(4)
    project.run("gold.daily+", span=day_at(2))

    first = project.open().reader.diff_versions("gold.daily", (1, 2))
    second = project.open().reader.diff_versions("gold.daily", (2, 3))

    assert first.comparison is not None
    assert first.comparison.changed_columns == {"amount": 15}
    assert list(second.differing) == [day_at(2)]
    assert second.partitions_same == 0
    states = [(v.number, v.state, v.partitions) for v in project.open().versions(["gold.daily"])]
    assert states == [(1, "replaced", 0), (2, "replaced", 4), (3, "current", 1)]


def test_a_version_that_was_never_published_cannot_be_compared(project: Project) -> None:
    with pytest.raises(UsageError, match=r"gold\.signals has no published version 7; published: 1"):
        project.open().reader.diff_versions("gold.signals", (1, 7))


def test_a_logic_that_changes_under_its_number_is_refused_with_columns_and_readers(project: Project) -> None:
    change(project, version=1)

    with pytest.raises(VersionNotRaised) as raised:
        project.plan()

    assert "changes signal" in raised.value.message
    assert "read by gold.alerts" in raised.value.message


def test_readers_at_second_hand_are_told_apart(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    path = tmp_path / "sql/events.sql"
    path.write_text(path.read_text().replace("tenant, amount,", "tenant, amount + 1 AS amount,"))

    with pytest.raises(VersionNotRaised) as raised:
        project.plan()

    assert "changes amount; read by gold.daily, and through them by gold.monthly, gold.trend" in raised.value.message


def test_going_back_to_an_older_number_is_refused(project: Project) -> None:
    change(project)
    project.run()
    change(project, version=1, factor=1)

    with pytest.raises(VersionNotRaised, match="declares logic version 1, but partitions of version 2 are published"):
        project.plan()


def test_a_shadow_run_of_a_raised_version_compares_with_the_one_before(project: Project) -> None:
    change(project)

    found = project.open().shadow(Trial(selectors=("gold.signals",), span=DateRange.parse(day_at(2))))

    signals = found.diffs[0].comparison
    assert signals is not None
    assert (signals.added, signals.removed, signals.changed_columns) == (0, 0, {"signal": 3})


def test_a_version_column_that_comes_later_is_refused_by_name(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    project._replace("datasets.py", "json_payload, month", IMPORTED)
    project._replace(
        "datasets.py",
        'inputs={"events": same("silver.events")}, version=VERSION)',
        'inputs={"events": same("silver.events")}, version=logic_version(2, column="daily_version", old="keep"))',
    )
    path = tmp_path / "contracts/gold.daily.yaml"
    path.write_text(path.read_text() + "      - {name: daily_version, physicalType: VARCHAR, required: true}\n")

    with pytest.raises(PlanError, match="declares partitions by event_date and daily_version, but those") as raised:
        project.run()

    assert "under another name" in str(raised.value.hint)
    assert project.outstanding() == []


def test_a_new_rule_is_published_with_its_quarantine_under_the_raised_version(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.edit("datasets.py", '"amount": "BIGINT"}', '"amount": "BIGINT"}, rules={"small": "amount < 20"}')

    project.run()

    [(rejected,)] = sql(project, "SELECT count(*) FROM silver.events_quarantine")
    [(kept,)] = sql(project, "SELECT count(*) FROM silver.events")
    assert rejected > 0
    assert kept + rejected == len(project.lines)
    current = {v.dataset: v.number for v in project.open().versions(()) if v.state == "current"}
    assert current["silver.events"] == 2
    assert "silver.events_quarantine" not in current
    assert project.outstanding() == []


def test_a_watermark_is_a_time_whatever_the_version(project: Project) -> None:
    assert project.open().store.watermarks()["gold.signals"] == day_at(5)


def test_a_new_column_of_bronze_changes_its_readers_quarantine_without_a_version(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    contract_file = "contracts/bronze.events.yaml"
    payload = "{name: payload, physicalType: VARCHAR, required: true}\n"
    path = project.root / contract_file
    path.write_text(path.read_text().replace(payload, f"{payload}      - {{name: extra, physicalType: VARCHAR}}\n"))

    project.run()

    assert project.stale() == {}
    assert project.outstanding() == []
