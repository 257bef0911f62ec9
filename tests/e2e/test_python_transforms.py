"""A dataset that a Python function makes, through its life: built, late, edited, refused, raised, proved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import ChecksFailed, PythonChanged, SchemaMismatch, TransformFailed, VersionNotRaised
from tests.e2e.projects import DATASETS, FIRST_DAY, Project, contract, day_at, event, history, write_project

DAILY_SQL = DATASETS[DATASETS.index('@gold("daily"') : DATASETS.index('@gold("trend"')]
TREND_SQL = DATASETS[DATASETS.index('@gold("trend"') : DATASETS.index('gold("monthly"')]
DAILY = '''\
@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")}, version=VERSION)
def daily(events: pa.Table) -> pa.Table:
    """Events and amounts by day and tenant."""
    found = totals(events)
    return found.set_column(3, "amount", pc.multiply(found["amount"], FACTOR))


'''
TREND = """\
@gold("trend", partition=day("event_date"), inputs={"days": trailing("gold.daily", before=WINDOW)}, version=1)
def trend(days):
    from datetime import timedelta

    amounts = {(row["event_date"], row["tenant"]): row["amount"] for row in days.to_pylist()}
    rows = []
    for at, tenant in amounts:
        span = [at - timedelta(days=n) for n in range(WINDOW + 1)]
        rows.append({"event_date": at, "tenant": tenant, "week": sum(amounts.get((d, tenant), 0) for d in span)})
    return pa.Table.from_pylist(rows, days.schema.empty_table().select([0, 1]).schema.append(pa.field("week", "int64")))


"""
SUMMING = """\
import pyarrow.compute as pc

NAMES = ["event_date", "tenant", "events", "amount"]


def totals(events):
    found = events.group_by(["event_date", "tenant"]).aggregate([("event_id", "count"), ("amount", "sum")])
    return found.rename_columns(NAMES)
"""
HEAD = "import pyarrow as pa\nimport pyarrow.compute as pc\nfrom summing import totals\n"
PYTHON = HEAD + DATASETS.replace(DAILY_SQL, DAILY).replace(TREND_SQL, TREND)
FILES = {"datasets.py": PYTHON, "summing.py": SUMMING}
DAYS = 5


@pytest.fixture
def project(tmp_path: Path) -> Project:
    assert DAILY in PYTHON
    assert TREND in PYTHON
    made = write_project(tmp_path / "p", FILES)
    made.land("history", history(DAYS))
    made.ingest()
    made.run()
    return made


def edit(project: Project, file: str, old: str, new: str) -> None:
    """Replace text in a file of the project, and raise no version."""
    path = project.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def planned(project: Project) -> dict[str, list[str]]:
    return {name: list(keys) for name, keys in project.plan().action_units(certain=True).items()}


def is_right(project: Project) -> bool:
    return project.tables() == project.expected()


def proofs(project: Project) -> set[tuple[str, str]]:
    return {(v.dataset, str(v.proof)) for v in project.open().verify(("gold.daily", "gold.trend"), size=DAYS)}


PROVEN = {("gold.daily", "proven"), ("gold.trend", "proven")}


def test_functions_make_what_sql_makes_and_are_proved_by_running_again(project: Project) -> None:
    assert is_right(project)
    assert project.stale() == {}
    assert proofs(project) == PROVEN


def test_late_rows_are_made_again_and_nothing_else(project: Project) -> None:
    project.land("late", [event(900, 1, 7)])
    project.ingest()
    plan = project.plan()

    run = project.apply(plan)

    assert is_right(project)
    assert plan.action_units(certain=True)["silver.events"].describe() == day_at(1)
    assert project.records_of(run)["gold.daily"] == 1
    assert proofs(project) == PROVEN


def test_an_edit_of_form_alone_plans_nothing(project: Project) -> None:
    """Comments, docstrings, annotations, layout and the spelling of a constant are no meaning."""
    edit(project, "datasets.py", '"""Events and amounts by day and tenant."""', '"""Per day."""  # and tenant')
    edit(project, "datasets.py", "def daily(events: pa.Table) -> pa.Table:", "def daily(\n    events,\n):")
    edit(project, "summing.py", '"events", "amount"]', '"events"] + ["amount"]')
    edit(project, "summing.py", "def totals(events):", "# sums\n\n\ndef totals(events) -> object:")

    assert planned(project) == {}
    assert project.stale() == {}


def test_an_edit_that_gives_the_same_rows_makes_one_dataset_again(project: Project) -> None:
    """Early cutoff: what reads it is left alone, because its content came out the same."""
    before = project.digests()
    trend = project.delta("gold.trend").version()
    project.edit("summing.py", "    return found.rename_columns(NAMES)", "    return found.rename_columns(list(NAMES))")
    # The version stands for all logic of the project; the others did not change theirs.
    run = project.run()

    assert project.records_of(run) == {"gold.daily": DAYS}
    assert project.delta("gold.trend").version() == trend
    assert project.digests() == before
    assert project.stale() == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("datasets.py", "FACTOR = 1\n", "FACTOR = 2\n", "changes FACTOR"),
        ("datasets.py", "found = totals(events)", "found = totals(events.slice(0))", "changes daily()"),
        ("summing.py", '("event_id", "count")', '("tenant", "count")', "changes totals()"),
    ],
)
def test_a_change_of_what_it_reaches_is_refused_until_the_version_is_raised(
    project: Project, file: str, old: str, new: str, words: str
) -> None:
    edit(project, file, old, new)

    with pytest.raises(VersionNotRaised) as raised:
        project.plan()

    assert f"v1 -> v2? {words}; read by gold.monthly, gold.trend" in raised.value.message


def test_a_raised_version_makes_it_again_with_the_new_code(project: Project) -> None:
    project.set_factor(3)

    assert planned(project) == {"gold.daily": [day_at(n) for n in range(DAYS)]}
    project.run()

    assert is_right(project)
    assert proofs(project) == PROVEN


def test_a_plan_is_refused_when_the_code_is_not_what_was_planned(project: Project) -> None:
    """A plan holds the digest of a function, not the function."""
    project.set_factor(3)
    plan = project.plan()
    before = project.fingerprint()
    edit(project, "datasets.py", "FACTOR = 3\n", "FACTOR = 4\n")

    with pytest.raises(PythonChanged) as raised:
        project.apply(plan)

    assert raised.value.message == "the Python of gold.daily is not what was planned: changes FACTOR"
    assert raised.value.exit_code == 6
    assert project.fingerprint() == before
    assert project.outstanding() == []
    edit(project, "datasets.py", "FACTOR = 4\n", "FACTOR = 3\n")
    project.apply(plan)
    assert is_right(project)


def test_a_run_that_stopped_is_not_resumed_with_other_code(project: Project) -> None:
    project.land("late", [event(900, 1, -7)])
    project.ingest()
    with pytest.raises(ChecksFailed):
        project.run()
    stopped = project.outstanding()[0].run_id
    edit(project, "datasets.py", "FACTOR = 1\n", "FACTOR = 2\n")

    with pytest.raises(PythonChanged, match="changes FACTOR"):
        project.open().resume(stopped)

    edit(project, "datasets.py", "FACTOR = 2\n", "FACTOR = 1\n")
    with pytest.raises(ChecksFailed):
        project.open().resume(stopped)


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ('raise ValueError("no rate for t1")', TransformFailed, "gold.daily: summing.py:8: ValueError: no rate for t1"),
        ("raise SystemExit(0)", TransformFailed, "gold.daily: summing.py:8: SystemExit: 0"),
        (
            'return found.append_column("more", found["tenant"]).rename_columns([*NAMES, "more"])',
            SchemaMismatch,
            "more: not in",
        ),
    ],
)
def test_a_function_that_fails_changes_no_table_and_the_run_can_be_given_up(
    project: Project, line: str, error: type[Exception], says: str
) -> None:
    before = project.fingerprint()
    edit(project, "summing.py", "    return found.rename", f"    {line}\n    return found.rename")
    edit(project, "datasets.py", "VERSION = 1\n", "VERSION = 2\n")

    with pytest.raises(error, match=says):
        project.run()

    assert project.fingerprint() == before
    project.give_up()
    assert project.fingerprint() == before


def test_a_function_that_is_not_determined_by_its_inputs_is_found_by_verify(project: Project) -> None:
    edit(project, "datasets.py", "FACTOR = 1\n", "import random\nFACTOR = 1\n")
    edit(project, "datasets.py", 'pc.multiply(found["amount"], FACTOR)', "random.sample(range(10**9), found.num_rows)")
    edit(project, "datasets.py", "version=VERSION)\ndef daily", 'version=2, allow=("random",))\ndef daily')
    edit(project, "datasets.py", 'found.set_column(3, "amount", ', 'found.set_column(3, "amount", pa.array(')
    edit(project, "datasets.py", "found.num_rows))", "found.num_rows), pa.int64()))")

    project.run()

    assert ("gold.daily", "different") in proofs(project)


SCORES = """\
from remint import bronze, day, files, gold, same, silver, arrivals, by_arrival, json_payload
import pyarrow as pa

bronze("visits", partition=day("ingestion_date"), arrivals=arrivals("at"),
       source=files("landing/*.jsonl", format="jsonl", ingested_at="ingested_at"))


@silver("visits", partition=day("day"), inputs={"raw": by_arrival("bronze.visits")}, keep=("at",),
        parse=json_payload("raw", column="body", fields={"page": "VARCHAR", "ms": "DOUBLE"}))
def visits(raw):
    return pa.table({
        "visit": raw["visit"], "at": raw["at"], "page": raw["page"], "ms": raw["ms"],
        "day": raw["at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False),
    })


@gold("mean", partition=day("day"), inputs={"visits": same("silver.visits")})
def mean(visits):
    return visits.group_by("day").aggregate([("ms", "sum")]).rename_columns(["day", "ms"])
"""


def visit(number: int, day: int, body: dict[str, Any]) -> str:
    at = f"{FIRST_DAY.replace(day=FIRST_DAY.day + day).isoformat()}T05:00:{number % 60:02}Z"
    return json.dumps({"visit": f"v-{number % 50}", "at": at, "body": json.dumps(body)})


Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    def calling(root: Path, *arguments: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["remint", *arguments])
        result = CliRunner().invoke(cli, ["-C", str(root), *arguments, "--json"])
        return result.exit_code, json.loads(result.stdout)

    return calling


def test_payloads_are_parsed_and_rejected_rows_kept_as_with_sql(tmp_path: Path, call: Call) -> None:
    """By the command line: what functions print must not be in its JSON."""
    root = write_project(
        tmp_path / "p",
        {
            "datasets.py": SCORES.replace(
                "    return visits.group_by", '    print("one day")\n    return visits.group_by'
            ),
            "contracts/bronze.visits.yaml": contract(
                "visit VARCHAR *\nat TIMESTAMPTZ *\nbody VARCHAR\ningested_at TIMESTAMPTZ\ningestion_date DATE"
            ),
            "contracts/silver.visits.yaml": contract(
                "visit VARCHAR *\nat TIMESTAMPTZ\npage VARCHAR\nms DOUBLE\nday DATE"
            ),
            "contracts/gold.mean.yaml": contract("day DATE *\nms DOUBLE"),
        },
    ).root
    lines = [visit(n, n % 3, {"page": "a", "ms": 0.1 * n}) for n in range(200)] + [visit(931, 0, {"page": "b"})]
    (root / "landing").mkdir()
    (root / "landing/one.jsonl").write_text("".join(f"{line}\n" for line in lines))

    assert call(root, "ingest", "--reason", "first")[0] == 0
    _, plan = call(root, "plan")
    assert call(root, "apply", plan["plan"]["plan_id"])[0] == 0

    code, counted = call(root, "sql", "SELECT count(*) AS n FROM silver.visits_quarantine")
    assert (code, counted["rows"]) == (0, [[1]])
    code, verified = call(root, "verify")
    assert code == 0
    assert {unit["proof"] for unit in verified["units"]} == {"proven"}
