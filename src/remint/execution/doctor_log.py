"""Compare the log of a table with the journals of the runs that wrote it: commit by commit, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from remint.execution.symptom import Kind, Symptom, bad, mending, note
from remint.formats.base import Commit, LoggedFile, LogReading, Replacement
from remint.model.dataset import Dataset, DatasetName
from remint.model.provenance import DataFile
from remint.model.run import Run, RunKind, StepKind
from remint.publishing.tools import Tools

_KINDS = frozenset({StepKind.PUBLISH_INTENT, StepKind.PUBLISHED})


@dataclass(frozen=True, slots=True)
class Intent:
    """Files that a run meant to put into a table and to take out."""

    adds: tuple[DataFile, ...]
    removes: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    """What a run journalled after it committed to a table."""

    run_id: str
    version: int
    table_id: str


@dataclass(slots=True)
class Journalled:
    """What all runs journalled about their commits."""

    runs: dict[str, Run]
    intents: dict[tuple[DatasetName, str], list[Intent]] = field(default_factory=dict)
    """By dataset and run, in the order in which the run wrote them down."""
    published: dict[DatasetName, dict[int, str]] = field(default_factory=dict)
    """By dataset and version of its table, the run whose commit it is; of datasets that ``hold_to`` was called for."""
    adopted: dict[DatasetName, int] = field(default_factory=dict)
    """By dataset, the table version that was last taken as it was, whoever made it."""
    commits: dict[DatasetName, list[_Commit]] = field(default_factory=dict)
    """By dataset, in the order in which the runs ended."""

    @classmethod
    def of(cls, tools: Tools) -> Journalled:
        """Read the journals."""
        found = cls({run.run_id: run for run in tools.store.runs(_ALL)})
        for run_id, step in tools.store.steps(_KINDS):
            if step.kind is StepKind.PUBLISHED:
                made = _Commit(run_id, step.payload["version"], step.payload.get("table", ""))
                found.commits.setdefault(step.payload["dataset"], []).append(made)
                continue
            for table in step.payload["tables"]:
                intent = Intent(_files(table["adds"]), _files(table["removes"]))
                if intent.adds or intent.removes:
                    found.intents.setdefault((table["dataset"], run_id), []).append(intent)
        for commits in found.commits.values():
            commits.sort(key=lambda c: found.runs[c.run_id].ended_at or "still at work")
        for release in tools.store.releases():
            if found.runs[release.run_id].kind is RunKind.ADOPT:
                found.adopted.update(release.versions)
        return found

    def hold_to(self, name: DatasetName, table_id: str) -> None:
        """Ask of a dataset's table only what was committed to it: to that of this id, since it was last set back.

        Args:
            name: the dataset.
            table_id: as its log says; empty: it does not, and any table may have been meant.
        """
        held: dict[int, str] = {}
        newest = 0
        for made in self.commits.get(name, ()):
            if table_id and made.table_id not in ("", table_id):
                continue
            # It was set back, and what came after is gone; or, of two runs at once, the first ended last.
            if made.version < newest or held.get(made.version, made.run_id) != made.run_id:
                held = {v: run for v, run in held.items() if v < made.version}
            newest = made.version
            held[newest] = made.run_id
        self.published[name] = held

    def replacement(self, name: DatasetName, version: int) -> Replacement | None:
        """Return the commit that a table version must hold; None where no run journalled one."""
        run_id = self.published.get(name, {}).get(version, "")
        meant = self.intents.get((name, run_id))
        if not meant:
            return None
        versions = sorted(v for v, run in self.published[name].items() if run == run_id)
        place = versions.index(version)
        intent = meant[min(place, len(meant) - 1)]
        return Replacement(run_id=run_id, attempt=2 * place + 1, adds=intent.adds, removes=intent.removes)


_ALL = 1 << 40


def _files(rows: Sequence[Mapping[str, object]]) -> tuple[DataFile, ...]:
    return tuple(DataFile(**row) for row in rows)  # type: ignore[arg-type]


def log_symptoms(dataset: Dataset, reading: LogReading, journalled: Journalled) -> Iterable[Symptom]:
    """Yield what is wrong with the entries of a log, and where they and the journals disagree."""
    faulty = {fault.version for fault in reading.faults}
    for fault in reading.faults:
        kind, words = Kind(f"log_{fault.flaw}"), f"log entry {fault.file} {fault.detail}"
        yield bad(dataset, kind, words, mending(dataset), place=fault.file)
    published = journalled.published.get(dataset.name, {})
    seen: dict[tuple[str, int], int] = {}
    for commit in (c for c in reading.commits if c.run_id):
        first = seen.setdefault((commit.run_id, commit.attempt), commit.version)
        if commit.version in faulty:
            continue
        if first != commit.version:
            words = f"log entry {commit.file} is the commit of run {commit.run_id}, which is version {first} already"
            yield bad(dataset, Kind.LOG_DUPLICATE, words, mending(dataset), place=commit.file)
        elif not _is_bar(commit, published, follows=(commit.run_id, commit.attempt - 1) in seen):
            yield from _compared(dataset, commit, journalled)
    yield from _lost(dataset, reading, journalled, faulty)


def _is_bar(commit: Commit, published: Mapping[int, str], *, follows: bool) -> bool:
    """Return whether a commit only keeps the attempt before it, which is not there, from being made any more.

    Args:
        commit: one of remint's.
        published: by version of the table, the run that journalled its commit: an odd attempt, never a bar.
        follows: the attempt before it is in the log, so this one takes it back.
    """
    if commit.adds or commit.removes or follows or commit.attempt < 2:
        return False
    return commit.attempt % 2 == 0 or published.get(commit.version) != commit.run_id


def _compared(dataset: Dataset, commit: Commit, journalled: Journalled) -> Iterable[Symptom]:
    name = dataset.name
    if commit.run_id not in journalled.runs:
        if commit.version <= journalled.adopted.get(name, -1):
            return
        words = f"log entry {commit.file} is of run {commit.run_id}, which the state database does not know"
        hint = "restore the state database that knows it; or remint adopt takes the rows as they are"
        yield bad(dataset, Kind.COMMIT_UNKNOWN, words, hint, place=commit.file)
        return
    meant = journalled.intents.get((name, commit.run_id), [])
    has_stats = all(f.stats is not None for f in commit.adds)
    found = _sides(commit.adds, commit.removes, has_stats)
    sides = [(i.adds, i.removes) if commit.attempt % 2 else (i.removes, i.adds) for i in meant]
    wanted = [_sides(adds, [f.path for f in removes], has_stats) for adds, removes in sides]
    if not wanted:
        words = f"log entry {commit.file} is of run {commit.run_id}, which never meant to commit here"
        yield bad(dataset, Kind.COMMIT_UNKNOWN, words, place=commit.file)
    elif found not in wanted:
        different = sorted({p for side in (0, 1) for p in _paths(wanted[-1][side]) ^ _paths(found[side])})
        about = f", for example of {different[0]}" if different else " of a file's partition, size or statistics"
        words = f"log entry {commit.file} is not what run {commit.run_id} committed{about}"
        yield bad(dataset, Kind.COMMIT_CHANGED, words, mending(dataset), place=commit.file)


_Side = frozenset[tuple[str, str, int, str]]


def _sides(
    adds: Iterable[DataFile | LoggedFile], removes: Iterable[str], has_stats: bool
) -> tuple[_Side, frozenset[str]]:
    added = frozenset((f.path, f.key, f.size_bytes, (f.stats or "") if has_stats else "") for f in adds)
    return added, frozenset(removes)


def _paths(side: Iterable[object]) -> set[str]:
    return {entry[0] if isinstance(entry, tuple) else str(entry) for entry in side}


def _lost(dataset: Dataset, reading: LogReading, journalled: Journalled, faulty: set[int]) -> Iterable[Symptom]:
    """Yield the commits that runs journalled as made and that the log does not hold."""
    there = {c.version: c for c in reading.commits}
    oldest = min(there, default=0)
    for version, run_id in sorted(journalled.published.get(dataset.name, {}).items()):
        # What was before the oldest entry was cleaned up; a run without files for the table made no commit.
        if version in faulty or version < oldest or (dataset.name, run_id) not in journalled.intents:
            continue
        held = there.get(version)
        if held is not None and held.run_id == run_id:
            continue
        words = f"run {run_id} committed version {version}, and the log holds "
        if held is not None and (not held.run_id or _is_bar(held, {}, follows=False)):
            # Nothing replaces an entry, so no damage did that. Whether the right files are live, the files tell.
            who = held.run_id or "somebody else"
            words += f"a commit of {who} there: it was set back, or has forgotten that commit"
            yield note(dataset, Kind.COMMIT_LOST, words)
        else:
            words += "no such version" if held is None else f"a commit of {held.run_id} there"
            yield bad(dataset, Kind.COMMIT_LOST, words, mending(dataset), place=f"{version:020d}.json")
