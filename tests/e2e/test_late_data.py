"""Late rows in a long history: a plan names their days and what reads them, and not one partition more."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from remint.model.plan import Plan
from tests.e2e.projects import FILES, Project, contract, write_project
from tests.proof import proof, size

pytestmark = [pytest.mark.slow, proof]

DAYS = size(1100, 3650)
WINDOW = 27
MOVED = DAYS - 650
FIRST = date(2016, 10, 1)
DATASETS = f"""\
from remint import arrivals, bronze, by_arrival, day, files, gold, silver, trailing

bronze("visits", partition=day("ingestion_date"), arrivals=arrivals("seen_at", key=("visit",)),
       source=files("landing/*.jsonl", format="jsonl", ingested_at="ingested_at"))

silver("visits", partition=day("day"), inputs={{"raw": by_arrival("bronze.visits")}}, sql="sql/visits.sql",
       keep=("updated_at",))


@gold("rolling", partition=day("day"), inputs={{"visits": trailing("silver.visits", before={WINDOW})}})
def rolling() -> str:
    return '''
        SELECT day, CAST(sum(count(*)) OVER (
            ORDER BY day RANGE BETWEEN INTERVAL {WINDOW} DAYS PRECEDING AND CURRENT ROW) AS BIGINT) AS visits
        FROM visits GROUP BY day
    '''
"""


def key_at(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def visit(name: str, number: int, version: int = 0) -> str:
    at = datetime.fromisoformat(key_at(number)).replace(hour=5, tzinfo=UTC)
    updated = at if not version else datetime(2026, 10, 1, version, tzinfo=UTC)
    return json.dumps({"visit": name, "updated_at": updated.isoformat(), "seen_at": at.isoformat()})


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Project:
    changes: dict[str, str | None] = dict.fromkeys(FILES)
    changes |= {
        "remint.toml": FILES["remint.toml"],
        "datasets.py": DATASETS,
        "sql/visits.sql": "SELECT visit, updated_at, CAST(seen_at AS DATE) AS day FROM raw",
        "contracts/bronze.visits.yaml": contract(
            "visit VARCHAR *\nupdated_at TIMESTAMPTZ *\nseen_at TIMESTAMPTZ\n"
            "ingested_at TIMESTAMPTZ\ningestion_date DATE"
        ),
        "contracts/silver.visits.yaml": contract("visit VARCHAR *\nupdated_at TIMESTAMPTZ\nday DATE"),
        "contracts/gold.rolling.yaml": contract("day DATE *\nvisits BIGINT"),
    }
    project = write_project(tmp_path_factory.mktemp("years"), changes)
    project.land("history", [visit(f"v-{n}", n) for n in range(DAYS)])
    project.ingest()
    project.run()
    assert len(digests(project, "gold.rolling")) == DAYS
    return project


def units(plan: Plan) -> dict[str, set[str]]:
    """Return what will or may run."""
    planned = [*plan.action_units(certain=True).items(), *plan.action_units(certain=False).items()]
    assert len(planned) == len(dict(planned)), "a dataset both will and may run"
    return {name: set(keys) for name, keys in planned}


def digests(project: Project, name: str) -> dict[str, str]:
    return {key: head.digest for key, head in project.open().store.heads([name])[name].items()}


def cone(*numbers: int) -> set[str]:
    return {key_at(d) for n in numbers for d in range(n, min(n + WINDOW + 1, DAYS))}


def test_three_late_rows_in_years_plan_their_days_and_their_cone(years: Project) -> None:
    late = (100, DAYS // 2, DAYS - 5)
    years.land("late", [visit(f"late-{n}", n) for n in late])
    years.ingest()

    plan = years.plan()
    assert units(plan) == {"silver.visits": {key_at(n) for n in late}, "gold.rolling": cone(*late)}

    years.apply(plan)
    assert years.plan().is_empty


def test_a_visit_that_moves_over_years_plans_both_days_and_their_cones(years: Project) -> None:
    years.land("moved", [visit("v-7", MOVED, version=1)])
    years.ingest()

    plan = years.plan()
    assert units(plan) == {"silver.visits": {key_at(7), key_at(MOVED)}, "gold.rolling": cone(7, MOVED)}

    years.apply(plan)
    assert years.plan().is_empty
    assert digests(years, "silver.visits")[key_at(7)].split(":")[1] == "0"
