"""What ``import remint`` promises: sorted, complete, and documented."""

import ast
import re
from pathlib import Path

import remint

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_sorted_and_named_once() -> None:
    assert remint.__all__ == sorted(set(remint.__all__))


def test_every_public_name_exists() -> None:
    missing = [name for name in remint.__all__ if not hasattr(remint, name)]

    assert missing == []


def test_every_name_that_the_package_re_exports_is_public() -> None:
    tree = ast.parse(Path(remint.__file__).read_text("utf-8"))
    exported = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }

    assert exported | {"__version__"} == set(remint.__all__)


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in remint.__all__ if not (getattr(remint, name).__doc__ or "").strip()]

    assert bare == []


def test_the_reference_lists_exactly_the_public_names() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")

    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == remint.__all__
