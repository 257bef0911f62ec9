"""Digests of another scheme are refused before anything is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remint.errors import StoreError
from remint.model.request import Ask
from remint.workspace import Workspace
from tests.e2e.projects import Project, built, event


class Upgraded:
    """The engine, in a version whose row hash is another one."""

    digest_scheme = "duckdb-hash-2"

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def upgraded(project: Project) -> Workspace:
    workspace = project.open()
    tools = workspace._tools
    workspace.__dict__["_tools"] = replace(tools, start_engine=lambda: Upgraded(tools.engine))
    return workspace


def test_another_row_hash_stops_ingest_apply_and_verify_before_they_begin(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    project.set_factor(2)
    plan = project.plan()
    project.land("b", [event(99, 0)])
    before = project.fingerprint()

    with pytest.raises(StoreError, match="digests are duckdb-hash-1; the engine installed here computes duckdb-hash-2"):
        upgraded(project).apply(plan)
    with pytest.raises(StoreError):
        upgraded(project).ingest((), Ask(reason="test"))
    with pytest.raises(StoreError):
        upgraded(project).verify((), size=1)

    assert project.fingerprint() == before
    assert not project.outstanding()
