"""What a source may be declared as, and in which words everything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from remint.loading.declare_sources import files, http_pages
from remint.loading.project import load_project
from remint.loading.source_rules import source_problems
from remint.model.dataset import PageSource, Source
from remint.model.digest import canonical
from tests.loading.projects import DATASETS, only_mistake, write_project

URL = "https://api.example.com/2/posts"


def problems(source: Source) -> list[str]:
    return [problem for problem, _ in source_problems(source)]


def only(source: Source) -> str:
    (problem,) = problems(source)
    return problem


@pytest.mark.parametrize(
    "source",
    [
        files("landing/*.jsonl", format="jsonl"),
        files("landing/{date}/*.jsonl", format="jsonl"),
        http_pages(URL),
        http_pages(URL, timeout_s=5, budget_s=60, page_size=100, params={"lang": "es", "n": 3}),
        http_pages(URL, since_param="since", until_param="until", window_days=7, has_more="meta.more"),
        http_pages(URL, headers_env={"Authorization": "Bearer {X_TOKEN}", "X-Key": "X_KEY"}),
        http_pages("http://127.0.0.1:8787/posts", headers_env={"Authorization": "X_TOKEN"}),
    ],
)
def test_a_good_source_has_no_problem_and_reads_back_from_a_plan(source: Source) -> None:
    text = json.dumps(canonical(source))

    assert problems(source) == []
    again = TypeAdapter(Source).validate_json(text)
    assert again == source
    assert json.dumps(canonical(again)) == text


def test_a_bare_name_is_the_value_of_the_variable_alone() -> None:
    assert http_pages(URL, headers_env={"X-Key": "X_KEY"}).headers == (("X-Key", "{X_KEY}"),)


@pytest.mark.parametrize("url", ["", "x", "ftp://x/y", "https://", "https://x y/z", "http://x:99999/", "https://x/\n"])
def test_what_is_no_address_is_refused(url: str) -> None:
    assert "must be an http or https address" in only(http_pages(url))


@pytest.mark.parametrize(
    ("url", "declared", "found"),
    [
        ("https://ada:pw@x.example/", {}, "user name or password"),
        (f"{URL}?a=1", {}, "query or fragment"),
        (f"{URL}#a", {}, "query or fragment"),
        ("http://x.example/", {"headers_env": {"Authorization": "X"}}, "over plain http to x.example"),
        (URL, {"since_param": "since"}, "come together"),
        (URL, {"params": {"cursor": 1}}, "the query parameter cursor is given twice"),
        (URL, {"params": {"limit": 1}, "page_size": 5}, "limit is given twice"),
        (URL, {"params": {"": 1}}, "has no name"),
        (URL, {"params": {"api_key": "s3cret"}}, "looks like a credential"),
        (URL, {"params": {"access_token": "s3cret"}}, "looks like a credential"),
        (URL, {"headers_env": {"Host": "X"}}, "remint's own"),
        (URL, {"headers_env": {"A b": "X"}}, "'A b' cannot be sent"),
        (URL, {"headers_env": {"X-Key": "X", "x-key": "Y"}}, "given twice"),
        (URL, {"records": ""}, "records='' is no dotted path"),
        (URL, {"next_cursor": "meta..next"}, "is no dotted path"),
        (URL, {"has_more": "a b"}, "is no dotted path"),
        (URL, {"window_days": 0}, "window_days=0 must be a whole number of at least 1"),
        (URL, {"page_size": 0}, "page_size=0 must be"),
        (URL, {"page_size": True}, "page_size=True must be"),
        (URL, {"retries": -1}, "retries=-1 must be"),
        (URL, {"timeout_s": 0}, "timeout_s=0.0 must be a number of seconds above 0"),
        (URL, {"budget_s": float("inf")}, "budget_s=inf must be"),
        (URL, {"timeout_s": "5"}, "timeout_s='5' must be"),
        (URL, {"records": None}, "records=None must be text"),
        (URL, {"has_more": 5}, "has_more=5 must be text"),
    ],
)
def test_a_mistake_is_named(url: str, declared: dict[str, Any], found: str) -> None:
    assert any(found in problem for problem in problems(http_pages(url, **declared)))


@pytest.mark.parametrize("value", ["Bearer s3cret-value", "s3cret-value", "Bearer {A} {B}", "", "{a-b}", "a b {X}"])
def test_a_header_names_a_variable_and_what_it_holds_instead_is_not_shown(value: str) -> None:
    problem = only(http_pages(URL, headers_env={"Authorization": value}))

    assert "must name an environment variable" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize("url", ["landing/{day}/*.jsonl", "{date}/{date}.jsonl", "landing/{}/a.jsonl"])
def test_the_only_placeholder_of_files_is_the_date_once(url: str) -> None:
    assert "knows {date}, once" in only(files(url, format="jsonl"))


def test_a_mistake_has_its_file_and_line(tmp_path: Path) -> None:
    text = DATASETS.replace("day, files,", "day, files, http_pages,").replace(
        'files("landing/*.jsonl", format="jsonl")', 'http_pages("x.example/posts")'
    )

    mistake = only_mistake(write_project(tmp_path, {"datasets.py": text}))

    assert mistake.startswith("datasets.py:3: bronze.events: the URL of http_pages(...) must be")


def test_a_source_of_pages_loads_with_its_quarantine(tmp_path: Path) -> None:
    text = DATASETS.replace("day, files,", "day, http_pages,").replace(
        'files("landing/*.jsonl", format="jsonl")', f"http_pages({URL!r})"
    )

    graph = load_project(write_project(tmp_path, {"datasets.py": text})).graph

    assert isinstance(graph["bronze.events"].source, PageSource)
    assert graph["bronze.events_quarantine"].quarantine_of == "bronze.events"
