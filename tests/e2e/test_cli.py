"""The contract of the command line: help, JSON of a stable format, exit codes, and errors that say the next command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from tests.e2e import strangers
from tests.e2e.projects import Project, built, day_at, event, history, write_project
from tests.e2e.test_verify import narrow

COMMANDS = sorted(cli.commands)


@dataclass
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error of ``--json``."""
        assert self.json["format"] == "remint.error/1"
        return dict(self.json["error"])


Call = Callable[..., Answer]

KEPT = ("--no-override-state",)
"""What every backfill must say that leaves watermarks alone."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    def calling(project: Project | Path, *arguments: str) -> Answer:
        folder = project.root if isinstance(project, Project) else project
        monkeypatch.setattr(sys, "argv", ["remint", *arguments])
        result = CliRunner().invoke(cli, ["-C", str(folder), *arguments])
        return Answer(result.exit_code, result.stdout, result.stderr)

    return calling


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A built project with a stale gold.daily; shared, so only looked at."""
    project = built(tmp_path_factory.mktemp("cli") / "p", days=4)
    project.set_factor(2)
    return project


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_in_one_sentence_and_json(call: Call, example: Project, command: str) -> None:
    answer = call(example, command, "--help")

    assert answer.code == 0
    assert "--json" in answer.out
    assert cli.commands[command].get_short_help_str(200).rstrip(".")


READING = [
    (("status",), "remint.status/1"),
    (("plan",), "remint.plan/1"),
    (("runs",), "remint.runs/1"),
    (("show",), "remint.datasets/1"),
    (("show", "gold.daily"), "remint.dataset/1"),
    (("audit",), "remint.audit/1"),
    (("approvals",), "remint.approvals/1"),
    (("verify", "--sample", "1"), "remint.verify/1"),
    (("doctor",), "remint.doctor/1"),
    (("sql", "SELECT count(*) AS n FROM gold.daily"), "remint.sql/1"),
]


@pytest.mark.parametrize(("arguments", "form"), READING)
def test_the_json_of_a_command_names_its_format(
    call: Call, example: Project, arguments: tuple[str, ...], form: str
) -> None:
    answer = call(example, *arguments, "--json")

    assert answer.code == 0
    assert answer.json["format"] == form


@pytest.mark.parametrize(("arguments", "form"), READING)
def test_what_a_command_says_in_json_it_says_in_text_too(
    call: Call, example: Project, arguments: tuple[str, ...], form: str
) -> None:
    del form
    answer = call(example, *arguments)

    assert answer.code == 0
    assert answer.out.strip()


def test_a_whole_life_is_told_in_json(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "shop"

    assert call(tmp_path, "init", str(root), "--json").json["format"] == "remint.init/1"
    ingested = call(root, "ingest", "--json").json
    applied = call(root, "run", "--json").json
    run_id = applied["run"]["run_id"]
    compared = call(root, "diff", run_id, "--json").json
    shown = call(root, "show", run_id, "--json").json
    undone = call(root, "rollback", run_id, "--reason", "test", "--json").json

    assert (ingested["format"], ingested["rows_rejected"]) == ("remint.ingest/1", 1)
    assert (applied["format"], applied["run"]["state"]) == ("remint.run/1", "succeeded")
    assert compared["format"] == "remint.diff/1"
    assert (shown["format"], shown["run"]["run_id"]) == ("remint.run/1", run_id)
    assert (undone["format"], undone["run"]["of_run"]) == ("remint.rollback/1", run_id)


def test_every_text_command_of_a_whole_life_ends_well(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "shop"
    lines = [("init", str(root)), ("ingest",), ("ingest",), ("plan",), ("run",), ("run",), ("status",), ("runs",)]
    lines += [("show",), ("show", "silver.orders"), ("audit",), ("verify",), ("doctor", "--read-data")]
    lines += [("sql", "SELECT * FROM gold.revenue_daily ORDER BY order_date")]

    answers = [call(tmp_path if line[0] == "init" else root, *line) for line in lines]

    assert [(line, a.code, a.err) for line, a in zip(lines, answers, strict=True) if a.code or not a.out] == []


# -- exit codes --------------------------------------------------------------------------------------------------------


def test_pending_changes_exit_with_3_only_when_asked(call: Call, example: Project) -> None:
    assert call(example, "plan").code == 0
    assert call(example, "plan", "--detailed-exitcode").code == 3
    assert call(example, "plan", "silver.events", "--detailed-exitcode").code == 0


def test_a_failed_check_exits_with_5_and_status_shows_what_is_outstanding(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.land("b", [event(900, 1, -5)])
    call(project, "ingest")

    answer = call(project, "run", "--json")

    assert answer.code == 5
    assert (answer.error["code"], answer.error["exit_code"]) == ("RM401", 5)
    outstanding = call(project, "status", "--json").json["outstanding"]
    assert [r["state"] for r in outstanding] == ["failed"]
    assert outstanding[0]["run_id"] in call(project, "status").out
    assert outstanding[0]["run_id"] in answer.error["hint"]


def test_an_outdated_plan_exits_with_6(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.set_factor(2)
    plan_id = call(project, "plan", "--json").json["plan"]["plan_id"]
    assert call(project, "run", "gold.daily").code == 0

    answer = call(project, "apply", plan_id, "--json")

    assert (answer.code, answer.error["code"]) == (6, "RM301")


def test_a_plan_applied_twice_exits_with_6(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.set_factor(2)
    plan_id = call(project, "plan", "--json").json["plan"]["plan_id"]
    assert call(project, "apply", plan_id).code == 0

    answer = call(project, "apply", plan_id)

    assert answer.code == 6
    assert "error RM302" in answer.err
    assert "next: " in answer.err


def test_changed_bronze_exits_with_6(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    strangers.append(project, "bronze.events", like="2026-11-02")

    assert call(project, "plan", "--json").error["code"] == "RM303"
    assert call(project, "status").code == 0


def test_a_difference_found_by_verify_exits_with_1(call: Call, tmp_path: Path) -> None:
    project = narrow(tmp_path)

    answer = call(project, "verify", "gold.trend", "--sample", "9", "--json")

    assert answer.code == 1
    assert answer.json["different"] >= 1


# -- wrong usage -------------------------------------------------------------------------------------------------------

BAD_RANGES = [
    ("2023-02-29", "calendar"),
    ("2024-13-01", "calendar"),
    ("01/02/2024", "YYYY-MM-DD"),
    ("2024-2-3", "YYYY-MM-DD"),
    ("2026-09-22..2026-09-20", "backwards"),
    ("..2026-09-20", "bound"),
    ("0000-01-01", "calendar"),
    ("10000-01-01", "YYYY-MM-DD"),
    ("infinity", "YYYY-MM-DD"),
    ("1850-01-01", "years"),
    ("2020-01-01..2020-01-31", "0 partitions"),
    ("2030-01-01", "--allow-future"),
]


@pytest.mark.parametrize(("typed", "said"), BAD_RANGES)
def test_a_range_that_cannot_be_meant_is_refused(call: Call, example: Project, typed: str, said: str) -> None:
    """Items 1 to 6, 8 and 9 of the catalogue of bad input."""
    answer = call(example, "plan", "--range", typed, "--reason", "test", *KEPT, "--json")

    assert (answer.code, answer.error["code"]) == (2, "RM101")
    assert said in f"{answer.error['message']} {answer.error['hint']}"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--lookback", "48h", "--range", "2026-10-01"), "--range and --lookback both say which partitions"),
        (("--lookback", "0h"), "a lookback must have a length"),
        (("--lookback", "2w"), "'2w' is no length of time"),
        (("--lookback", "1h"), "names 0 partitions"),
    ],
)
def test_a_lookback_that_cannot_be_meant_is_refused(
    call: Call, example: Project, typed: tuple[str, ...], said: str
) -> None:
    answer = call(example, "plan", *typed, "--rebuild", *KEPT, "--reason", "test")

    assert answer.code == 2
    assert said in answer.err


def test_a_future_range_is_planned_when_it_is_meant(call: Call, tmp_path: Path) -> None:
    """Item 8."""
    project = write_project(tmp_path)
    project.land("a", [event(1, 4000), event(2, 1)])
    project.ingest()

    refused = call(project, "plan", "--range", day_at(4000), "--reason", "test", *KEPT)
    meant = call(project, "plan", "--range", day_at(4000), "--reason", "test", *KEPT, "--allow-future", "--json")

    assert refused.code == 2
    assert meant.json["plan"]["actions"][0]["partitions"] == [f"{day_at(4000)}..{day_at(4000)}"]


def test_recomputing_the_whole_history_must_be_meant(call: Call, example: Project) -> None:
    """Item 7."""
    rebuild = ("plan", "silver.events", "--rebuild", "--reason", "test", *KEPT, "--json")

    refused = call(example, *rebuild)
    meant = call(example, *rebuild, "--all")

    assert refused.code != 0
    assert "--all" in refused.error["hint"]
    assert "8 partitions" in refused.error["message"]
    assert meant.json["plan"]["actions"][0]["units"] == 4


def test_both_ends_of_a_range_are_included_and_echoed_half_open(call: Call, example: Project) -> None:
    typed = f"{day_at(1)}..{day_at(2)}"

    answer = call(example, "plan", "gold.daily", "--range", typed, "--reason", "test", *KEPT, "--json")

    plan = answer.json["plan"]
    assert plan["request"]["range"] == {"start": day_at(1), "end": day_at(3)}
    assert plan["actions"][0]["partitions"] == [typed]
    assert f"[{day_at(1)}, {day_at(3)})" in call(example, *answer_text(typed)).out


def answer_text(typed: str) -> tuple[str, ...]:
    return ("plan", "gold.daily", "--range", typed, "--reason", "test", *KEPT)


SELECTORS = [
    (("gold.daily",), {"gold.daily"}),
    (("daily",), {"gold.daily"}),
    (("layer:gold",), {"gold.daily", "gold.trend", "gold.monthly"}),
    (("gold.daily+",), {"gold.daily", "gold.trend", "gold.monthly"}),
    (("gold.trend",), {"gold.trend"}),
    (("+gold.trend",), {"silver.events", "gold.daily", "gold.trend"}),
    (("gold.trend", "gold.monthly"), {"gold.trend", "gold.monthly"}),
]


@pytest.mark.parametrize(("selectors", "names"), SELECTORS)
def test_selectors_name_what_is_planned(
    call: Call, example: Project, selectors: tuple[str, ...], names: set[str]
) -> None:
    answer = call(example, "plan", *selectors, "--rebuild", "--all", "--reason", "test", *KEPT, "--json")

    assert {a["dataset"] for a in answer.json["plan"]["actions"]} - {"silver.events_quarantine"} == names


@pytest.mark.parametrize("arguments", [("plan",), ("show",), ("status",), ("verify",), ("ingest",)])
def test_an_unknown_dataset_is_answered_with_the_nearest_names(
    call: Call, example: Project, arguments: tuple[str, ...]
) -> None:
    """Item 24."""
    answer = call(example, *arguments, "gold.dayly", "--json")

    assert (answer.code, answer.error["code"]) == (2, "RM103")
    assert "gold.daily" in f"{answer.error['message']} {answer.error['hint']}"


def test_a_backfill_needs_a_reason(call: Call, example: Project) -> None:
    answer = call(example, "plan", "--range", day_at(1), "--json")

    assert answer.code == 2
    assert "--reason" in answer.error["hint"]


def test_words_that_are_no_text_are_wrong_usage(example: Project) -> None:
    before = example.versions()
    command = [sys.executable, "-m", "remint", "-C", str(example.root), "run", "--reason", b"caf\xe9"]

    done = subprocess.run(command, capture_output=True, check=False)

    assert done.returncode == 2
    assert b"error RM100: the argument 'caf?' holds bytes that are not UTF-8" in done.stderr
    assert example.versions() == before


@pytest.mark.parametrize("command", ["apply", "approve", "resume", "rollback", "show", "diff"])
def test_an_unknown_run_or_plan_is_wrong_usage(call: Call, example: Project, command: str) -> None:
    name = "p-0000" if command in {"apply", "approve"} else "r-0000"
    reason = ("--reason", "test") if command in {"approve", "rollback"} else ()

    answer = call(example, command, name, *reason, "--json")

    assert answer.code == 2
    assert name in answer.error["message"]


@pytest.mark.parametrize(
    "query", ["DELETE FROM gold.daily", "SELECT 1; SELECT 2", "COPY gold.daily TO 'x.csv'", "SELECT * FROM nowhere", ""]
)
def test_sql_runs_one_select_and_nothing_else(call: Call, example: Project, query: str) -> None:
    answer = call(example, "sql", query, "--json")

    assert (answer.code, answer.error["code"]) == (2, "RM106")


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd"])
def test_sql_reads_no_file_outside_of_the_project(call: Call, example: Project, path: str) -> None:
    answer = call(example, "sql", f"SELECT * FROM read_text('{path}')", "--json")

    assert answer.code == 2
    assert "root:" not in answer.out


def test_all_mistakes_of_a_project_are_told_at_once(call: Call, tmp_path: Path) -> None:
    project = write_project(tmp_path, {"sql/monthly.sql": "SELEC 1", "contracts/gold.trend.yaml": None})
    project.edit("datasets.py", 'same("silver.events")', 'same("silver.evens")')

    answer = call(project, "status", "--json")

    assert (answer.code, answer.error["code"]) == (2, "RM200")
    assert len(answer.error["mistakes"]) >= 3
    assert {m["file"] for m in answer.error["mistakes"]} >= {"sql/monthly.sql", "datasets.py"}


def test_outside_of_a_project_the_error_says_how_to_make_one(call: Call, tmp_path: Path) -> None:
    answer = call(tmp_path, "status", "--json")

    assert answer.code == 2
    assert "remint init" in answer.error["hint"]


def test_an_error_in_text_goes_to_stderr_with_what_is_left_behind_and_the_next_command(
    call: Call, example: Project
) -> None:
    answer = call(example, "plan", "gold.dayly")

    assert answer.out == ""
    assert answer.err.startswith("error RM103: ")
    assert "left behind: nothing changed" in answer.err


def test_a_sql_answer_shows_the_published_rows(call: Call, example: Project) -> None:
    query = "SELECT event_date, tenant, amount FROM gold.daily ORDER BY ALL"

    answer = call(example, "sql", query, "--json")

    expected = [[r[0], r[1], r[3]] for r in example.rows("gold.daily")]
    assert answer.json["rows"] == expected
    assert answer.json["truncated"] is False


def test_sql_as_of_a_run_reads_what_was_published_then(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    first = project.open().store.runs(1)[0].run_id
    before = project.rows("gold.daily")
    project.set_factor(5)
    project.run()
    query = "SELECT sum(amount) FROM gold.daily"

    then, now = call(project, "sql", query, "--as-of", first, "--json"), call(project, "sql", query, "--json")

    assert int(then.json["rows"][0][0]) == sum(r[3] for r in before)
    assert int(now.json["rows"][0][0]) == 5 * sum(r[3] for r in before)


def test_diff_reports_the_rows_and_metrics_that_a_run_changed(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=10, each=1)
    project.set_factor(2)
    run = project.run("gold.daily+", span=day_at(4))

    found = {d["dataset"]: d for d in call(project, "diff", run.run_id, "--json").json["datasets"]}

    assert found["gold.daily"]["differing"] == [f"{day_at(4)}..{day_at(4)}"]
    assert found["gold.daily"]["comparison"]["changed"] == 1
    assert found["gold.daily"]["comparison"]["changed_columns"] == {"amount": 1}
    change = found["gold.trend"]["metrics"][0]
    assert int(change["after"]) > int(change["before"])


def test_the_audit_log_says_who_did_what_why_and_to_which_days(call: Call, tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.set_factor(2)
    span = f"{day_at(0)}..{day_at(1)}"
    call(project, "run", "gold.daily", "--range", span, "--reason", "new prices", "--trigger", "rule_change", *KEPT)

    entry = call(project, "audit", "--limit", "1", "--json").json["entries"][0]["entry"]

    assert (entry["status"], entry["reason"], entry["trigger"]) == ("success", "new prices", "rule_change")
    assert (entry["affected_start"], entry["affected_end"]) == (day_at(0), day_at(2))
    assert (entry["layer"], entry["mode"], entry["override_state"]) == ("gold", "backfill", False)


def test_a_backfill_moves_no_watermark_unless_it_is_forced(call: Call, tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", history(3))
    project.ingest()
    span = ("--range", f"{day_at(0)}..{day_at(2)}", "--reason", "test")

    call(project, "run", "silver.events", *span, *KEPT)
    silent = project.open().store.watermarks()
    forced = ("gold.daily", *span, "--type", "forced", "--override-state")
    plan_id = call(project, "plan", *forced, "--json").json["plan"]["plan_id"]
    call(project, "approve", plan_id, "--as", "a second person", "--reason", "agreed")
    call(project, "apply", plan_id)

    assert silent == {}
    assert project.open().store.watermarks()["gold.daily"] == day_at(2)


# -- what a command costs to start -------------------------------------------------------------------------------------

HEAVY = ("duckdb", "deltalake", "pyarrow", "sqlalchemy", "sqlglot", "pandas", "rich", "yaml", "pydantic")


def loaded(code: str) -> set[str]:
    """Return which heavy libraries a fresh interpreter has loaded after ``code``."""
    script = f"import sys, contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}\n"
    script += f"print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_remint_loads_no_heavy_library() -> None:
    assert loaded("import remint") == set()


def test_help_loads_no_heavy_library() -> None:
    code = "from remint.cli.main import cli; cli(['--help'], standalone_mode=False)"

    assert loaded(code) == set()


@pytest.mark.slow
def test_status_of_an_unchanged_project_loads_neither_engine_nor_parsers(example: Project) -> None:
    code = f"from remint.cli.main import cli; cli(['-C', {str(example.root)!r}, 'status'], standalone_mode=False)"
    loaded(code)

    assert loaded(code) & {"duckdb", "sqlglot", "pydantic", "yaml"} == set()


@pytest.mark.slow
def test_the_installed_command_runs(tmp_path: Path) -> None:
    def remint(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "remint", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert remint("init", "shop").returncode == 0
    assert remint("-C", "shop", "ingest").returncode == 0
    done = remint("-C", "shop", "run", "--json")
    assert json.loads(done.stdout)["run"]["state"] == "succeeded"
    refused = remint("-C", "shop", "plan", "nothing", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["format"]) == (2, "remint.error/1")
