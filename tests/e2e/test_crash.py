"""A run that dies at any durable step, and is resumed, leaves what an uninterrupted run leaves.

The steps of an untouched run are counted first; then the fuse is set to one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remint.errors import PlanOutdated, PublishConflict
from remint.execution import retention
from remint.model.partition import DateRange
from remint.model.request import Ask, BackfillType, Mode, Request, UndoRequest
from remint.workspace import Workspace
from tests.e2e.crashes import Fuse, Killed, Meddled, When, armed, meddling
from tests.e2e.projects import Project, built, day_at, event, history, keyed_project, version, write_project
from tests.e2e.strangers import append
from tests.proof import proof, report, size

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def file_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an expiry delete one file at a step."""
    monkeypatch.setattr(retention, "AT_ONCE", 1)


Act = Callable[[Workspace], Any]
"""One verb, as a process that knows nothing of earlier attempts carries it out; does nothing once it is done."""

UNTOUCHED = 10_000
EVERY = size(14, 1)
"""After one step is before the next one: of every second step both make every state that there is, once."""
STRIDE = size(3, 1)
"""How much later each resume dies than the one before."""


def landed(root: Path) -> tuple[Project, Act]:
    """Return a project with two new files, one of them with bad rows, and the ingest of them."""
    project = built(root, days=3)
    project.land("b", [event(900, 1), event(901, 12), "no json", event(0, 0, 10)])
    project.land("c", [event(902, 2, "many")])
    return project, lambda w: w.ingest((), Ask(reason="test"))


def moved(root: Path) -> tuple[Project, Act]:
    """Return a project with versions of other days in two new files, and the ingest of them."""
    project = keyed_project(root)
    project.land("a", [version("m", 1, 1), version("n", 2, 1)])
    project.ingest()
    project.run()
    project.land("b", [version("m", 3, 2), version("n", 2, 2)])
    project.land("c", [version("m", 2, 3), version("n", 1, 0)])
    return project, lambda w: w.ingest((), Ask(reason="test"))


def first_build(root: Path) -> tuple[Project, Act]:
    """Return a project that has only Bronze, and the first run, in several batches."""
    project = write_project(root)
    project.edit("remint.toml", "threads = 1", "threads = 1\nbatch_rows = 8")
    project.land("a", [*history(4), event(903, 1, "many")])
    project.ingest()
    return project, _applying(project)


def late_rows(root: Path) -> tuple[Project, Act]:
    """Return a built project with late rows: some units change, some come out the same, one day is new."""
    project = built(root, days=6)
    path = root / "contracts/silver.events.yaml"
    path.write_text(path.read_text() + WARNING)
    project.land("b", [event(900, 2), event(901, 9), event(902, 4, 0), event(4, 1, 17, version=1)])
    project.ingest()
    return project, _applying(project)


def forced(root: Path) -> tuple[Project, Act]:
    """Return a built project with changed logic, and an approved forced backfill of it: logged at every table."""
    project = built(root, days=3)
    project.set_factor(2)
    fields: dict[str, Any] = {"type": BackfillType.FORCED, "override_state": True, "reason": "test"}
    workspace = project.open()
    plan = workspace.make_plan(Request(mode=Mode.BACKFILL, requested_by="tester", **fields))
    workspace.approve(plan, "somebody else", "agreed", timedelta(days=1))
    return project, lambda w: None if w.store.run_of_plan(plan.plan_id) else w.apply(plan)


def undoing(root: Path) -> tuple[Project, Act]:
    """Return a project whose last run replaced units and made new ones, and the rollback of it."""
    project, act = late_rows(root)
    run_id = act(project.open()).run_id

    def undo(workspace: Workspace) -> Any:
        if workspace.store.run(run_id).state != "rolled_back":
            return workspace.rollback(run_id, Ask(reason="test", mode=Mode.BACKFILL))
        return None

    return project, undo


def undoing_a_part(root: Path) -> tuple[Project, Act]:
    """Return a project in which later runs built on a run, and the rollback of a part of it with all of that."""
    project = built(root, days=4)
    project.set_factor(2)
    first = project.run("gold.daily")
    project.run()
    project.set_factor(3)
    project.run("gold.daily", span=day_at(1))
    request = UndoRequest(selectors=("gold.daily",), range=DateRange.parse(f"{day_at(1)}..{day_at(2)}"), cascade=True)

    def undo(workspace: Workspace) -> Any:
        if not any(r.of_run == first.run_id for r in workspace.store.runs(100)):
            return workspace.rollback(first.run_id, Ask(reason="test", mode=Mode.BACKFILL), request)
        return None

    return project, undo


def expiring(root: Path) -> tuple[Project, Act]:
    """Return a project with replaced files, some of them pinned, and the expiry of the others, file by file."""
    project = built(root, days=3)
    project.set_factor(2)
    kept = project.run()
    project.set_factor(3)
    project.run()
    project.set_factor(4)
    project.run("gold.daily", "gold.trend")
    project.open().retention.pin(kept.run_id, "test")
    project.ticks += 60

    def expire(workspace: Workspace) -> Any:
        if workspace.retention.choose((), 0).gone:
            return workspace.retention.expire((), Ask(reason="test", mode=Mode.BACKFILL), 0)
        return None

    return project, expire


WARNING = "    quality: [{type: sql, query: 'count(*) FILTER (WHERE amount > 20)', mustBe: 0, severity: warning}]\n"


def _applying(project: Project) -> Act:
    plan = project.plan()
    return lambda w: None if w.store.run_of_plan(plan.plan_id) else w.apply(plan)


SCENES = [landed, moved, first_build, late_rows, forced, undoing, undoing_a_part, expiring]


def left_behind(project: Project) -> dict[str, Any]:
    """Return what a run leaves, without what differs by chance: the names of files and the times."""
    workspace = project.open()
    store = workspace.store
    logged = [r.entry for r in store.audit(1000) if r.entry.action != "resume"]  # somebody resumed, or nobody had to
    entries = [(e.action, e.status, e.record_count, e.datasets) for e in logged]
    runs = [(r.run_id[:14], r.kind, r.state) for r in store.runs(1000)]
    heads = store.heads([d.name for d in workspace.graph])
    return {
        "versions": project.versions(),
        "digests": project.digests(),
        "files": {table: len(files) for table, files in project.live().items()},
        "audit": sorted(entries),
        "runs": sorted(runs),
        "summaries": [r.summary for r in store.runs(1000)],
        "releases": [r.versions for r in store.releases()],
        "ledger": {t: {k: (h.seq, h.fingerprint, h.logic) for k, h in by_key.items()} for t, by_key in heads.items()},
        "arrivals": store.arrivals("bronze.events"),
        "watermarks": store.watermarks(),
        "stale": project.stale(),
        "outstanding": project.outstanding(),
        "on disk": len(project.parts()),
        "expired": {t: len(store.expired(t)) for t in project.versions()},
        "pins": len(store.pins()),
        "doctor": sorted({(s.subject, s.health.value) for s in workspace.upkeep.doctor((), read_data=True)}),
        "source files": {u: (f.rows_added, f.rows_rejected) for u, f in store.source_files("bronze.events").items()},
    }


def pick_up(project: Project, act: Act, ticks: int, fuse: Fuse | None = None) -> None:
    """Do as an operator does after a crash: resume what is outstanding; without anything, start again.

    The clock stands at ``ticks`` again, so that a run that is started again is the same one.
    """
    project.ticks = ticks
    workspace = project.open()
    outstanding = workspace.store.outstanding()
    if fuse:
        armed(workspace, fuse)
    if outstanding:
        workspace.resume(outstanding[0].run_id)
    else:
        act(workspace)


Scene = Callable[[Path], tuple[Project, Act]]


class Scenes(dict[Scene, tuple[Project, Act]]):
    """Scenes, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, scene: Scene) -> tuple[Project, Act]:
        self[scene] = scene(self._folder / scene.__name__)
        return self[scene]

    def copied(self, scene: Scene, root: Path) -> tuple[Project, Act]:
        """Return a scene of one's own."""
        project, act = self[scene]
        return project.clone(root), act


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """All of them, for every test of this module."""
    return Scenes(tmp_path_factory.mktemp("scenes"))


@proof
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("scene", SCENES)
def test_a_run_killed_at_any_step_and_resumed_equals_an_uninterrupted_run(
    tmp_path: Path, scenes: Scenes, scene: Scene, when: When
) -> None:
    base, act = scenes.copied(scene, tmp_path / "base")
    cases = killed_everywhere(base, act, when, lambda steps: steps[::EVERY])
    report("steps", cases=cases, part=f"{scene.__name__}-{when}")


Numbered = list[tuple[int, str]]


def killed_everywhere(base: Project, act: Act, when: When, choose: Callable[[Numbered], Numbered]) -> int:
    """Kill copies of a project at the steps that ``choose`` takes of all; return how many were killed."""
    whole = base.clone(base.root.parent / "whole")
    fuse = Fuse(UNTOUCHED, when)
    act(armed(whole.open(), fuse))
    reference = left_behind(whole)

    chosen = choose(list(enumerate(fuse.calls)))
    for number, step in chosen:
        hurt = base.clone(base.root.parent / f"{number}")
        with pytest.raises(Killed):
            act(armed(hurt.open(), Fuse(number, when)))
        pick_up(hurt, act, base.ticks)

        assert left_behind(hurt) == reference, f"killed {when} call {number}, {step}"
        assert not unnamed(hurt), f"killed {when} call {number}, {step}"
        if hurt.server:
            hurt.server.drop(hurt.database)
    return len(chosen)


def settle(project: Project) -> None:
    """Resume what is outstanding; a conflict leaves it failed, with nothing of it live."""
    for run in project.outstanding():
        with suppress(PublishConflict, PlanOutdated):
            project.open().resume(run.run_id)


def twice(base: Project, folder: Path) -> dict[str, dict[str, str]]:
    """Return the digests of the project once its plan is applied."""
    done = Project(folder / "done", base.factor, base.window, base.lines, base.ticks)
    if not done.root.exists():
        done = base.clone(done.root)
        done.run()
    return done.digests()


def unnamed(project: Project) -> set[str]:
    """Return the Parquet files below the tables' folders that no ledger record ever named."""
    store = project.open().store
    named = {f"/{table.replace('.', '/')}/{path}" for table in project.versions() for path in store.paths_ever(table)}
    return project.parts() - named


@proof
@pytest.mark.parametrize("when", When)
def test_a_run_killed_at_any_step_of_a_conflict_ends_with_all_or_nothing_of_it(tmp_path: Path, when: When) -> None:
    """Somebody else writes to gold.trend after gold.daily was committed; gold.daily is taken back."""
    base = built(tmp_path / "base", days=4)
    base.set_factor(2)
    plan = base.plan()
    before = base.digests()

    def contested(project: Project, fuse: Fuse) -> None:
        meddler = Meddled("publish", lambda: append(project, "gold.trend", like=day_at(2)), number=1)
        meddling(armed(project.open(), fuse), meddler).apply(plan)

    fuse = Fuse(UNTOUCHED, when)
    with pytest.raises(PublishConflict):
        contested(base.clone(tmp_path / "whole"), fuse)

    chosen = list(enumerate(fuse.calls))[::EVERY]
    for number, step in chosen:
        hurt = base.clone(tmp_path / f"{number}")
        with pytest.raises(Killed):
            contested(hurt, Fuse(number, when))
        settle(hurt)

        assert hurt.digests() in (before, twice(base, tmp_path)), f"killed {when} call {number}, {step}"
        hurt.give_up()
        if not (remedy := hurt.plan()).is_empty:
            hurt.apply(remedy)
        assert hurt.tables() == hurt.expected(), f"killed {when} call {number}, {step}"
    report("steps", cases=len(chosen), part=f"conflict-{when}")


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_whose_every_resume_is_killed_too_comes_to_the_same_end(
    tmp_path: Path, scenes: Scenes, scene: Scene
) -> None:
    """Each attempt dies one call later than the one before, so the deaths fall all over the resumes."""
    project, act = scenes.copied(scene, tmp_path / "base")
    whole = project.clone(tmp_path / "whole")
    act(whole.open())
    deaths, ticks = 0, project.ticks

    while True:
        try:
            pick_up(project, act, ticks, Fuse(deaths, When.AFTER if deaths % 2 else When.BEFORE))
            break
        except Killed:
            deaths += STRIDE

    assert deaths > 5
    assert left_behind(project) == left_behind(whole)
    assert not unnamed(project)
