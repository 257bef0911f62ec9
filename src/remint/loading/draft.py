"""A project half way: declarations with their contracts, before the rules have passed and SQL is analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remint.checks.contract import Contract
from remint.errors import ProjectError
from remint.loading.cache import ProjectCache
from remint.loading.declare import Declaration
from remint.loading.project_modules import shown_path
from remint.loading.sql_source import SqlSource
from remint.model.dataset import Arrivals, Column, DatasetName, Layer
from remint.model.partition import PartitionSpec

if TYPE_CHECKING:
    from remint.loading.python_transforms import PythonTransform


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a consumer must know of a dataset."""

    layer: Layer
    partition: PartitionSpec
    columns: tuple[Column, ...]
    arrivals: Arrivals | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything that was read of a project."""

    root: Path
    format: str
    """Of every table."""
    declarations: Mapping[DatasetName, Declaration]
    contracts: Mapping[DatasetName, Contract]
    """Of those datasets whose contract could be read."""
    texts: Mapping[DatasetName, SqlSource]
    """SQL that could be read."""
    functions: Mapping[DatasetName, PythonTransform]
    """Functions that could be hashed."""
    shapes: Mapping[DatasetName, Shape]
    """Of every dataset with a contract, and of the quarantine tables that come with them."""
    names: frozenset[DatasetName]
    """Every dataset, quarantine tables included, whether its contract could be read or not."""
    cache: ProjectCache

    def mistake(self, declaration: Declaration, message: str, hint: str | None = None) -> ProjectError:
        """Return a mistake that stands where ``declaration`` was written."""
        return ProjectError(message, file=shown_path(declaration.file, self.root), line=declaration.line, hint=hint)
