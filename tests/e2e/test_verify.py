"""Verify: units recomputed alone and in a batch, and what is wrong with those that differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from remint.checks import determinism
from remint.cli.main import cli
from remint.errors import FilesDamaged
from remint.execution.verify import Proof
from tests.e2e import strangers
from tests.e2e.projects import Project, built, day_at, event, write_project

BY_ROWS = ("RANGE BETWEEN INTERVAL {WINDOW} DAYS PRECEDING", "ROWS BETWEEN {WINDOW} PRECEDING")
"""Rows are not days, so nothing proves that the window is wider before it runs."""


def narrow(root: Path) -> Project:
    """Return a project whose trend reads seven days back and declares two, built in several batches."""
    project = write_project(root)
    project.edit("datasets.py", "before=WINDOW", "before=2")
    project.edit("datasets.py", *BY_ROWS)
    project.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 12")
    project.land("a", [event(i, i, tenant="t") for i in range(10)])
    project.ingest()
    project.run()
    return project


def test_what_is_as_it_should_be_is_proven_both_ways(tmp_path: Path) -> None:
    project = built(tmp_path, days=6)

    proofs = project.open().verify((), size=100)

    assert {p.proof for p in proofs} == {Proof.PROVEN}
    assert {p.alone for p in proofs} == {p.expected for p in proofs} == {p.batch for p in proofs}


@pytest.mark.parametrize(("way", "other"), [("alone", "batch"), ("batch", "alone")])
def test_one_way_may_be_enough(tmp_path: Path, way: str, other: str) -> None:
    project = built(tmp_path, days=3)

    proofs = project.open().verify(["gold.trend"], size=3, ways=(way,))

    assert all(getattr(p, way) == p.expected for p in proofs)
    assert {getattr(p, other) for p in proofs} == {""}


def test_a_mapping_that_is_too_narrow_is_found_by_name(tmp_path: Path) -> None:
    """The one mistake that no fingerprint shows: the SQL reads further back than the mapping says."""
    project = narrow(tmp_path)

    different = [p for p in project.open().verify(["gold.trend"], size=100) if p.proof is Proof.DIFFERENT]

    assert different
    assert {p.cause for p in different} == {
        "alone differs from in a batch: the mapping of input days (own partition and the 2 before) is too narrow, "
        "or the SQL depends on order"
    }
    assert {(p.rows_changed, p.rows_added, p.rows_removed) for p in different} == {(1, 0, 0)}
    assert {tuple(p.columns.items()) for p in different} == {(("week", 1),)}


def test_a_sample_of_far_units_finds_it_as_well(tmp_path: Path) -> None:
    project = narrow(tmp_path)

    different = [p for p in project.open().verify(["gold.trend"], size=2) if p.proof is Proof.DIFFERENT]

    assert [p.key for p in different] == [day_at(9)]
    assert "the mapping of input days" in different[0].cause


def test_of_several_inputs_the_narrow_one_is_named(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    inputs = 'inputs={"days": trailing("gold.daily", before=2), "own": same("gold.daily")}'
    project.edit("datasets.py", 'inputs={"days": trailing("gold.daily", before=WINDOW)}', inputs)
    project.edit("datasets.py", *BY_ROWS)
    project.edit("datasets.py", "FROM days\n    '''", "FROM days WHERE tenant IN (SELECT tenant FROM own)\n    '''")
    project.land("a", [event(i, i, tenant="t") for i in range(10)])
    project.ingest()
    project.run()

    causes = {p.cause for p in project.open().verify(["gold.trend"], size=100)} - {""}

    assert len(causes) == 1
    assert "input days (own partition and the 2 before) is too narrow" in causes.pop()


def test_sql_that_is_not_deterministic_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: why for name, why in determinism._REASONS.items() if name != "current_query_id"}
    monkeypatch.setattr(determinism, "_REASONS", known)
    project = built(tmp_path, days=3)
    project.edit("datasets.py", "sum(amount) *", "(sum(amount) * 0 + CAST(max(current_query_id()) AS BIGINT)) *")
    project.run()

    proofs = project.open().verify(["gold.daily"], size=1)

    assert [p.cause for p in proofs] == ["recomputed twice alone it comes out different: the SQL is not deterministic"]
    assert set(proofs[0].columns) == {"amount"}


def test_an_input_that_was_changed_in_place_is_named_and_not_read(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    strangers.exchange_in_place(project, "silver.events", day_at(1), day_at(2))

    with pytest.raises(FilesDamaged, match=rf"silver\.events.*\n.*{day_at(1)}.*replaced.*{day_at(2)}"):
        project.open().verify(["gold.daily"], size=9)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    project = narrow(tmp_path)
    for path in project.folder("gold.trend").glob(f"event_date={day_at(9)}/*.parquet"):
        path.unlink()

    different = [p for p in project.open().verify(["gold.trend"], size=2) if p.proof is Proof.DIFFERENT]

    assert "is missing on disk" in different[0].cause


def test_verify_changes_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    project = narrow(tmp_path)
    before = project.fingerprint(), project.parts()

    project.open().verify((), size=100)

    assert (project.fingerprint(), project.parts()) == before
    assert list((tmp_path / ".remint" / "tmp").glob("verify-*")) == []


def test_the_command_names_digests_rows_columns_and_cause(tmp_path: Path) -> None:
    narrow(tmp_path)

    result = CliRunner().invoke(cli, ["-C", str(tmp_path), "verify", "gold.trend", "--sample", "2"])

    assert result.exit_code == 1
    assert f"different gold.trend {day_at(9)}: published " in result.output
    assert "1 rows changed, 0 added, 0 removed; column week: 1 row" in result.output
    assert "the mapping of input days" in result.output
