"""An unchanged project loads without parsers; whatever is wrong with the cache, the answer is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remint.loading.cache import CACHE_FILE
from remint.loading.project import load_project
from remint.loading.scaffold import init_project
from tests.loading.projects import DATASETS, FILES, write_project

PARSERS = ("sqlglot", "yaml", "jsonschema", "pydantic", "duckdb", "pyarrow", "sqlalchemy")


def test_a_second_load_imports_no_parser(tmp_path: Path) -> None:
    init_project(tmp_path)
    load_project(tmp_path)
    code = (
        "import sys, pathlib, remint.loading.project as p; "
        f"p.load_project(pathlib.Path({str(tmp_path)!r})); print([m for m in {PARSERS!r} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_what_comes_from_the_cache_equals_what_was_read(tmp_path: Path) -> None:
    datasets = DATASETS.replace('sql="sql/daily.sql"', 'sql="sql/daily.sql", metrics={"total": "sum(amount)"}')
    first = load_project(write_project(tmp_path, {"datasets.py": datasets}))

    second = load_project(tmp_path)

    assert second == first


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"digest": "x", "entries": "{}"}', b"\xff\xfe"])
def test_a_damaged_cache_is_ignored_and_rewritten(tmp_path: Path, damage: bytes) -> None:
    first = load_project(write_project(tmp_path))
    kept = (tmp_path / CACHE_FILE).read_bytes()
    (tmp_path / CACHE_FILE).write_bytes(damage)

    assert load_project(tmp_path) == first
    assert (tmp_path / CACHE_FILE).read_bytes() == kept


def test_an_entry_that_was_forged_is_not_believed(tmp_path: Path) -> None:
    first = load_project(write_project(tmp_path))
    path = tmp_path / CACHE_FILE
    path.write_text(path.read_text().replace("sum ( amount )", "max ( amount )"))

    assert load_project(tmp_path) == first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    before = load_project(write_project(tmp_path)).graph["gold.daily"]
    sql = FILES["sql/daily.sql"].replace("sum(", "max(")

    assert load_project(write_project(tmp_path, {"sql/daily.sql": sql})).graph["gold.daily"] != before


def test_the_cache_holds_only_what_the_last_load_used(tmp_path: Path) -> None:
    load_project(write_project(tmp_path))
    size = (tmp_path / CACHE_FILE).stat().st_size
    for number in range(3):
        changed = FILES["sql/daily.sql"] + f"-- {number}\n"
        load_project(write_project(tmp_path, {"sql/daily.sql": changed}))

    assert (tmp_path / CACHE_FILE).stat().st_size <= size + 100
    assert os.listdir((tmp_path / CACHE_FILE).parent) == ["project.json"]


def test_a_project_that_cannot_be_written_to_still_loads(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / ".remint").write_text("a file where the folder should be")

    assert load_project(tmp_path).name == "events"
