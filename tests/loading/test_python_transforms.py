"""Functions with parameters: how they take their inputs, what is a change of their logic, and how they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from remint.errors import PythonChanged, TransformFailed
from remint.loading.logic_history import logic_changes
from remint.loading.project import Project, load_project
from remint.loading.project_modules import frame_of
from remint.model.dataset import Logic, Transform
from remint.model.observation import LogicChange
from remint.model.provenance import LogicRecord
from tests.loading.projects import DATASETS, FILES, mistakes_of, only_mistake, write_project

SQL = 'gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")}, sql="sql/daily.sql")\n'
FUNCTION = '''\
import rates
from rates import rate

LIMIT = 3


def capped(n: int) -> int:
    return min(n, LIMIT)


@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")})
def daily(events):
    """Amounts by day."""
    return [capped(n) * rate() + rates.BONUS for n in events]
'''
RATES = "BONUS = 1\nCHARGE = 2\n\n\ndef rate():\n    return CHARGE\n"


def write(root: Path, function: str = FUNCTION, rates: str = RATES) -> Path:
    assert SQL in DATASETS
    return write_project(root, {"datasets.py": DATASETS.replace(SQL, function), "rates.py": rates})


def load(root: Path, function: str = FUNCTION, rates: str = RATES) -> Project:
    return load_project(write(root, function, rates))


def made_by(project: Project) -> Transform:
    transform = project.graph["gold.daily"].transform
    assert transform is not None
    return transform


def published(logic: Logic) -> LogicRecord:
    return LogicRecord(
        dataset="gold.daily",
        number=1,
        digest=logic.digest,
        sql=logic.canonical,
        canonicaliser=logic.canonicaliser,
        old="replace",
        recorded_at="2026-10-14T00:00:00Z",
        run_id="r-1",
    )


def signature(parameters: str, more: str = "") -> str:
    return FUNCTION.replace("def daily(events):", f"{more}def daily({parameters}):")


def test_a_function_with_parameters_is_the_transform_itself(tmp_path: Path) -> None:
    project = load(tmp_path)
    daily = project.graph["gold.daily"]

    transform = made_by(project)
    assert (transform.sql, transform.function) == ("", "datasets.py:daily")
    assert transform.logic.canonicaliser == f"python-ast {sys.version_info.major}.{sys.version_info.minor}"
    assert "## daily()" in transform.logic.canonical
    assert "## BONUS\nBONUS = 1" in transform.logic.canonical
    assert daily.description == "Amounts by day."
    assert [i.columns for i in daily.inputs] == [None]
    assert project.graph["silver.events"].read_as == ()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (signature("events, evnts=1"), "has a parameter 'evnts', which is no input"),
        (signature("eventz"), "has a parameter 'eventz', which is no input; nearest: events"),
        (signature("*events"), "has the parameter *events, which takes no input by name"),
        (signature("**inputs"), "has the parameter **inputs, which takes no input by name"),
        (signature("events, /"), "has the parameter events, which takes no input by name"),
        (signature("other"), "has no parameter for the input 'events'"),
        (signature("events", "async "), "is async; it returns a table"),
        (FUNCTION.replace("return [", "yield ["), "yields; it returns one table"),
    ],
)
def test_parameters_are_the_inputs_and_nothing_else(tmp_path: Path, function: str, says: str) -> None:
    found = {f"{m.where}: {m.message}" for m in mistakes_of(write(tmp_path, function))}

    line = (tmp_path / "datasets.py").read_text().splitlines().index(FUNCTION.splitlines()[10]) + 1
    assert any(message.startswith(f"datasets.py:{line}: gold.daily: daily() {says}") for message in found), found


def test_what_is_no_function_cannot_be_a_transform(tmp_path: Path) -> None:
    decorated = 'gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")})'
    function = f"from functools import partial\n\n{decorated}(partial(lambda events: events))\n"

    assert "what makes gold.daily is a partial, not a function" in only_mistake(write(tmp_path, function))


def test_what_a_replay_could_answer_otherwise_is_a_mistake_unless_it_is_allowed(tmp_path: Path) -> None:
    function = FUNCTION.replace("import rates\n", "import random\nimport rates\n").replace("rate()", "random.random()")

    assert "random.random is random, so a replay would give another answer" in only_mistake(write(tmp_path, function))

    allowed = function.replace('"silver.events")})', '"silver.events")}, allow=("random",))')
    assert made_by(load(tmp_path, allowed)).function == "datasets.py:daily"


def test_sql_beside_a_function_and_bronze_with_one_are_mistakes(tmp_path: Path) -> None:
    twice = FUNCTION.replace('"silver.events")})', '"silver.events")}, sql="sql/daily.sql")')

    assert "gold.daily has SQL twice: sql= and a function" in only_mistake(write(tmp_path, twice))


@pytest.mark.parametrize(
    ("function", "rates"),
    [
        (FUNCTION.replace('"""Amounts by day."""', '"""Of every day."""  # a comment'), RATES),
        (FUNCTION.replace("def daily(events):", "def daily(events: object) -> object:"), RATES),
        (FUNCTION.replace("    return [capped", "\n    return [\n        capped"), RATES),
        (f"UNUSED = 1\n{FUNCTION}", f"{RATES}\n\ndef unused():\n    return 1\n"),
        (FUNCTION.replace("LIMIT = 3", "LIMIT = 2 + 1"), RATES),
    ],
    ids=["comment and docstring", "annotations", "layout", "what is not reached", "spelling of a constant"],
)
def test_form_is_no_change_of_logic(tmp_path: Path, function: str, rates: str) -> None:
    before = made_by(load(tmp_path)).logic.digest

    assert made_by(load(tmp_path, function, rates)).logic.digest == before


@pytest.mark.parametrize(
    ("function", "rates", "words"),
    [
        (FUNCTION.replace("LIMIT = 3", "LIMIT = 4"), RATES, "changes LIMIT"),
        (FUNCTION.replace("min(n", "max(n"), RATES, "changes capped()"),
        (FUNCTION.replace("for n in events", "for n in events if n"), RATES, "changes daily()"),
        (FUNCTION, RATES.replace("BONUS = 1", "BONUS = 5"), "changes BONUS"),
        (FUNCTION, RATES.replace("return CHARGE", "return CHARGE + 1"), "changes rate()"),
        (FUNCTION.replace("* rate() ", ""), RATES, "changes daily(); no longer uses CHARGE, rate()"),
        (SQL, RATES, "is made by SQL now"),
    ],
    ids=["constant", "helper", "function", "constant of a module", "function of a module", "fewer", "SQL"],
)
def test_a_change_of_what_is_reached_is_a_change_of_logic_in_words(
    tmp_path: Path, function: str, rates: str, words: str
) -> None:
    before = made_by(load(tmp_path)).logic
    record = published(before)
    after = load(tmp_path, function, rates)

    assert made_by(after).logic.digest != before.digest
    assert logic_changes(after.graph, {"gold.daily": (record,)})["gold.daily"][before.digest] == LogicChange(
        words=f"v1 -> v2? {words}", is_any=True
    )


def test_settings_are_part_of_the_logic_as_those_of_sql_are(tmp_path: Path) -> None:
    before = made_by(load(tmp_path)).logic
    write(tmp_path)
    contract = tmp_path / "contracts/gold.daily.yaml"
    contract.write_text(contract.read_text().replace("amount, physicalType: BIGINT", "amount, physicalType: DOUBLE"))

    after = load_project(tmp_path)

    assert made_by(after).logic.digest != before.digest


def test_lines_of_a_text_that_look_like_settings_are_none(tmp_path: Path) -> None:
    """A text in the function may hold what parts source and settings in the canonical form."""
    written = FUNCTION.replace("LIMIT = 3", 'LIMIT = 3\nQUERY = f"""\n-- {LIMIT}\n-- x\n"""').replace(
        "return [", 'len(f"""\n-- {LIMIT}\n-- x\n""" + QUERY)\n    return ['
    )
    before = load(tmp_path, written)
    held = made_by(before).logic
    record = published(held)
    after = load(tmp_path, written.replace("min(n", "max(n"))

    assert logic_changes(after.graph, {"gold.daily": (record,)})["gold.daily"][held.digest].words == (
        "v1 -> v2? changes capped()"
    )


def test_an_edit_is_seen_by_the_next_load_although_the_project_is_cached(tmp_path: Path) -> None:
    load(tmp_path)
    load(tmp_path)
    rates = tmp_path / "rates.py"
    rates.write_text(RATES.replace("CHARGE = 2", "CHARGE = 3"))

    function = load_project(tmp_path).functions["gold.daily"]

    assert function.run({"events": [1, 9]}, list) == [4, 10]


def test_a_function_is_given_out_only_for_the_logic_that_was_planned(tmp_path: Path) -> None:
    planned = load(tmp_path).graph["gold.daily"]
    same = load(tmp_path, FUNCTION.replace("Amounts", "Sums"))
    edited = load(tmp_path, FUNCTION.replace("LIMIT = 3", "LIMIT = 4").replace("min(n", "max(n"))
    plain = load_project(write_project(tmp_path / "sql", {}))

    found = same.function_of(planned)
    assert found is not None
    assert found.run({"events": [1, 9]}, list) == [3, 7]
    assert plain.function_of(plain.graph["gold.daily"]) is None
    with pytest.raises(PythonChanged, match=r"Python of gold.daily is not what was planned: changes LIMIT, capped\(\)"):
        edited.function_of(planned)
    with pytest.raises(PythonChanged, match="is made by SQL now"):
        plain.function_of(planned)


LATE = """\
@gold("daily", partition=day("event_date"), inputs={"events": same("silver.events")})
def daily(events):
    import rates
    from rates import rate

    return [n * rate() + rates.BONUS for n in events]
"""


def test_modules_that_are_imported_late_are_those_that_were_hashed(tmp_path: Path) -> None:
    """An edit after the load reaches neither the digest nor the call; nothing of the project stays imported."""
    project = load(tmp_path, LATE)
    (tmp_path / "rates.py").write_text(RATES.replace("CHARGE = 2", "CHARGE = 100"))
    path = list(sys.path)

    assert project.functions["gold.daily"].run({"events": [1]}, list) == [3]

    assert not {"rates", "datasets"} & sys.modules.keys()
    assert sys.path == path
    assert made_by(load_project(tmp_path)).logic.digest != made_by(project).logic.digest


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('no rows')", "datasets.py:{line}: ValueError: no rows"),
        ("raise SystemExit(3)", "datasets.py:{line}: SystemExit: 3"),
        ("return rates.broken(events)", "rates.py:10: ZeroDivisionError: division by zero"),
        ("return {}[events[0]]", "datasets.py:{line}: KeyError: 1"),
    ],
)
def test_what_user_code_raises_names_its_line(tmp_path: Path, body: str, says: str) -> None:
    function = f"import rates\n\n\n{LATE.split('    import', maxsplit=1)[0]}    {body}\n"
    project = load(tmp_path, function, f"{RATES}\n\ndef broken(rows):\n    return 1 / 0\n")
    line = (tmp_path / "datasets.py").read_text().splitlines().index(f"    {body}") + 1

    with pytest.raises(TransformFailed) as raised:
        project.functions["gold.daily"].run({"events": [1]}, list)

    assert raised.value.message == f"gold.daily: {says.format(line=line)}"
    assert raised.value.hint == "correct datasets.py:daily, and plan again"


def test_an_error_in_a_library_below_the_project_names_the_line_that_called_it(tmp_path: Path) -> None:
    """A virtual environment often lies in the project's folder."""
    names: dict[str, Any] = {}
    library = tmp_path / ".venv/lib/site-packages/shapes.py"
    exec(compile("def area(x):\n    return 1 / x\n", str(library), "exec"), names)
    exec(compile("\n\ndef daily():\n    return area(0)\n", str(tmp_path / "datasets.py"), "exec"), names)

    with pytest.raises(ZeroDivisionError) as raised:
        names["daily"]()

    assert frame_of(raised.value, tmp_path) == ("datasets.py", 4)


def test_what_user_code_prints_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = load(tmp_path, LATE.replace("    return", "    print('here')\n    return"))

    project.functions["gold.daily"].run({"events": [1]}, list)

    assert capsys.readouterr() == ("", "here\n")


def test_a_function_without_parameters_still_returns_sql(tmp_path: Path) -> None:
    text = FILES["sql/daily.sql"].replace("\n", " ")
    by_function = FUNCTION.replace("def daily(events):", "def daily():").replace(
        "return [capped(n) * rate() + rates.BONUS for n in events]", f'return "{text}"'
    )

    assert made_by(load(tmp_path, by_function)).logic == made_by(load(tmp_path, SQL)).logic
