"""The JSON schema of ``remint plan --json``: real plans are of it, and others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from remint.cli.main import cli
from tests.e2e.projects import built, day_at, event

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "plan-schema.json"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    loaded = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(loaded)
    return Draft202012Validator(loaded)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the command prints for plans of several kinds."""
    project = built(tmp_path_factory.mktemp("schema") / "p", days=5)

    def printed(*words: str) -> dict[str, Any]:
        result = CliRunner().invoke(cli, ["-C", str(project.root), "plan", *words, "--json"])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.output))

    found = {"empty": printed()}
    project.land("b", [event(900, 2)])
    project.ingest()
    found["data"] = printed()
    found["range"] = printed(
        "gold.daily+", "--range", day_at(3), "--rebuild", "--no-override-state", "--reason", "test"
    )
    project.set_factor(2)
    found["logic"] = printed()
    return found


@pytest.mark.parametrize("kind", ["empty", "data", "range", "logic"])
def test_what_the_command_prints_is_of_the_schema(
    schema: Draft202012Validator, documents: dict[str, dict[str, Any]], kind: str
) -> None:
    assert [e.message for e in schema.iter_errors(documents[kind])] == []


def test_the_plans_are_not_all_alike(documents: dict[str, dict[str, Any]]) -> None:
    causes = {k: {r["cause"] for a in d["plan"]["actions"] for r in a["reasons"]} for k, d in documents.items()}

    assert causes["empty"] == set()
    assert "data" in causes["data"]
    assert "request" in causes["range"]
    assert "logic" in causes["logic"]
    assert documents["logic"]["matrix"][0]["layers"]["bronze"] == {"decision": "no", "may": 0, "will": 0}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "remint.plan/2"),
        (("plan", "format"), "remint.plan/0"),
        (("plan", "extra"), 1),
        (("plan", "request", "mode"), "sideways"),
        (("plan", "fresh_units"), "many"),
        (("matrix",), None),
    ],
)
def test_what_is_no_plan_is_not_of_the_schema(
    schema: Draft202012Validator, documents: dict[str, dict[str, Any]], place: tuple[str, ...], value: Any
) -> None:
    wrong = json.loads(json.dumps(documents["data"]))
    holder = wrong
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value

    assert not schema.is_valid(wrong)


def test_a_missing_field_is_not_of_the_schema(
    schema: Draft202012Validator, documents: dict[str, dict[str, Any]]
) -> None:
    wrong = json.loads(json.dumps(documents["data"]))
    del wrong["plan"]["requirements"]

    assert not schema.is_valid(wrong)
