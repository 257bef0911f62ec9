"""Digests of another scheme are computed anew from the published files; nothing becomes stale by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.execution.diff import diff_contents
from remint.model.request import Ask
from remint.publishing.scheme import in_own_scheme, is_of_another_scheme
from tests.e2e.projects import Project, built, event, history, keyed_project


def use_portable(project: Project, *, portable: bool = True) -> None:
    """Switch to the hash that a build of DuckDB with another one of its own falls back to."""
    path = project.root / "remint.toml"
    path.write_text(
        path.read_text().partition("\n[engine]")[0] + ('\n[engine]\ndigests = "portable"\n' if portable else "")
    )


def test_two_digests_are_of_one_scheme_or_say_nothing_of_each_other() -> None:
    assert is_of_another_scheme("a-1:3:ff", "a-2:3:ff")
    assert is_of_another_scheme("a-1+b-1:3:ff", "a-1:3:ff")
    assert not is_of_another_scheme("a-1:3:ff", "a-1:4:00")


def test_another_row_hash_makes_nothing_stale_and_takes_part_in_every_verb(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    before = project.digests()

    use_portable(project)

    assert project.stale() == {}
    assert {u.proof for u in project.open().verify((), size=9)} == {"proven"}
    again = project.run("gold.daily", rebuild=True)
    assert project.digests() == before  # what is the same stays known as it was
    assert not any(s.record.published for s in project.open().store.records_of_run(again.run_id))
    assert project.stale() == {}


def test_what_changes_is_known_by_the_new_hash_and_what_reads_it_is_made_once(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    use_portable(project)
    project.land("b", [event(99, 0)])
    project.ingest()
    assert "silver.events" in project.stale()

    project.run()

    assert project.stale() == {}
    assert project.tables() == project.expected()
    digests = project.digests()
    assert digests["silver.events"]["2026-09-20"].startswith(PORTABLE_SCHEME)
    assert digests["silver.events"]["2026-09-21"].startswith("duckdb-hash-1")
    assert {u.proof for u in project.open().verify((), size=9)} == {"proven"}
    for portable in (False, True):
        use_portable(project, portable=portable)
        assert project.stale() == {}
        assert project.plan().is_empty


def test_a_row_that_changes_nothing_that_is_read_republishes_nothing_below(tmp_path: Path) -> None:
    """The digest over the columns that a consumer reads is compared across schemes too."""
    project = built(tmp_path, days=1)
    before = project.digests()
    use_portable(project)
    project.land("b", [event(0, 0, version=1)])  # the same event, corrected to what it was: only updated_at moves
    project.ingest()

    run = project.run()

    changed = project.records_of(run)
    assert changed["silver.events"] == 1
    assert project.digests()["silver.events"] != before["silver.events"]
    assert project.digests()["gold.daily"] == before["gold.daily"]
    assert project.tables() == project.expected()


def test_versions_of_one_thing_are_counted_across_schemes(tmp_path: Path) -> None:
    project = keyed_project(tmp_path)
    project.land("a", history(2))
    project.ingest()
    project.run()
    use_portable(project)
    project.land("b", [{**event(0, 1), "event_id": "e-0", "updated_at": "2026-12-01T00:00:00+00:00"}])
    project.ingest()

    project.run()

    assert project.tables() == project.expected()
    assert project.stale() == {}
    arrived = project.open().store.arrivals("bronze.events")
    assert {a.digest.scheme for a in arrived.values()} == {f"duckdb-hash-1+{PORTABLE_SCHEME}"}


def test_states_known_under_two_schemes_are_compared_by_what_they_hold(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    held = project.open().store.records("silver.events")
    tools = project.open()._tools
    use_portable(project)
    workspace = project.open()
    dataset = workspace.graph["silver.events"]
    texts = in_own_scheme(workspace._tools, dataset, held)
    portable = {key: replace(record, digest=texts[key]) for key, record in held.items()}

    for here in (tools, workspace._tools):
        same = diff_contents(here, dataset, held, portable)
        assert (same.partitions_same, list(same.differing), same.comparison) == (2, [], None)

    other = {
        **portable,
        "2026-09-20": replace(portable["2026-09-20"], files=held["2026-09-21"].files, digest=texts["2026-09-21"]),
    }
    assert list(diff_contents(workspace._tools, dataset, held, other).differing) == ["2026-09-20"]


def test_of_damaged_files_nothing_is_computed(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    use_portable(project)
    workspace = project.open()
    records = workspace.store.records("gold.daily")
    damaged = project.folder("gold.daily") / records["2026-09-20"].files[0].path
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")

    found = in_own_scheme(workspace._tools, workspace.graph["gold.daily"], records)

    assert set(found) == {"2026-09-21"}
    assert workspace.ingest((), Ask(reason="nothing new")) is None
