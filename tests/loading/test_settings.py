"""Settings: the file, the environment, and where a project is."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.settings import find_project, read_settings
from remint.model.cost import Prices
from remint.planner.policy import Policy, Priority, Rule

NAMED = '[project]\nname = "shop"\n'


def settings_file(root: Path, text: str) -> Path:
    (root / "remint.toml").write_text(text, encoding="utf-8")
    return root


def refused(root: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ProjectInvalid) as raised:
        read_settings(settings_file(root, text), environ or {})
    return [f"{m.where}: {m.message}" for m in raised.value.mistakes]


def test_everything_but_the_name_has_a_default(tmp_path: Path) -> None:
    settings = read_settings(settings_file(tmp_path, NAMED), {"REMINT_USER": "ana"})

    assert settings.name == "shop"
    assert settings.lake == str(tmp_path / "lake")
    assert settings.store_url == f"sqlite:///{tmp_path}/.remint/state.db"
    assert (settings.memory_limit, settings.threads, settings.policy.batch_rows) == ("2GB", 0, 4_000_000)
    assert settings.user == "ana"


def test_tables_can_lie_in_a_bucket(tmp_path: Path) -> None:
    settings = read_settings(settings_file(tmp_path, NAMED + '[paths]\nlake = "s3://shop-lake/a/b/"\n'), {})

    assert settings.lake == "s3://shop-lake/a/b"


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    root = settings_file(tmp_path, NAMED + '[engine]\nthreads = 2\nmemory_limit = "1GB"\n')
    environ = {
        "REMINT_ENGINE__THREADS": "4",
        "REMINT_ENGINE__MEMORY_LIMIT": "3GB",
        "REMINT_STORE__URL": "postgresql://db/remint",
    }

    settings = read_settings(root, environ)

    assert (settings.threads, settings.memory_limit, settings.store_url) == (4, "3GB", "postgresql://db/remint")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "remint.toml: [project] name is missing"),
        ('[projct]\nname = "x"\n', "remint.toml:1: [projct] is no setting; nearest: [project]"),
        (NAMED + '[engine]\nmemory_limt = "2GB"\n',
         "remint.toml:4: [engine] memory_limt is no setting; nearest: [engine] memory_limit"),
        (NAMED + '[paths]\nlake = "gs://b/t"\n',
         "remint.toml:4: [paths] lake is 'gs://b/t'; it must be a folder, or s3://bucket/prefix without a password in "
         "it"),
        (NAMED + '[paths]\nlake = "s3://key:secret@b/t"\n',
         "remint.toml:4: [paths] lake is not a URL of that kind; it must be a folder, or s3://bucket/prefix without a "
         "password in it"),
        (NAMED + "[engine]\n\nthreads = -1\n",
         "remint.toml:5: [engine] threads is -1; it must be a whole number, 0 for all cores"),
        (NAMED + "[engine]\nthreads = true\n",
         "remint.toml:4: [engine] threads is True; it must be a whole number, 0 for all cores"),
        (NAMED + '[engine]\nmemory_limit = "much"\n',
         "remint.toml:4: [engine] memory_limit is 'much'; it must be an amount such as \"2GB\""),
        (NAMED + "[policy]\nmax_seconds = -1\n",
         "remint.toml:4: [policy] max_seconds is -1; it must be a number"),
        (NAMED + "[policy]\nmax_money = nan\n",
         "remint.toml:4: [policy] max_money is nan; it must be a number"),
        (NAMED + '[policy]\nmax_bytes_scanned = "0GB"\n',
         "remint.toml:4: [policy] max_bytes_scanned is '0GB'; it must be a number of bytes, or an amount"),
        (NAMED + '[policy]\nask = ["max_secs"]\n',
         "remint.toml:4: [policy] ask is ['max_secs']; it must be a list of max_seconds, max_money, "),
        (NAMED + '[policy]\nask = "max_seconds"\n',
         "remint.toml:4: [policy] ask is 'max_seconds'; it must be a list of"),
        (NAMED + '[policy]\npeak_hours = ["08:00-20:00 Europe/Madird"]\n',
         "remint.toml:4: [policy] peak_hours is ['08:00-20:00 Europe/Madird']; it must be a list of windows such as "
         "\"08:00-20:00 Europe/Madrid\"; 'Europe/Madird' is no time zone"),
        (NAMED + "[policy]\npeak_hours = [8]\n", "remint.toml:4: [policy] peak_hours is [8]; it must be a list"),
        (NAMED + '[policy]\npriority = "high"\n',
         "remint.toml:4: [policy] priority is 'high'; it must be \"low\" or \"normal\""),
        ('project = "x"\n', "remint.toml:1: project is a section: write [project]"),
        ('[project]\nname = "x"\nname = "y"\n', "remint.toml:3: is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text)[0].startswith(expected)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"REMINT_ENGINE__THREDS": "1"},
         ": environment variable REMINT_ENGINE__THREDS is no setting; nearest: REMINT_ENGINE__THREADS"),
        ({"REMINT_POLICY__PEAK_HOURS": "08:00-20:00 Mars/Olympus"},
         ": environment variable REMINT_POLICY__PEAK_HOURS is '08:00-20:00 Mars/Olympus'; it must be a list of windows "
         "such as \"08:00-20:00 Europe/Madrid\"; 'Mars/Olympus' is no time zone; zones are named like Europe/Madrid"),
        ({"REMINT_ENGINE__THREADS": "two"},
         ": environment variable REMINT_ENGINE__THREADS is 'two'; it must be a whole number, 0 for all cores"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_refused(tmp_path: Path, environ: dict[str, str], expected: str) -> None:
    assert refused(tmp_path, NAMED, environ) == [expected]


POLICY = """
[cost]
currency = "USD"
per_hour = 1.2
[policy]
ask = ["max_money", "peak_hours"]
max_money = 10
max_bytes_scanned = "1.5GiB"
peak_hours = ["08:00-20:00 Europe/Madrid", "22:00-02:00 UTC"]
priority = "normal"
"""


def test_the_engine_and_where_it_runs_are_read_from_the_file_and_the_environment(tmp_path: Path) -> None:
    root = settings_file(tmp_path, NAMED + '[engine]\nname = "spark"\n\n[engine.spark]\nremote = "sc://a:15002"\n')

    settings = read_settings(root, {"PYSPARK_GATEWAY_PORT": "1", "REMINT_ENGINE_SPARK__MASTER": "local[3]"})

    assert (settings.engine, settings.spark_remote, settings.spark_master) == ("spark", "sc://a:15002", "local[3]")
    assert settings.is_submitted
    assert (read_settings(settings_file(tmp_path, NAMED), {}).engine, settings.digests) == ("duckdb", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[engine]\nname = "sparc"\n', 'remint.toml:4: [engine] name is \'sparc\'; it must be "duckdb" or "spark"'),
        ('[engine]\ndigests = "fast"\n', 'it must be "portable"'),
        ('[engine.spark]\nremote = "host:1"\n', "it must be the address of a server"),
        ('[engine.spark]\nremot = "sc://a:1"\n', "[engine.spark] remot is no setting; nearest: [engine.spark] remote"),
        ("[engine.sparc]\nx = 1\n", "[engine] sparc is no setting"),
    ],
)
def test_a_wrong_engine_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused(tmp_path, NAMED + text)[0]


def test_policy_and_prices_are_read_from_the_file(tmp_path: Path) -> None:
    policy = read_settings(settings_file(tmp_path, NAMED + POLICY), {}).policy

    assert policy.prices == Prices(currency="USD", per_hour=1.2)
    assert policy.ask == {Rule.MAX_MONEY, Rule.PEAK_HOURS}
    assert (policy.max_money, policy.max_bytes_scanned, policy.max_seconds) == (10, 1_610_612_736, None)
    assert [str(w) for w in policy.peak_hours] == ["08:00-20:00 Europe/Madrid", "22:00-02:00 UTC"]
    assert policy.priority is Priority.NORMAL


def test_without_a_policy_nothing_is_limited_and_backfills_yield(tmp_path: Path) -> None:
    assert read_settings(settings_file(tmp_path, NAMED), {}).policy == Policy(priority=Priority.LOW)


def test_variables_set_numbers_amounts_and_lists(tmp_path: Path) -> None:
    environ = {
        "REMINT_PROJECT__NAME": "42",
        "REMINT_POLICY__MAX_SECONDS": "2.5",
        "REMINT_POLICY__MAX_BYTES_SCANNED": "50 GB",
        "REMINT_POLICY__ASK": "max_seconds, max_rows",
        "REMINT_POLICY__PEAK_HOURS": "08:00-20:00 UTC",
    }

    settings = read_settings(settings_file(tmp_path, NAMED), environ)

    assert settings.name == "42"
    assert (settings.policy.max_seconds, settings.policy.max_bytes_scanned) == (2.5, 50_000_000_000)
    assert settings.policy.ask == {Rule.MAX_SECONDS, Rule.MAX_ROWS}
    assert [str(w) for w in settings.policy.peak_hours] == ["08:00-20:00 UTC"]


def test_a_project_is_found_from_any_folder_inside_it(tmp_path: Path) -> None:
    inside = tmp_path / "sql" / "deep"
    inside.mkdir(parents=True)

    assert find_project(settings_file(tmp_path, NAMED) and inside) == tmp_path.resolve()


def test_where_no_project_is_the_hint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no remint\.toml in") as raised:
        find_project(tmp_path)

    assert "remint init" in str(raised.value.hint)
