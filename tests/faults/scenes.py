"""What is done to a small project while things fail, and what it must leave in the end."""

from __future__ import annotations

import errno
import gc
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.projects import DATASETS, TABLES, Project, event, write_project
from tests.faults.harness import Ended, Fault, Server
from tests.faults.power import Loss

_SMALLER = {
    "datasets.py": DATASETS[: DATASETS.index('\n\ngold("monthly"')] + "\n",
    "sql/monthly.sql": None,
    "contracts/gold.monthly.yaml": None,
}
"""One Bronze, one Silver and two Gold tables, with their quarantines."""


@dataclass(frozen=True)
class Scene:
    """A project before a command, and the command."""

    name: str
    base: Project
    command: tuple[str, ...]

    def clone(self, folder: Path) -> Project:
        """Return a copy of the project, as it is before the command."""
        return self.base.clone(folder)

    def is_done(self, project: Project) -> bool:
        """Return whether the command would be refused, because it has been carried out."""
        return self.name.startswith("rollback") and project.open().store.run(self.command[1]).state == "rolled_back"

    def go_on(self, server: Server, project: Project, **how: Any) -> Ended | None:
        """Do what an operator does after a failure: resume what is outstanding, else type the command again.

        The state that the failure left is opened by that command and by nobody before it.
        """
        with looked_at(project) as seen:
            outstanding = seen.outstanding()
            is_done = not outstanding and self.is_done(seen)
        if outstanding:
            return server.run(project.root, "resume", outstanding[0].run_id, **how)
        return None if is_done else server.run(project.root, *self.command, **how)


@contextmanager
def looked_at(project: Project) -> Iterator[Project]:
    """Give a copy to look at: whoever opens a state database recovers it, and holds it open for a while."""
    copy = project.clone(project.root.with_name(f"{project.root.name}-looked-at"))
    yield copy
    shutil.rmtree(copy.root)


def _empty(root: Path) -> Project:
    project = write_project(root, _SMALLER)
    project.land("a", [event(0, 0), "no json"])
    return project


def ingest(root: Path) -> tuple[Project, tuple[str, ...]]:
    """The first ingest of a new project, with a bad row: the state database and every folder are made."""
    return _empty(root), ("ingest",)


def build(root: Path) -> tuple[Project, tuple[str, ...]]:
    """The first run: every table is made."""
    project = _empty(root)
    project.ingest()
    return project, ("run",)


def publish(root: Path) -> tuple[Project, tuple[str, ...]]:
    """A run after late rows and changed logic: it replaces a day and adds one, in three tables."""
    project, _ = build(root)
    project.run()
    project.set_factor(2)
    project.land("b", [event(5, 0), event(6, 1)])
    project.ingest()
    return project, ("run",)


def rollback(root: Path) -> tuple[Project, tuple[str, ...]]:
    """The rollback of that run."""
    project, _ = publish(root)
    run_id = project.run().run_id
    return project, ("rollback", run_id, "--reason", "test")


Setting = Callable[[Path], tuple[Project, tuple[str, ...]]]
"""Makes a project in a folder, and names the command to run in it."""

SCENES: tuple[Setting, ...] = (ingest, build, publish, rollback)
FORMATS = ("delta", "iceberg")


def setting(name: str) -> Setting:
    """Return the scene of a name, or of a name with the format in which its tables are kept: ``publish-iceberg``."""
    scene, _, kept_in = name.partition("-")
    make = next(make for make in SCENES if make.__name__ == scene)

    def made(root: Path) -> tuple[Project, tuple[str, ...]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(projects, "tables_in", kept_in or "delta")
            return make(root)

    return made


@dataclass(frozen=True)
class Played:
    """A scene, and how it goes when nothing fails."""

    scene: Scene
    runs: tuple[Ended, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    left: dict[str, Any]

    @property
    def whole(self) -> Ended:
        """One of the runs, with what was synced in its log."""
        return self.runs[0]

    @property
    def points(self) -> list[int]:
        """The calls at which to fail: of a row of writes to one file, which is a transaction's, the first and last."""
        calls = self.whole.calls
        ends = [n for n in range(len(calls)) if n + 1 == len(calls) or calls[n + 1] != calls[n]]
        return sorted({n + 1 for n in ends} | {1} | {n + 2 for n in ends[:-1]})

    def _call(self, at: int) -> str:
        return self.whole.calls[at - 1].split()[0]

    @property
    def deaths(self) -> list[int]:
        """The points before which to die: not right after a sync, which changes nothing."""
        return [at for at in self.points if at == 1 or "sync" not in self._call(at - 1)]

    @property
    def torn(self) -> list[int]:
        """The points to die within: in all other calls, that is to die before the next one."""
        return [at for at in self.points if "write" in self._call(at) or self._call(at) in ("sendfile", "copy")]

    def failing(self, error: int) -> list[int]:
        """The points at which a call can fail in this way: room lacks for what grows, rights for names."""
        calls = {
            errno.ENOSPC: lambda call: call not in ("unlink", "rmdir"),
            errno.EACCES: lambda call: call in ("open", "mkdir", "link", "rename", "unlink", "rmdir"),
        }
        return [at for at in self.points if calls.get(error, bool)(self._call(at))]

    def losses(self, loss: Loss) -> list[int]:
        """The points before which the power fails, as far as they leave states of their own."""
        kinds = "SY" if loss is Loss.ALL else "DNS"
        found, number, news = [], 0, True
        points = set(self.points)
        for line in self.whole.log:
            news = news or line[0] in kinds
            if line[0] == "C":
                number += 1
                if news and number in points:
                    found.append(number)
                    news = False
        return found


def play(name: str, scratch: Path, server: Server, turns: int) -> Played:
    """Return the scene of a name, played ``turns`` times without a fault, and once to warm up."""
    base, command = setting(name)(scratch / f"{name}-base")
    gc.collect()
    assert not (base.root / ".remint" / "state.db-wal").exists(), "whoever made the scene holds its state open"
    scene = Scene(name, base, command)
    warm = scene.clone(scratch / f"{scene.name}-warm")
    server.preload(warm.root, command)
    runs = []
    for turn in range(turns):
        project = scene.clone(scratch / f"{scene.name}-{turn}")
        runs.append(server.run(project.root, *command, fault=Fault(mode="power", at=0)))
        assert runs[-1].code == 0, runs[-1].err
    with looked_at(base) as seen:
        before = visible(seen)
    return Played(scene, tuple(runs), before, visible(project), left_behind(project))


def visible(project: Project) -> dict[str, Any]:
    """Return what a reader of any kind could see, without the names of files, which no two runs share."""
    store = project.open().store
    return {
        "live": {t: (version, len(project.lakehouse.files(t))) for t, version in project.versions().items()},
        "digests": {t: {k: h.digest for k, h in by_key.items()} for t, by_key in store.heads(TABLES).items()},
        "watermarks": store.watermarks(),
        "releases": len(store.releases()),
    }


def left_behind(project: Project) -> dict[str, Any]:
    """Return what a command leaves in the end, without what differs by chance: ids, names of files and times."""
    workspace = project.open()
    store = workspace.store
    # That a run failed, if the process could still say so, and was resumed is in the log: that is no other end.
    entries = [(r.entry.action, r.entry.status, r.entry.record_count, r.entry.datasets) for r in store.audit(1000)]
    heads = store.heads([d.name for d in workspace.graph])
    versions = project.versions()
    named = {f"/{t.replace('.', '/')}/{p}" for t in versions for p in store.paths_ever(t)}
    return {
        "versions": versions,
        "digests": {t: {k: h.digest for k, h in by_key.items()} for t, by_key in heads.items()},
        "files": {t: len(project.lakehouse.files(t)) for t in versions},
        "commits": {t: project.lakehouse.commits(t) for t in versions},
        "unnamed files": sorted(project.parts() - named),
        "audit": sorted(entry for entry in entries if entry[1] != "failed" and entry[0] != "resume"),
        "runs": sorted((r.kind, r.state) for r in store.runs(1000)),
        "counts": sorted(_counts(r.summary) for r in store.runs(1000)),
        "releases": [dict(r.versions) for r in store.releases()],
        "ledger": {t: {k: (h.seq, h.digest) for k, h in by_key.items()} for t, by_key in heads.items()},
        "arrivals": {k: str(a) for k, a in store.arrivals("bronze.events").items()},
        "watermarks": store.watermarks(),
        "outstanding": [r.run_id for r in store.outstanding()],
        "doctor": sorted({(s.subject, s.health.value) for s in workspace.upkeep.doctor((), read_data=True)}),
        "source files": {u: (f.rows_added, f.rows_rejected) for u, f in store.source_files("bronze.events").items()},
    }


def _counts(summary: str) -> str:
    found = json.loads(summary) if summary else {}
    return json.dumps({k: v for k, v in found.items() if k not in ("plan_id", "undoes")}, sort_keys=True)
