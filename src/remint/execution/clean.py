"""Find and remove what ended runs and interrupted commands left behind.

Rules: a file of a table goes only if a run of ours wrote it, that run has ended, and no ledger record and no table
version names it. Of a run that was given up or waived, only the newest version counts: what it took back was in no
release. What commits that were never made left of a table format's own files does not say whose it is: it goes once it
is older than the grace and no run is outstanding. Who ended is read before what is named, so a run that ends meanwhile
loses nothing. A table whose log is damaged is left alone: what it names is not known.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from remint.errors import LogDamaged
from remint.execution.doctor_files import unnamed_files, writer
from remint.model.dataset import DatasetName
from remint.model.graph import DatasetGraph
from remint.model.run import OUTSTANDING, RUNNING, Run, RunState
from remint.publishing.tools import Tools
from remint.storage.base import below
from remint.store.values import AuditEntry, AuditStatus

_ALL = 1 << 40
_SPILL = "spill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Litter:
    """Something that nobody needs."""

    place: str
    """Absolute."""
    size_bytes: int
    words: str
    """Why nobody needs it."""
    dataset: DatasetName = ""


def find_litter(tools: Tools, graph: DatasetGraph, names: Iterable[DatasetName], grace: timedelta) -> list[Litter]:
    """Return what can go, the files of tables first.

    Args:
        tools: adapters.
        graph: the declared datasets.
        names: datasets below whose folders is looked.
        grace: how old what has no run to tell its owner must be.
    """
    names = list(names)
    # Taken before the runs: what is older than that, and of a run, is of one that is among them.
    oldest = tools.clock().timestamp() - grace.total_seconds()
    runs = {run.run_id: run for run in tools.store.runs(_ALL)}
    ended = {run_id: run for run_id, run in runs.items() if run.state not in OUTSTANDING}
    found = [litter for name in names for litter in _of_table(tools, graph, name, ended)]
    if len(ended) == len(runs):
        found += [litter for name in names for litter in _of_commits(tools, graph, name, oldest)]
    found += _halves(tools.root / ".remint", oldest)
    # Runs that are at work spill and fetch into the folder for temporary files, and do not say which is theirs.
    if not any(run.state in RUNNING for run in runs.values()):
        found += _temporary(tools.scratch, oldest)
    return found


def _of_table(tools: Tools, graph: DatasetGraph, name: DatasetName, ended: dict[str, Run]) -> Iterable[Litter]:
    dataset = graph[name]
    reading = tools.tables.read_log(tools.table(dataset))
    if reading.faults:
        return
    live = set().union(*tools.tables.live_files(tools.table(dataset)).values())
    let_be = {run_id for run_id, run in ended.items() if run.state in (RunState.ABANDONED, RunState.WAIVED)}
    # Read last: what somebody adopts meanwhile was live.
    ever = tools.store.paths_ever(name)
    named = ever | live | {path for path in reading.named if writer(path) not in let_be}
    for file in unnamed_files(tools, dataset, ended, named):
        if file.run is not None:
            yield Litter(
                place=below(tools.folder(dataset), file.path),
                size_bytes=file.size_bytes,
                words=f"written by run {file.run.run_id}, which is {file.run.state}",
                dataset=name,
            )


def _of_commits(tools: Tools, graph: DatasetGraph, name: DatasetName, oldest: float) -> Iterable[Litter]:
    """Yield what commits that were not made, and states that a table has forgotten, left of its format's own files."""
    table = tools.table(graph[name])
    with suppress(LogDamaged):
        for file in tools.tables.unnamed(table):
            if file.changed_at < oldest:
                words = "metadata of a commit that was not made, or of a state that the table has forgotten"
                yield Litter(place=file.path, size_bytes=file.size_bytes, words=words, dataset=name)


def _halves(folder: Path, oldest: float) -> Iterable[Litter]:
    """Yield files that were written halfway when a command was killed: their names begin with a dot."""
    for place in sorted((*folder.glob("plans/.*"), *folder.glob("cache/.*"))):
        size, newest = _measured(place)
        if newest < oldest:
            yield Litter(place=str(place), size_bytes=size, words="a file whose writing was interrupted")


def _temporary(scratch: Path, oldest: float) -> Iterable[Litter]:
    places = [p for p in scratch.glob("*") if p.name != _SPILL]
    for place in sorted([*places, *(scratch / _SPILL).glob("*")]):
        size, newest = _measured(place)
        if newest < oldest:
            yield Litter(place=str(place), size_bytes=size, words="a temporary folder that nobody writes to")


def _measured(place: Path) -> tuple[int, float]:
    """Return the bytes of a file or folder and when anything in it changed last; of what is gone: nothing, never."""
    size, newest = 0, 0.0
    for inner in (place, *place.rglob("*")):
        try:
            held = inner.lstat()
        except FileNotFoundError:
            continue
        size += held.st_size if stat.S_ISREG(held.st_mode) else 0
        newest = max(newest, held.st_mtime)
    return size, newest


def clean(tools: Tools, found: list[Litter], actor: str, reason: str) -> None:
    """Remove what was found; the log says so before and after."""
    before = _entry(found, actor, reason, tools.now())
    tools.store.log(before)
    tools.storage.delete(litter.place for litter in found if litter.dataset)
    for litter in found:
        if litter.dataset:
            continue
        place = Path(litter.place)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    now = tools.now()
    tools.store.log(_entry(found, actor, reason, now, start_time=before.at, status=AuditStatus.SUCCESS))


def _entry(
    found: list[Litter],
    actor: str,
    reason: str,
    now: str,
    start_time: str = "",
    status: AuditStatus = AuditStatus.STARTED,
) -> AuditEntry:
    return AuditEntry(
        at=now,
        action="clean",
        actor=actor,
        run_id=None,
        start_time=start_time or now,
        end_time=None if status is AuditStatus.STARTED else now,
        reason=reason,
        status=status,
        datasets=tuple(sorted({litter.dataset for litter in found if litter.dataset})),
        detail={"files": [litter.place for litter in found], "bytes": sum(litter.size_bytes for litter in found)},
    )
