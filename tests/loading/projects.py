"""Small projects for tests: a working one, and what it takes to break one part of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.project import load_project

DATASETS = """\
from remint import arrivals, bronze, by_arrival, day, files, gold, json_payload, month, roll_up, same, silver, trailing

bronze("events", partition=day("ingestion_date"), arrivals=arrivals("event_time"),
       source=files("landing/*.jsonl", format="jsonl"))

silver("events", partition=day("event_date"), inputs={"raw": by_arrival("bronze.events")}, sql="sql/events.sql",
       keep=("event_time",), parse=json_payload("raw", column="payload", fields={"amount": "BIGINT", "n": "VARCHAR?"}))

gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")}, sql="sql/daily.sql")
"""

BRONZE_COLUMNS = """\
      - {name: event_id, physicalType: VARCHAR, primaryKey: true, primaryKeyPosition: 1}
      - {name: event_time, physicalType: TIMESTAMPTZ, required: true}
      - {name: payload, physicalType: VARCHAR}
      - {name: ingestion_date, physicalType: DATE}
"""
SILVER_COLUMNS = """\
      - {name: event_id, physicalType: VARCHAR, primaryKey: true}
      - {name: event_time, physicalType: TIMESTAMPTZ}
      - {name: amount, physicalType: BIGINT}
      - {name: event_date, physicalType: DATE}
"""
GOLD_COLUMNS = """\
      - {name: event_date, physicalType: DATE, primaryKey: true}
      - {name: amount, physicalType: BIGINT}
"""


def contract(columns: str, more: str = "") -> str:
    """Return a contract whose columns begin on line 9."""
    return (
        "apiVersion: v3.1.0\nkind: DataContract\nid: a-contract\nversion: 1.0.0\nstatus: active\n"
        f"schema:\n  - name: a_table\n    properties:\n{columns}{more}"
    )


FILES: Mapping[str, str] = {
    "remint.toml": '[project]\nname = "events"\n',
    "datasets.py": DATASETS,
    "contracts/bronze.events.yaml": contract(BRONZE_COLUMNS),
    "contracts/silver.events.yaml": contract(SILVER_COLUMNS),
    "contracts/gold.daily.yaml": contract(GOLD_COLUMNS),
    "sql/events.sql": "SELECT event_id, event_time, amount,\n  CAST(event_time AS DATE) AS event_date\nFROM raw\n",
    "sql/daily.sql": "SELECT event_date, CAST(sum(amount) AS BIGINT) AS amount\nFROM events\nGROUP BY event_date\n",
}


def write_project(root: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """Write the working project with some files changed; None leaves a file out."""
    for name, content in {**FILES, **(changes or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def mistakes_of(root: Path) -> list[ProjectError]:
    """Return the mistakes for which the project is refused."""
    with pytest.raises(ProjectInvalid) as raised:
        load_project(root)
    return list(raised.value.mistakes)


def only_mistake(root: Path) -> str:
    """Return the one mistake of the project as ``file:line: message``."""
    mistakes = mistakes_of(root)
    assert len(mistakes) == 1, [f"{m.where}: {m.message}" for m in mistakes]
    return f"{mistakes[0].where}: {mistakes[0].message}"
