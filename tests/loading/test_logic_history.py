"""Declared logic beside published logics."""

from __future__ import annotations

from pathlib import Path

from remint.loading.logic_history import logic_changes
from remint.loading.project import load_project
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange
from remint.model.provenance import LogicRecord
from tests.loading.projects import FILES, write_project


def graph_of(root: Path, sql: str = FILES["sql/daily.sql"]) -> DatasetGraph:
    return load_project(write_project(root, {"sql/daily.sql": sql})).graph


def record(graph: DatasetGraph, number: int) -> LogicRecord:
    transform = graph["gold.daily"].transform
    assert transform is not None
    logic = transform.logic
    return LogicRecord(
        dataset="gold.daily",
        number=number,
        digest=logic.digest,
        sql=logic.canonical,
        canonicaliser=logic.canonicaliser,
        old="replace",
        recorded_at="2026-10-14T00:00:00Z",
        run_id="r-1",
    )


def test_a_change_of_meaning_is_put_in_words(tmp_path: Path) -> None:
    old = record(graph_of(tmp_path), 1)
    graph = graph_of(tmp_path, FILES["sql/daily.sql"].replace("sum(amount)", "max(amount)"))

    changes = logic_changes(graph, {"gold.daily": (old,)})

    assert dict(changes["gold.daily"]) == {
        old.digest: LogicChange(words="v1 -> v2? changes amount", columns=frozenset({"amount"}))
    }
    assert changes["gold.daily"].get("unknown") is None


def test_a_logic_that_was_published_before_keeps_its_number(tmp_path: Path) -> None:
    newer = record(graph_of(tmp_path, FILES["sql/daily.sql"].replace("sum(amount)", "max(amount)")), 2)
    graph = graph_of(tmp_path)

    changes = logic_changes(graph, {"gold.daily": (record(graph, 1), newer)})

    assert changes["gold.daily"][newer.digest].words == "v2 -> v1 changes amount"
