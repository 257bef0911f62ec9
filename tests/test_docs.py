"""The documentation says what the code says: generated pages, links, commands, and nothing of one machine."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from remint.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*/README.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
ABSOLUTE = re.compile(
    r"(?<![\w.:/<*)\]}$-])/\w[\w.-]*/\w|\b[A-Za-z]:\\|file://\w|localhost|\b\d{1,3}(?:\.\d{1,3}){3}\b"
)
HOST = re.compile(r"https?://([\w.-]+)")
KNOWN_HOSTS = {"api.example.com", "keepachangelog.com", "semver.org"}
"""Hosts that a page may name; packages come from wherever a machine gets them."""


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_page_on_reliability_says_what_the_proofs_left() -> None:
    """If this fails: python docs/figures.py."""
    assert subprocess.run([sys.executable, ROOT / "docs" / "figures.py", "--check"], check=False).returncode == 0


def test_generated_pages_are_up_to_date(generate: ModuleType) -> None:
    """If this fails: python docs/generate.py."""
    assert generate.outdated() == []


def test_the_check_exits_with_one_when_a_page_is_out_of_date(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "REFERENCE", tmp_path)

    assert generate.main(["--check"]) == 1
    assert "errors.md is not what the code says" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("edited")
    assert generate.main(["--check"]) == 1


def test_every_error_has_a_code_of_its_own(generate: ModuleType) -> None:
    codes = [kind.code for kind in generate.error_classes()]

    assert sorted(codes) == sorted(set(codes))


def test_every_error_is_documented_and_says_what_it_means(generate: ModuleType) -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")

    for kind in generate.error_classes():
        assert f"| {kind.code} | `{kind.__name__}` | {kind.exit_code} |" in page
        assert "__doc__" in vars(kind)
        assert kind.leaves


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    for line in commands(page):
        assert problem(line) == "", line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("remint plan silver.x+ --range 2026-10-01 --reason 'a b'", ""),
        ("remint -C shop status --json    # a comment", ""),
        ("remint plann", "no command plann"),
        ("remint plan --frm 2026-10-01", "plan has no option --frm"),
        ("remint audit --limit 5", ""),
        ("remint audit checkpoint a.json --key k.pem", ""),
        ("remint audit chekpoint a.json", "no command audit chekpoint"),
        ("remint audit verify --key k.pem", "audit verify has no option --key"),
    ],
)
def test_a_command_that_does_not_exist_would_be_found(line: str, said: str) -> None:
    assert problem(line) == said


def test_the_readme_shows_the_commands_that_a_newcomer_needs() -> None:
    shown = {line.split()[1] for line in commands(ROOT / "README.md")}

    assert {"init", "ingest", "plan", "apply", "run", "status", "diff", "rollback"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_names_no_place_of_one_machine(page: Path) -> None:
    text = page.read_text("utf-8")

    assert ABSOLUTE.findall(text) == []
    assert set(HOST.findall(text)) <= KNOWN_HOSTS


@pytest.mark.parametrize("text", ["see /home/ana/x", "`/opt/remint/bin`", "C:\\lake", "at 127.0.0.1", "(/var/lake)"])
def test_a_place_of_one_machine_would_be_found(text: str) -> None:
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize(
    "text", ["src/remint/cli", "../shop/sql", "A/B/C", "https://keepachangelog.com/en/1.1.0/", "v1/v2"]
)
def test_other_slashes_are_no_places(text: str) -> None:
    assert not ABSOLUTE.search(text)


def test_every_decision_is_listed_and_has_its_parts() -> None:
    folder = ROOT / "docs" / "design"
    listed = (folder / "README.md").read_text("utf-8")

    pages = sorted(folder.glob("0*.md"))

    assert [page.name[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text("utf-8")
        assert f"({page.name})" in listed
        for part in ("Status: ", "## Context", "## Decision", "## Alternatives", "## Consequences"):
            assert part in text, f"{page.name}: {part}"


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that Markdown viewers make of the page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


def commands(page: Path) -> Iterator[str]:
    """Give the remint commands that stand in the page's code blocks as somebody would type them."""
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language in ("sh", "console"):
            for line in block.split("\n"):
                typed = line.strip().removeprefix("$ ")
                if typed.startswith("remint ") and (language == "sh" or line.strip().startswith("$ ")):
                    yield typed


def problem(line: str) -> str:
    """Return what is wrong with a typed command; empty when it exists with all of its options."""
    words = shlex.split(line, comments=True)[1:]
    while words and words[0].startswith("-"):
        words = words[2:]  # -C FOLDER
    if not words or words[0] not in cli.commands:
        return f"no command {words[0] if words else ''}"
    name, command, rest = words[0], cli.commands[words[0]], words[1:]
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"no command {name} {rest[0]}"
        name, command, rest = f"{name} {rest[0]}", command.commands[rest[0]], rest[1:]
    options = [p for p in command.params if isinstance(p, click.Option)]
    known = {o for p in options for o in (*p.opts, *p.secondary_opts)}
    unknown = [w for w in rest if w.startswith("--") and w not in known]
    return f"{name} has no option {unknown[0]}" if unknown else ""
