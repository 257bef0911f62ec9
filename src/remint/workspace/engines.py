"""Which engine makes which dataset, and how each is started: what is declared, or what the command says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from remint.engines.base import Engine
from remint.loading.project import Project

if TYPE_CHECKING:
    from remint.engines.duckdb import DuckDBEngine


def start_engine(project: Project, scratch: Path, allowed: Sequence[Path], only: str) -> Engine:
    """Return the engines of a project as one; Spark starts when a dataset of its own is made.

    Args:
        project: says which engine each dataset has.
        scratch: folder for what engines spill.
        allowed: folders that the embedded engine may touch.
        only: engine of every dataset, whatever is declared; empty: what is declared.
    """
    from remint.engines.duckdb import DuckDBEngine
    from remint.engines.portable_digest import PORTABLE_SCHEME

    settings = project.settings
    uses_spark = "spark" in {only, settings.engine, *project.engines.values()}
    embedded = DuckDBEngine(
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        folder=scratch,
        allowed=allowed,
        scheme=PORTABLE_SCHEME if uses_spark or settings.digests else "",
    )
    if not uses_spark:
        return embedded
    from remint.engines.chosen import ChosenEngine

    starts = {"duckdb": lambda: embedded, "spark": lambda: _spark(project, scratch, embedded)}
    return ChosenEngine(starts, only or settings.engine, {} if only else project.engines)


def _spark(project: Project, scratch: Path, embedded: DuckDBEngine) -> Engine:
    from remint.engines.spark import SparkEngine
    from remint.engines.spark_session import SparkTarget

    settings = project.settings
    target = SparkTarget(
        remote=settings.spark_remote,
        master=settings.spark_master,
        submitted=settings.is_submitted,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    )
    return SparkEngine(target=target, folder=scratch, embedded=embedded)
