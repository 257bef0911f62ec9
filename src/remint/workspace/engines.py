"""Which engine makes which dataset, and how each is started: what is declared, or what the command says."""

from __future__ import annotations

from pathlib import Path

from remint.engines.base import Engine, Maker
from remint.loading.project import Project
from remint.storage.base import Storage


def start_engine(project: Project, scratch: Path, storage: Storage, only: str) -> Engine:
    """Return the engines of a project as one; Spark starts when a dataset of its own is made.

    Args:
        project: says which engine each dataset has.
        scratch: folder for what engines spill.
        storage: where the tables lie.
        only: engine of every dataset, whatever is declared; empty: what is declared.
    """
    from remint.engines.duckdb import DuckDBEngine
    from remint.engines.portable_digest import PORTABLE_SCHEME

    settings = project.settings
    large = settings.spark_above if not only and settings.engine == "duckdb" else 0
    uses_spark = "spark" in {only, settings.engine, *project.engines.values()} or large > 0
    embedded = DuckDBEngine(
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        folder=scratch,
        allowed=(settings.lake, project.root),
        scheme=PORTABLE_SCHEME if uses_spark or settings.digests else "",
        storage=storage,
    )
    if not uses_spark:
        return embedded
    from remint.engines.chosen import ChosenEngine

    starts = {"spark": lambda: _spark(project, scratch, storage)}
    return ChosenEngine(
        embedded,
        starts,
        only or settings.engine,
        {} if only else project.engines,
        large=(large, "spark") if large else None,
    )


def _spark(project: Project, scratch: Path, storage: Storage) -> Maker:
    from remint.engines.spark import SparkEngine
    from remint.engines.spark_session import BucketAccess, SparkTarget

    settings, bucket = project.settings, None
    if "://" in settings.lake:
        reached = storage.options
        bucket = BucketAccess(lake=settings.lake, endpoint=reached["AWS_ENDPOINT_URL"], region=reached["AWS_REGION"])
    target = SparkTarget(
        remote=settings.spark_remote,
        master=settings.spark_master,
        submitted=settings.is_submitted,
        java_home=settings.java_home,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        bucket=bucket,
    )
    return SparkEngine(target, scratch, storage)
