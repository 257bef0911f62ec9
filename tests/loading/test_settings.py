"""Settings: the file, the environment, and where a project is."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.settings import find_project, read_settings

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
        (NAMED + "[engine]\n\nthreads = -1\n",
         "remint.toml:5: [engine] threads is -1; it must be a whole number, 0 for all cores"),
        (NAMED + "[engine]\nthreads = true\n",
         "remint.toml:4: [engine] threads is True; it must be a whole number, 0 for all cores"),
        (NAMED + '[engine]\nmemory_limit = "much"\n',
         "remint.toml:4: [engine] memory_limit is 'much'; it must be an amount such as \"2GB\""),
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
        ({"REMINT_ENGINE__THREADS": "two"},
         ": environment variable REMINT_ENGINE__THREADS is 'two'; it must be a whole number, 0 for all cores"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_refused(tmp_path: Path, environ: dict[str, str], expected: str) -> None:
    assert refused(tmp_path, NAMED, environ) == [expected]


def test_a_project_is_found_from_any_folder_inside_it(tmp_path: Path) -> None:
    inside = tmp_path / "sql" / "deep"
    inside.mkdir(parents=True)

    assert find_project(settings_file(tmp_path, NAMED) and inside) == tmp_path.resolve()


def test_where_no_project_is_the_hint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no remint\.toml in") as raised:
        find_project(tmp_path)

    assert "remint init" in str(raised.value.hint)
