"""A project directory becomes a graph, or all of its mistakes at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remint.loading.project import load_project
from remint.model.dataset import Layer
from remint.model.mapping import ByArrival
from tests.loading.projects import (
    BRONZE_COLUMNS,
    DATASETS,
    GOLD_COLUMNS,
    SILVER_COLUMNS,
    contract,
    mistakes_of,
    only_mistake,
    write_project,
)


def edited(old: str, new: str) -> dict[str, str]:
    assert old in DATASETS
    return {"datasets.py": DATASETS.replace(old, new)}


def test_a_project_loads_with_upstream_first_and_quarantines_beside(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path))

    assert list(project.graph.datasets) == [
        "bronze.events",
        "bronze.events_quarantine",
        "silver.events",
        "silver.events_quarantine",
        "gold.daily",
    ]
    assert project.name == "events"
    assert project.warnings == ()


def test_the_contract_is_where_columns_key_and_checks_come_from(tmp_path: Path) -> None:
    events = load_project(write_project(tmp_path)).graph["silver.events"]

    assert events.column_names == ("event_id", "event_time", "amount", "event_date")
    assert events.key == ("event_id",)
    assert [c.name for c in events.checks] == ["event_id is not null"]


def test_the_quarantine_of_a_bronze_dataset_holds_lines(tmp_path: Path) -> None:
    held = load_project(write_project(tmp_path)).graph["bronze.events_quarantine"]

    assert held.column_names == ("reason", "file", "line", "raw", "ingested_at", "ingestion_date")
    assert (held.quarantine_of, held.key, held.inputs, held.transform) == ("bronze.events", (), (), None)
    assert held.location == "bronze/events_quarantine"


def test_the_quarantine_of_a_parsing_dataset_holds_raw_rows_under_the_event_date(tmp_path: Path) -> None:
    held = load_project(write_project(tmp_path)).graph["silver.events_quarantine"]

    assert held.column_names == ("event_id", "event_time", "payload", "ingestion_date", "reason", "event_date")
    assert held.transform is not None
    assert held.transform.sql == (
        'SELECT "event_id", "event_time", "payload", "ingestion_date", "reason", '
        'CAST("event_time" AS DATE) AS "event_date" FROM raw_rejected'
    )
    assert (held.layer, held.parse is not None) == (Layer.SILVER, True)
    assert [i.mapping for i in held.inputs] == [ByArrival()]


def test_a_change_of_a_datasets_sql_leaves_its_quarantine_fresh(tmp_path: Path) -> None:
    before = load_project(write_project(tmp_path)).graph
    sql = "SELECT event_id, event_time, amount + 1 AS amount, CAST(event_time AS DATE) AS event_date FROM raw"

    after = load_project(write_project(tmp_path, {"sql/events.sql": sql})).graph

    assert after["silver.events"].logic_digest != before["silver.events"].logic_digest
    assert after["silver.events_quarantine"].logic_digest == before["silver.events_quarantine"].logic_digest


def test_a_change_of_the_parsing_changes_both(tmp_path: Path) -> None:
    before = load_project(write_project(tmp_path)).graph

    after = load_project(write_project(tmp_path, edited('"BIGINT"', '"INTEGER"'))).graph

    assert after["silver.events"].logic_digest != before["silver.events"].logic_digest
    assert after["silver.events_quarantine"].logic_digest != before["silver.events_quarantine"].logic_digest


def test_a_constant_of_another_module_is_logic_and_every_load_sees_it_as_it_is_now(tmp_path: Path) -> None:
    datasets = DATASETS.replace('gold("daily"', '@gold("daily"').replace(
        ', sql="sql/daily.sql")',
        ")\ndef daily():\n    from limits import LIMIT\n"
        '    return f"SELECT event_date, CAST({LIMIT} AS BIGINT) AS amount FROM events"\n',
    )
    write_project(tmp_path, {"datasets.py": datasets, "limits.py": "LIMIT = 60\n"})
    before = load_project(tmp_path).graph["gold.daily"].logic_digest

    (tmp_path / "limits.py").write_text("LIMIT = 61\n")

    assert load_project(tmp_path).graph["gold.daily"].logic_digest != before
    assert "limits" not in sys.modules
    assert "datasets" not in sys.modules
    assert str(tmp_path) not in sys.path


def test_datasets_may_be_spread_over_a_folder(tmp_path: Path) -> None:
    head, tail = DATASETS.split("\ngold(")
    imports = DATASETS.splitlines()[0]
    write_project(tmp_path, {"datasets.py": head, "datasets/gold_tables.py": f"{imports}\n\ngold({tail}"})

    assert "gold.daily" in load_project(tmp_path).graph.datasets


def test_a_namesake_among_imported_modules_is_put_back(tmp_path: Path) -> None:
    sys.modules["limits"] = before = type(sys)("limits")
    try:
        load_project(write_project(tmp_path, {"limits.py": "LIMIT = 1\n"}))
        assert sys.modules["limits"] is before
    finally:
        del sys.modules["limits"]


def test_what_user_code_prints_does_not_reach_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_project(write_project(tmp_path, {"datasets.py": DATASETS + 'print("hello")\n'}))

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (edited('same("silver.events")', 'same("silver.event")'),
         "datasets.py:9: no dataset is called 'silver.event'; nearest: silver.events"),
        (edited('same("silver.events")', 'same("gold.daily")'), "datasets.py:9: gold.daily reads itself"),
        (edited('gold("daily"', 'gold("Daily"'), "datasets.py:9: 'Daily' cannot be a dataset's name"),
        (edited('gold("daily"', 'gold("a;drop"'), "datasets.py:9: 'a;drop' cannot be a dataset's name"),
        (edited('gold("daily"', 'gold("order"'), "datasets.py:9: 'order' cannot be a dataset's name: SQL reserves it"),
        (edited('sql="sql/daily.sql"', 'sql="sql/dayly.sql"'),
         "datasets.py:9: gold.daily: the file sql/dayly.sql is missing"),
        (edited('sql="sql/daily.sql"', 'sql="../daily.sql"'),
         "datasets.py:9: gold.daily: ../daily.sql is outside of the project"),
        (edited(', sql="sql/daily.sql"', ""), "datasets.py:9: gold.daily has no SQL"),
        (edited('sql="sql/daily.sql"', 'sql="sql/daily.sql", location="silver/events"'),
         "datasets.py:6: location 'silver/events' is the location of gold.daily"),
        (edited('sql="sql/daily.sql"', 'sql="sql/daily.sql", location="silver/events/x"'),
         "datasets.py:6: location 'silver/events' lies in or around the location of gold.daily"),
        (edited('sql="sql/daily.sql"', 'sql="sql/daily.sql", location="../x"'),
         "datasets.py:9: location '../x' is not a folder inside the lake"),
        (edited('gold("daily", partition=day("event_date")', 'gold("daily", partition=day("event_day")'),
         "datasets.py:9: gold.daily: the contract has no partition column 'event_day'; nearest: event_date"),
        (edited('gold("daily", partition=day("event_date")', 'gold("daily", partition=day("amount")'),
         "datasets.py:9: gold.daily: the partition column amount is BIGINT; it must be DATE"),
        (edited('same("silver.events")', 'trailing("silver.events", before=0)'),
         "datasets.py:9: gold.daily: window(silver.events, before=0, after=0) must read at least 1 partition beside"),
        (edited('same("silver.events")', 'roll_up("silver.events")'),
         "datasets.py:9: gold.daily: roll_up(silver.events) needs finer partitions there than here; "
         "here day, there day"),
        (edited('gold("daily", partition=day', 'gold("daily", partition=month'),
         "datasets.py:9: gold.daily: same(silver.events) needs equal grains; here month, there day"),
        (edited('arrivals=arrivals("event_time"),\n', ""),
         "datasets.py:5: silver.events: by_arrival(bronze.events) needs a Bronze dataset that is declared with "
         "arrivals=arrivals(...)"),
        (edited('arrivals("event_time")', 'arrivals("event_tim")'),
         "datasets.py:3: bronze.events: arrivals('event_tim') must be TIMESTAMPTZ or DATE in the contract; it is "
         "missing; nearest: event_time"),
        (edited('arrivals("event_time")', 'arrivals("event_time", key=("event",))'),
         "datasets.py:3: bronze.events: arrivals(key=('event',)) names the column 'event', which the contract has not; "
         "nearest: event_id"),
        (edited('arrivals("event_time")', 'arrivals("event_time", key=["payload", "event_time"])'),
         "datasets.py:3: bronze.events: arrivals(key=('payload', 'event_time')) has event_time, so versions of one "
         "thing could never name different days"),
        (edited('arrivals("event_time")', 'arrivals("event_time", key="event_id")'),
         "datasets.py:3: bronze.events: arrivals(key=('event_id',)) holds the whole primaryKey, of which Bronze takes "
         "one row, so nothing could have two versions"),
        (edited('arrivals("event_time")', 'arrivals("event_time", key=["amount"])') | {
            "contracts/bronze.events.yaml": contract(
                BRONZE_COLUMNS + "      - {name: amount, physicalType: BIGINT}\n")},
         "datasets.py:6: silver.events: keep chooses among the rows of one event_id, but rows of bronze.events are "
         "versions of one thing only if amount are equal too"),
        (edited('format="jsonl"', 'format="json"'),
         "datasets.py:3: bronze.events: format 'json' is none of jsonl, csv, parquet"),
        (edited('format="jsonl"', 'format="jsonl", ingested_at="payload"'),
         "datasets.py:3: bronze.events: ingested_at='payload' must be TIMESTAMPTZ in the contract; it is VARCHAR"),
        (edited('keep=("event_time",)', 'keep=("event_tme",)'),
         "datasets.py:6: keep names the column 'event_tme', which the contract has not; nearest: event_time"),
        (edited('json_payload("raw"', 'json_payload("row"'),
         "datasets.py:6: silver.events: json_payload('row') names no input; nearest: raw"),
        (edited('column="payload"', 'column="event_time"'),
         "datasets.py:6: silver.events: the payload column 'event_time' must be VARCHAR; it is TIMESTAMPTZ"),
        (edited('"amount": "BIGINT"', '"amount": "MONEY"'),
         "datasets.py:6: silver.events: the field amount is 'MONEY'; it must be one of BOOLEAN, INTEGER, BIGINT, "
         "DOUBLE, VARCHAR, DATE, TIMESTAMPTZ, DECIMAL(p,s)"),
        (edited('"VARCHAR?"}', '"VARCHAR?"}, rules={"big": "amnt > 1"}'),
         "datasets.py:6: silver.events: the rule 'big': 'amnt > 1' names the column 'amnt', which there is not; "
         "nearest: amount"),
        (edited('sql="sql/daily.sql"', 'sql="sql/daily.sql", metrics={"total": "amount"}'),
         "datasets.py:9: gold.daily: the metric total: 'amount' is no aggregate: it gives a value for every row"),
        (edited('inputs={"events":', 'inputs={"select":'),
         "datasets.py:9: gold.daily: 'select' cannot be the alias of an input"),
        (edited('inputs={"events": same("silver.events")}', "inputs={}"),
         "datasets.py:9: gold.daily reads nothing, so nothing says which partitions it has"),
        (edited('inputs={"events": same("silver.events")}', 'inputs={"events": "silver.events"}'),
         "datasets.py:9: TypeError: input 'events' must say which partitions it reads: same(...), trailing(...), ..."),
        (edited('gold("daily", partition=day("event_date")', 'gold("daily", partition="event_date"'),
         "datasets.py:9: TypeError: gold.daily: got 'event_date'; write partition=day(\"column\")"),
        ({"contracts/gold.daily.yaml": None},
         "datasets.py:9: gold.daily has no contract: contracts/gold.daily.yaml is missing"),
        ({"contracts/bronze.events.yaml": contract(BRONZE_COLUMNS.replace("primaryKey: true", "unique: true"))},
         "datasets.py:3: bronze.events has no key: without one, redelivered rows cannot be told from new ones"),
        ({"contracts/silver.events.yaml": contract(SILVER_COLUMNS.replace("primaryKey: true", "required: true"))},
         "datasets.py:6: keep says which row of a key wins, but the contract has no primaryKey"),
        ({"sql/daily.sql": "SELECT event_date, amount\nFROM event\n".encode("utf-16")},
         "sql/daily.sql:1: is UTF-16 or binary; project files are UTF-8"),
        ({"sql/daily.sql": "SELECT event_date,\n 'café' AS amount FROM events".encode("latin-1")},
         "sql/daily.sql:2: byte 0xe9 is not UTF-8 (Latin-1?); project files are UTF-8"),
        ({"contracts/gold.daily.yaml": contract(GOLD_COLUMNS).encode("utf-16-le")},
         "contracts/gold.daily.yaml:1: is UTF-16 or binary; project files are UTF-8"),
        ({"datasets.py": DATASETS + "\n1 / 0\n"}, "datasets.py:11: ZeroDivisionError: division by zero"),
        ({"datasets.py": DATASETS + "\ndef f(:\n"}, "datasets.py:11: invalid syntax"),
        ({"datasets.py": DATASETS + "\nimport sys; sys.exit(3)\n"}, "datasets.py:11: SystemExit: 3"),
    ],
)  # fmt: skip
def test_each_mistake_is_refused_with_its_place(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    shown = [f"{m.where}: {m.message}" for m in mistakes_of(write_project(tmp_path, changes))]

    assert expected in shown


def test_inputs_that_form_a_cycle_are_shown(tmp_path: Path) -> None:
    datasets = DATASETS.replace(
        'by_arrival("bronze.events")}, sql', 'by_arrival("bronze.events"), "d": same("gold.daily")}, sql'
    )
    sql = "SELECT event_id, event_time, raw.amount, d.event_date FROM raw, d"
    write_project(tmp_path, {"datasets.py": datasets, "sql/events.sql": sql})

    assert only_mistake(tmp_path).startswith("datasets.py:9: inputs form a cycle: ")


def test_one_name_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    again = (
        'gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")}, sql="sql/daily.sql")\n'
    )
    write_project(tmp_path, {"datasets.py": DATASETS + again})

    assert only_mistake(tmp_path) == "datasets.py:10: gold.daily is declared already (datasets.py:9)"


def test_names_that_differ_only_in_case_or_unicode_form_are_refused(tmp_path: Path) -> None:
    again = (
        'gold("DAILY", partition=day("event_date"), inputs={"events": same("silver.events")}, sql="sql/daily.sql")\n'
    )

    shown = [m.message for m in mistakes_of(write_project(tmp_path, {"datasets.py": DATASETS + again}))]

    assert "gold.DAILY differs from gold.daily only in case or Unicode form (datasets.py:9)" in shown


def test_a_bronze_dataset_cannot_have_a_transform(tmp_path: Path) -> None:
    datasets = DATASETS.replace("bronze(", "@bronze(", 1).replace(
        'format="jsonl"))\n', 'format="jsonl"))\ndef f():\n    return "SELECT 1"\n'
    )

    assert only_mistake(write_project(tmp_path, {"datasets.py": datasets})) == (
        "datasets.py:3: bronze.events has a transform; Bronze holds rows as they arrived"
    )


@pytest.mark.parametrize(("returned", "got"), [("None", "nothing"), ("(x for x in [])", "a generator"), ("1", "a int")])
def test_a_function_returns_sql_text_and_nothing_else(tmp_path: Path, returned: str, got: str) -> None:
    head = DATASETS.split("\ngold(")[0]
    tail = '\n@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")})\n'
    write_project(tmp_path, {"datasets.py": f"{head}{tail}def daily():\n    return {returned}\n"})

    expected = f"datasets.py:9: the function of gold.daily returned {got}; it returns SQL text"
    assert only_mistake(tmp_path) == expected


def test_mistakes_in_sql_of_a_function_are_placed_at_the_function(tmp_path: Path) -> None:
    head = DATASETS.split("\ngold(")[0]
    tail = '\n@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")})\n'
    body = 'def daily():\n    return """\n    SELECT event_date, random() AS amount\n    FROM events"""\n'
    write_project(tmp_path, {"datasets.py": head + tail + body})

    assert only_mistake(tmp_path) == "datasets.py:9: random() is random, so a replay would give another answer"


def test_all_mistakes_are_reported_at_once_and_sorted(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        {
            **edited('keep=("event_time",)', 'keep=("nix",)'),
            "contracts/gold.daily.yaml": contract(GOLD_COLUMNS.replace("primaryKey", "primryKey")),
            "sql/events.sql": "SELECT event_id, event_time, amount,\n  now() AS event_date\nFROM raw\n",
        },
    )

    assert [m.where for m in mistakes_of(tmp_path)] == [
        "contracts/gold.daily.yaml:9",
        "datasets.py:6",
        "sql/events.sql:2",
    ]


def test_bom_and_crlf_change_nothing(tmp_path: Path) -> None:
    before = load_project(write_project(tmp_path)).graph
    changed = {
        name: b"\xef\xbb\xbf" + (tmp_path / name).read_bytes().replace(b"\n", b"\r\n")
        for name in ("remint.toml", "datasets.py", "sql/daily.sql", "contracts/gold.daily.yaml")
    }

    assert load_project(write_project(tmp_path, changed)).graph.datasets == before.datasets


def test_a_contract_without_a_dataset_is_pointed_out(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path, {"contracts/gold.old.yaml": contract(GOLD_COLUMNS)}))

    assert project.warnings == ("contracts/gold.old.yaml: no dataset of this name is declared",)


VERSIONED = contract(GOLD_COLUMNS + "      - {name: v, physicalType: VARCHAR}\n")
BY_VALUE = contract("      - {name: tenant, physicalType: VARCHAR, primaryKey: true}\n")


def test_partitions_by_value_have_no_version_beside_them(tmp_path: Path) -> None:
    declared = """gold("by_tenant", partition=identity("tenant"), inputs={"days": all_of("gold.daily")},
     sql="sql/by_tenant.sql", version=logic_version(1, column="v"))"""
    files = {
        "datasets.py": f"from remint import all_of, identity, logic_version\n{DATASETS}\n{declared}\n",
        "contracts/gold.by_tenant.yaml": f"{BY_VALUE}      - {{name: v, physicalType: VARCHAR}}\n",
        "sql/by_tenant.sql": "SELECT DISTINCT 'a' AS tenant FROM days",
    }
    write_project(tmp_path, files)

    assert "gold.by_tenant: partitions by value cannot be cut by the version too" in [
        m.message for m in mistakes_of(tmp_path)
    ]


def test_a_logic_version_is_no_value_to_roll_up_by(tmp_path: Path) -> None:
    declared = """gold("kept", partition=day("event_date"), inputs={"days": same("gold.daily")}, sql="sql/kept.sql",
     version=logic_version(1, column="v"))
gold("by_tenant", partition=identity("tenant"), inputs={"days": roll_up("gold.kept")}, sql="sql/by_tenant.sql")"""
    files = {
        "datasets.py": f"from remint import identity, logic_version\n{DATASETS}\n{declared}\n",
        "contracts/gold.kept.yaml": VERSIONED,
        "contracts/gold.by_tenant.yaml": BY_VALUE,
        "sql/kept.sql": "SELECT event_date, amount FROM days",
        "sql/by_tenant.sql": "SELECT DISTINCT v AS tenant FROM days",
    }
    write_project(tmp_path, files)

    assert [m.message for m in mistakes_of(tmp_path)] == [
        "gold.by_tenant: roll_up(gold.kept) needs values there; v holds its logic version"
    ]
