"""An ingest that another engine, or another release of it, goes on with: digests of two schemes never meet."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.model.event import Event, EventKind
from remint.model.request import Ask
from remint.workspace import Workspace
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project, built, event
from tests.e2e.test_engines import schemes, set_engine
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, proof]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with rows of two days, and two files landed since that hold the same new rows, and one that is none."""
    project = built(tmp_path_factory.mktemp("begun"), days=2)
    rows = [event(900, 1, 77), event(901, 0, 5), "no row"]
    project.land("b", rows)
    project.land("c", rows)
    return project


def portable(project: Project, *, on: bool) -> None:
    set_engine(project, 'digests = "portable"' if on else "")


def killed(project: Project, run_id: str, at: int) -> None:
    """Resume, and die after the ``at``-th call that changes anything."""
    with suppress(Killed):
        armed(project.open(), Fuse(at, When.AFTER)).resume(run_id)


def clean(project: Project) -> None:
    """Require that Bronze holds every row once, under one digest a partition, and that no file is left over."""
    assert not project.outstanding()
    live = set().union(*project.live().values())
    assert project.parts() == live
    project.run()
    assert project.tables() == project.expected()
    assert {u.proof for u in project.open().verify((), size=9)} == {"proven"}


def test_what_was_staged_under_another_scheme_is_staged_again(begun: Project, tmp_path: Path) -> None:
    """Wherever it was killed, and whoever was killed after it: the one before had its files deleted."""
    moments = 0
    for at in range(2, 99, size(4, 1)):
        project = begun.clone(tmp_path / str(at))
        with suppress(Killed):
            armed(project.open(), Fuse(at, When.AFTER)).ingest((), Ask(reason="test"))
        if not project.outstanding():
            break
        (run,) = project.outstanding()
        portable(project, on=True)
        killed(project, run.run_id, at=2 + at % 3)
        for there in [run for run in project.outstanding() if at % 2]:
            portable(project, on=False)
            killed(project, there.run_id, at=1 + at % 4)
        for there in project.outstanding():
            project.open().resume(there.run_id)
        clean(project)
        moments += 1

    report("restaged-ingest", cases=moments)


def test_that_it_is_staged_again_is_announced_with_both_schemes(begun: Project, tmp_path: Path) -> None:
    project = begun.clone(tmp_path / "p")
    calls = Fuse(999, When.AFTER)
    with suppress(Killed):
        armed(project.clone(tmp_path / "dry").open(), calls).ingest((), Ask(reason="test"))
    staged = calls.calls.index("ingest") + 1  # the entry of the journal that follows it
    with pytest.raises(Killed):
        armed(project.open(), Fuse(staged, When.AFTER)).ingest((), Ask(reason="test"))
    portable(project, on=True)
    said: list[Event] = []

    (run,) = project.outstanding()
    Workspace(project.root, emit=said.append, clock=project.now, new_id=lambda: "x").resume(run.run_id)

    (again,) = [e.detail for e in said if e.kind is EventKind.RESTAGED]
    assert again.startswith(f"staged again under {PORTABLE_SCHEME}: duckdb-hash-1 ")
    assert schemes(project) == {PORTABLE_SCHEME, "duckdb-hash-1"}
    clean(project)


def test_what_was_being_published_is_recorded_under_the_scheme_of_who_goes_on(begun: Project, tmp_path: Path) -> None:
    project = begun.clone(tmp_path / "p")
    calls = Fuse(999, When.AFTER)
    armed(project.clone(tmp_path / "dry").open(), calls).ingest((), Ask(reason="test"))
    with pytest.raises(Killed):
        armed(project.open(), Fuse(calls.calls.index("publish"), When.AFTER)).ingest((), Ask(reason="test"))
    portable(project, on=True)

    (run,) = project.outstanding()
    project.open().resume(run.run_id)

    assert PORTABLE_SCHEME in schemes(project)
    clean(project)
