"""A transform before its SQL is analysed: the text, where it was written and all else that decides what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from remint.model.dataset import Column, Parse

REJECTED = "_rejected"
PYTHON = "python-ast"
"""Begins the name of what makes the canonical form of a transform that is a Python function."""
TimeGrain = Literal["hour", "day", "week", "month"]
"""A grain that has an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSource:
    """SQL text and where it was written."""

    sql: str
    file: str
    line: int = 1
    """Of the first line of the text; for SQL that a function returns, of the function."""
    has_lines: bool = True
    """False: the text has no lines of its own in ``file``."""

    def at(self, line: int) -> int:
        """Return the line in ``file`` of a line of the text."""
        return self.line + line - 1 if self.has_lines else self.line


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredReach:
    """Which partitions of an input a unit reads, as declared, and by which column the input's rows lie in time."""

    column: str
    grain: TimeGrain
    is_raw: bool
    """True for the time of an event; False for a partition column, which holds the partition's first instant."""
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSpec:
    """A transform's SQL with all that decides what it means."""

    source: SqlSource
    inputs: Mapping[str, tuple[str, tuple[Column, ...]]]
    """Dataset and columns of each input, by alias."""
    columns: tuple[Column, ...]
    """What the contract promises of the result."""
    parse: Parse | None = None
    keep: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    """Decides, with ``keep``, which rows there are."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """By alias, in words: which dataset and which of its partitions."""
    output: tuple[str, TimeGrain] | None = None
    """Partition column and grain of the result, where it is cut by the time of UTC."""
    declared: Mapping[str, DeclaredReach] = field(default_factory=dict)
    """By alias, for inputs that are read by time."""
    allow: tuple[str, ...] = ()
    """Functions that are let through although a replay may give another answer."""


def rejected_alias(parse: Parse) -> str:
    """Return the name under which SQL reads the rows that ``parse`` rejects."""
    return f"{parse.alias}{REJECTED}"
