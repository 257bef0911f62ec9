"""Strict YAML: a value is what it looks like, or it is refused with its line."""

from __future__ import annotations

import pytest

from remint.errors import ProjectError
from remint.loading.yaml_files import parse_yaml


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2\n", 2, "the key 'a' again; it was on line 1 already"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "the key 'c' again; it was on line 3 already"),
        ("a: &x 1\n", 1, "an anchor or alias"),
        ("a: [1]\nb: *x\n", 2, "an anchor or alias"),
        ("a: !!python/object:os.system x\n", 1, "a tag"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a:\n\tb: 1\n", 2, "a tab; YAML is indented with spaces"),
        ("a: [1\n", 2, "is not YAML"),
        ("", 1, "is empty"),
        *((f"a: 1\nb: {value}\n", 2, f"the plain value {value} is read differently") for value in (
            "no", "Yes", "on", "OFF", "y", "1e3", "012", "0x1F", "0o17", "1_000", "12:30:00", "2024-01-01",
            "2024-01-01T00:00:00Z", ".5", "10.", ".inf", "True", "NULL",
        )),
    ],
)  # fmt: skip
def test_what_readers_could_take_differently_is_refused(text: str, line: int, message: str) -> None:
    with pytest.raises(ProjectError) as raised:
        parse_yaml(text, "c.yaml")

    assert (raised.value.file, raised.value.line) == ("c.yaml", line)
    assert message in raised.value.message


def test_an_anchors_bomb_is_refused_before_it_is_expanded() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

    with pytest.raises(ProjectError, match="an anchor or alias"):
        parse_yaml(bomb, "c.yaml")


def test_plain_values_and_their_lines_are_kept() -> None:
    document = parse_yaml("a: 1\nb:\n  - c: 1.5\n    d: 'no'\n  - true\n", "c.yaml")

    assert document.data == {"a": 1, "b": [{"c": 1.5, "d": "no"}, True]}
    assert document.line(("b", 0, "d")) == 4
    assert document.line(("b", 1)) == 5
    assert document.line(("b", 0, "missing")) == 3
