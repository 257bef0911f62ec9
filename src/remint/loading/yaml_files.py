"""Strict YAML: every value is what it looks like, and the line of each is known.

Rules: refused with the line are duplicate keys, anchors, aliases, tags, several documents, tabs, and plain words that
YAML versions read differently (``no``, ``1e3``, ``012``, ``2024-01-01``): they must be quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from remint.errors import ProjectError

YamlPath = tuple[str | int, ...]
"""Keys and list positions from the top."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
# What YAML 1.1 or 1.2 would turn into a boolean, number, date or null, and the other would not.
_AMBIGUOUS = re.compile(
    r"""y|n|yes|no|on|off|true|false|null
    |[-+]?(\d[\d_]*)?\.?\d[\d_]*([eE][-+]?\d+)?|[-+]?\d[\d_]*\.
    |[-+]?0[xob][\da-f_]+|[-+]?\.(inf|nan)|[-+]?\d+(:[0-5]?\d)+(\.\d*)?
    |\d{4}-\d{1,2}-\d{1,2}([Tt\s].*)?|=|<<""",
    re.IGNORECASE | re.VERBOSE,
)
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """Plain data with the line of every key and list entry."""

    data: Any
    lines: Mapping[YamlPath, int]
    file: str

    def line(self, path: YamlPath) -> int | None:
        """Return the line of ``path``, or of the nearest part of it that exists."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def parse_yaml(text: str, file: str) -> YamlDocument:
    """Return the one document in ``text``.

    Raises:
        ProjectError: the first thing that is not plain, unambiguous YAML.
    """
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            _refuse_cleverness(event, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _at(_in_words(error, text), file, error.problem_mark) from None
    except yaml.YAMLError as error:
        raise ProjectError(f"is not YAML: {error}", file=file) from None
    except RecursionError:
        raise ProjectError("is nested too deeply", file=file) from None
    if node is None:
        raise ProjectError("is empty", file=file, line=1)
    lines: dict[YamlPath, int] = {(): node.start_mark.line + 1}
    return YamlDocument(data=_value(node, (), lines, file), lines=lines, file=file)


def _refuse_cleverness(event: yaml.Event, file: str) -> None:
    if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
        raise _at("an anchor or alias (& or *); write the value out, or quote it", file, event.start_mark)
    if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
        raise _at(f"a tag ({event.tag}); write the value plainly", file, event.start_mark)


def _value(node: yaml.Node, path: YamlPath, lines: dict[YamlPath, int], file: str) -> Any:
    if len(path) > _MAX_DEPTH:
        raise _at(f"nested more than {_MAX_DEPTH} levels deep", file, node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, file)
    if isinstance(node, yaml.SequenceNode):
        found = []
        for position, entry in enumerate(node.value):
            lines[(*path, position)] = entry.start_mark.line + 1
            found.append(_value(entry, (*path, position), lines, file))
        return found
    return _scalar(node, file)


def _mapping(node: yaml.MappingNode, path: YamlPath, lines: dict[YamlPath, int], file: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _scalar(key_node, file) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise _at("a key that is not text", file, key_node.start_mark)
        if key in found:
            first = lines[(*path, key)]
            raise _at(f"the key {key!r} again; it was on line {first} already", file, key_node.start_mark)
        lines[(*path, key)] = key_node.start_mark.line + 1
        found[key] = _value(value_node, (*path, key), lines, file)
    return found


def _scalar(node: yaml.Node, file: str) -> Any:
    text: str = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _AMBIGUOUS.fullmatch(text):
        raise _at(
            f"the plain value {text} is read differently by YAML versions", file, node.start_mark, f'quote it: "{text}"'
        )
    return text


def _at(message: str, file: str, mark: Any, hint: str | None = None) -> ProjectError:
    return ProjectError(message, file=file, line=mark.line + 1 if mark else None, hint=hint)


def _in_words(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = error.problem or "is not YAML"
    if "'\\t'" in problem or (error.problem_mark and _has_tab_indent(text, error.problem_mark.line)):
        return "a tab; YAML is indented with spaces"
    if "expected a single document" in (error.context or "") + problem:
        return "a second document (---); one contract a file"
    return f"is not YAML: {problem}"


def _has_tab_indent(text: str, line: int) -> bool:
    shown = text.split("\n")[line : line + 1]
    return bool(shown) and re.match(r" *\t", shown[0]) is not None
