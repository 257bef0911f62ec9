"""Repair what doctor finds: what is mended is mended to the byte; what a run must make again, and the rest, is said.

Rules: nothing is replaced of which no copy is kept; a file is put in place only with the SHA-256 that was published;
a Bronze row is never made up. Every act can be done again, so an interrupted repair is given up and made anew.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from remint.errors import RepairRefused
from remint.execution.doctor import examine
from remint.execution.doctor_log import Journalled
from remint.execution.reingest import Origin, Origins, made_again
from remint.execution.symptom import Health, Kind, Symptom
from remint.formats.base import LogReading, Replacement
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionSet, days_of
from remint.model.provenance import DataFile
from remint.model.run import StepKind
from remint.model.wording import counted
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.publish import record_success
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.storage.base import below
from remint.store.values import AuditStatus, Outcome

_DERIVED = {
    Kind.HEADS_WRONG,
    Kind.ARRIVED_WRONG,
    Kind.STANDINGS_WRONG,
    Kind.PROJECTION_UNKNOWN,
    Kind.PROJECTION_WRONG,
}
_ENTRIES = {
    Kind.LOG_EMPTY,
    Kind.LOG_TORN,
    Kind.LOG_CUT,
    Kind.LOG_GAP,
    Kind.LOG_DUPLICATE,
    Kind.COMMIT_LOST,
    Kind.COMMIT_CHANGED,
}
_FOLLOWS = {Kind.NOT_LIVE, Kind.FOREIGN_FILE, Kind.WRONG_ENTRY, Kind.LOG_UNREADABLE}
"""What a log that is mended may mend as well."""
_RANGES = 5
"""As many commands are given for one dataset; else one for all days between."""


class ActKind(StrEnum):
    """How something is mended."""

    PUT_BACK = "put_back"
    """A log entry is written anew as its run journalled it."""
    MOVE_ASIDE = "move_aside"
    """A log entry that no run vouches for is taken out of the log."""
    COPY = "copy"
    """The very bytes were found elsewhere."""
    REINGEST = "reingest"
    """The very bytes are made again from the source file."""
    REMAKE = "remake"
    """What is derived is made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that a repair does."""

    kind: ActKind
    subject: str
    place: str
    words: str
    file: DataFile | None = None
    source: str = ""
    """Place of the bytes that are copied."""
    origin: Origin | None = None
    version: int = -1
    replacement: Replacement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """Partitions of one dataset whose files are damaged, and that a run makes again from what they were made from.

    Until then they stay in the tables as they are: whoever reads them is told, instead of seeing a hole.
    """

    dataset: DatasetName
    keys: PartitionSet
    words: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What can be mended, in the order in which it is, and what cannot."""

    acts: tuple[Act, ...]
    rebuilds: tuple[Rebuild, ...]
    """Upstream first."""
    hopeless: tuple[Symptom, ...]
    """What stays as it is; the hint says what a person can do."""


def find_repair(tools: Tools, graph: DatasetGraph, names: Sequence[DatasetName]) -> Repair:
    """Return how what is wrong with datasets can be mended; nothing is changed."""
    symptoms = [s for s in examine(tools, graph, names, read_data=True) if s.health is Health.BAD]
    bench = _Bench(tools, graph, Journalled.of(tools), {s.subject: [] for s in symptoms})
    acts: list[Act] = []
    hopeless: list[Symptom] = []
    damaged: dict[DatasetName, list[str]] = {}
    for symptom in symptoms:
        act = bench.act(symptom, symptoms)
        if isinstance(act, str):
            damaged.setdefault(symptom.subject, []).append(act)
        elif isinstance(act, Symptom):
            hopeless.append(act)
        elif (act.kind, act.subject, act.place) not in {(a.kind, a.subject, a.place) for a in acts}:
            acts.append(act)
    mended = {a.subject for a in acts if a.kind in (ActKind.PUT_BACK, ActKind.MOVE_ASIDE)}
    left = [s for s in hopeless if not (s.kind in _FOLLOWS and s.subject in mended)]
    order = list(ActKind)
    acts = sorted(bench.with_following(acts), key=lambda a: (order.index(a.kind), a.subject, a.version, a.place))
    rebuilds = [_rebuild(graph[name], damaged[name]) for name in names if name in damaged]
    return Repair(acts=tuple(acts), rebuilds=tuple(rebuilds), hopeless=tuple(left))


def _rebuild(dataset: Dataset, keys: Sequence[str]) -> Rebuild:
    found = PartitionSet.of(dataset.partition.grain, keys)
    spans = [PartitionSet.from_lanes(found.grain, {"": (span,)}) for span in found.all_spans]
    days = [named for named in map(days_of, spans) if named]
    if len(days) > _RANGES:
        days = [(days[0][0], days[-1][1])]
    ranges = [f"--range {first}..{after - timedelta(days=1)}" for first, after in days] or ["--all"]
    return Rebuild(
        dataset=dataset.name,
        keys=found,
        words=f"{counted(len(found), 'partition')} made again by a run ({found.describe()})",
        commands=tuple(
            f'remint run {dataset.name} --rebuild {which} --no-override-state --reason "..."' for which in ranges
        ),
    )


@dataclass(slots=True)
class _Bench:
    """What finding a repair needs to know."""

    tools: Tools
    graph: DatasetGraph
    journalled: Journalled
    flawed: dict[str, list[str]]
    origins: Origins | None = None

    def act(self, symptom: Symptom, symptoms: Sequence[Symptom]) -> Act | str | Symptom:
        """Return what mends a symptom, the partition to make again, or the symptom with words on why nothing does."""
        if symptom.kind in _DERIVED:
            words = "heads, totals of arrivals, standings and digests over columns are made again from the ledger"
            return Act(kind=ActKind.REMAKE, subject="state database", place="derived tables", words=words)
        if symptom.subject not in self.graph.datasets:
            return symptom
        dataset = self.graph[symptom.subject]
        if symptom.kind in _ENTRIES:
            return self._on_entry(dataset, symptom)
        if symptom.kind is Kind.LOG_CHECKPOINT:
            return self._on_checkpoint(dataset, symptom)
        if symptom.kind is Kind.WRONG_ENTRY and self.tools.tables.entries_build_up:
            return self._on_wrong_entry(dataset, symptom)
        if symptom.kind.startswith("file_") and symptom.kind is not Kind.FILE_OF_TWO:
            others = [s.place for s in symptoms if s.subject == symptom.subject and s.kind is Kind.FILE_REPLACED]
            return self._on_file(dataset, symptom, others)
        return symptom

    def _on_entry(self, dataset: Dataset, symptom: Symptom) -> Act | Symptom:
        reading = self._log_of(dataset)
        if reading.is_lost:
            return self._on_all_lost(dataset, symptom, reading.faults[-1].file)
        named = {c.file: c.version for c in reading.commits} | {f.file: f.version for f in reading.faults}
        version = named[symptom.place] if symptom.place in named else int(symptom.place.partition(".")[0])
        there = {c.version: c.run_id for c in reading.commits}
        meant = self.journalled.replacement(dataset.name, version)
        if meant is None and there.get(version) and symptom.kind is Kind.COMMIT_CHANGED:
            return symptom
        if (
            meant is not None
            and there.get(version, meant.run_id) in (meant.run_id, "")
            and not (symptom.kind is Kind.COMMIT_LOST and version in there)
            and self._following(dataset, version) is not None
        ):
            words = f"{symptom.place} is written anew as run {meant.run_id} journalled it"
            return self._act(ActKind.PUT_BACK, symptom, words, version=version, replacement=meant)
        if meant is None and version == reading.newest and symptom.kind is not Kind.COMMIT_LOST:
            words = f"{symptom.place} is taken out of the log: no run that ended made it"
            return self._act(ActKind.MOVE_ASIDE, symptom, words, version=version)
        why = "no journal says what stood there: restore it from a backup of the table"
        if dataset.transform is not None:
            folder = self.tools.folder(dataset)
            move = f"{'aws s3 mv --recursive' if '://' in folder else 'mv'} {folder} {folder}.damaged"
            # Where entries build up, a catalog names the newest, and goes on to do so.
            forget = f'remint repair {dataset.name} --apply --reason "..."; ' * self.tools.tables.entries_build_up
            why = f'{why}, or have it made anew: {move}; {forget}remint run {dataset.name} --reason "..."'
        return _left(symptom, why)

    def _on_all_lost(self, dataset: Dataset, symptom: Symptom, file: str) -> Act | Symptom:
        """Return the end of a table of which no state can be read, where a run makes it anew."""
        if dataset.transform is None:
            folder = f"{self.tools.folder(dataset)}/{self.tools.tables.log_folder}"
            return _left(symptom, f"no state of the table can be read: restore {folder} from a backup")
        words = f"the catalog forgets the table, of which {file} and what it names cannot be read; a run makes it anew"
        return replace(self._act(ActKind.MOVE_ASIDE, symptom, words), place=file)

    def _log_of(self, dataset: Dataset) -> LogReading:
        """Read the log of a table, and leave out commits that were journalled of another one in its place."""
        reading = self.tools.tables.read_log(self.tools.table(dataset))
        self.journalled.hold_to(dataset.name, reading.table_id)
        return reading

    def _on_wrong_entry(self, dataset: Dataset, symptom: Symptom) -> Act | Symptom:
        """Return the making anew of the commit that put a file in, of which the log says something else."""
        self._log_of(dataset)
        for version in sorted(self.journalled.published.get(dataset.name, {}), reverse=True):
            meant = self.journalled.replacement(dataset.name, version)
            if meant is not None and any(file.path == symptom.place for file in meant.adds):
                if self._following(dataset, version) is None:
                    break
                words = f"version {version} is made anew as run {meant.run_id} journalled it"
                return self._act(ActKind.PUT_BACK, symptom, words, version=version, replacement=meant)
        return _left(symptom, f"plan {dataset.name} anew, or restore its metadata from a backup")

    def _following(self, dataset: Dataset, version: int) -> list[Act] | None:
        """Return the commits that must be made anew after that of ``version``; None where no journal holds one."""
        if not self.tools.tables.entries_build_up:
            return []
        reading = self._log_of(dataset)
        newest = max(reading.newest, *self.journalled.published.get(dataset.name, {-1: ""}))
        acts = []
        for later in range(version + 1, newest + 1):
            meant = self.journalled.replacement(dataset.name, later)
            if meant is None:
                return None
            words = f"version {later} is made anew after it, as run {meant.run_id} journalled it"
            place = f"{later:020d}.json"
            acts.append(
                Act(
                    kind=ActKind.PUT_BACK,
                    subject=dataset.name,
                    place=place,
                    words=words,
                    version=later,
                    replacement=meant,
                )
            )
        return acts

    def with_following(self, acts: Sequence[Act]) -> list[Act]:
        """Return the acts with those that must follow, each version of a table once."""
        put = {(a.subject, a.version): a for a in acts if a.kind is ActKind.PUT_BACK}
        for act in list(put.values()):
            for later in self._following(self.graph[act.subject], act.version) or ():
                put.setdefault((later.subject, later.version), later)
        return [*(a for a in acts if a.kind is not ActKind.PUT_BACK), *put.values()]

    def _on_checkpoint(self, dataset: Dataset, symptom: Symptom) -> Act | Symptom:
        reading = self._log_of(dataset)
        is_whole = [c.version for c in reading.commits] == list(range(reading.newest + 1))
        if is_whole or symptom.place.startswith("_"):
            words = f"{symptom.place} is taken out of the log, whose entries say all that it said"
            return self._act(ActKind.MOVE_ASIDE, symptom, words)
        return _left(symptom, "the entries that it sums up are gone: restore it from a backup of the table")

    def _act(
        self, kind: ActKind, symptom: Symptom, words: str, *, version: int = -1, replacement: Replacement | None = None
    ) -> Act:
        return Act(
            kind=kind,
            subject=symptom.subject,
            place=symptom.place,
            words=words,
            version=version,
            replacement=replacement,
        )

    def _on_file(self, dataset: Dataset, symptom: Symptom, others: Sequence[str]) -> Act | str | Symptom:
        records = self.tools.store.records(dataset.name).values()
        record, file = next((r, f) for r in records for f in r.files if f.path == symptom.place)
        act = Act(kind=ActKind.COPY, subject=dataset.name, place=file.path, words="", file=file)
        found = self._copy_of(dataset, file, others)
        if found is not None:
            return replace(act, source=found, words=f"its bytes are put back from {found}")
        if dataset.transform is not None:
            return record.key
        self.origins = self.origins or Origins.of(self.tools)
        origin = self.origins.known.get((dataset.name, file.path))
        if origin is None:
            return _left(symptom, "it was adopted: restore it from a backup of the table")
        with made_again(self.tools, self.graph, self.origins, origin, file) as (place, why):
            if place is not None:
                words = f"its bytes are made again from {origin.uri}"
                return replace(act, kind=ActKind.REINGEST, origin=origin, words=words)
        days = f" of {', '.join(origin.event_keys[:5])}" if origin.event_keys else ""
        lost = f"{counted(origin.rows, 'row')}{days} came from {origin.uri} by run {origin.run_id}"
        return _left(symptom, f"{why}; {lost}: restore the file from a backup")

    def _copy_of(self, dataset: Dataset, file: DataFile, others: Sequence[str]) -> str | None:
        """Return where the very bytes are: in an earlier or exchanged file of the table, or one that a repair kept."""
        storage, folder = self.tools.storage, self.tools.folder(dataset)
        near = posixpath.dirname(below(folder, file.path))
        places = [below(folder, path) for path in others]
        places += [below(near, name) for name in storage.names(near)]
        kept = kept_below(self.tools)
        places += sorted(str(p) for p in kept.rglob("*") if p.is_file()) if kept.is_dir() else []
        for place in places:
            try:
                held = storage.stat(place)
                if held and held.size_bytes == file.size_bytes and storage.sha256(place) == file.sha256:
                    return place
            except OSError:
                continue
        return None


def _left(symptom: Symptom, why: str) -> Symptom:
    return replace(symptom, hint=why)


def kept_below(tools: Tools) -> Path:
    """Return the folder in which repairs keep what they replace."""
    return tools.root / ".remint" / "repairs"


def run_repair(tools: Tools, graph: DatasetGraph, run_id: str, found: Repair) -> None:
    """Carry out a repair under an existing run; what is replaced is kept below ``.remint/repairs/<run>``.

    Raises:
        RepairRefused: something is not as it was found, or could not be made as it was published.
    """
    try:
        kept = _keep_all(tools, graph, run_id, found.acts)
        steps: dict[ActKind, Callable[[Act], None]] = {
            ActKind.PUT_BACK: lambda act: _put_back(tools, graph, act),
            ActKind.MOVE_ASIDE: lambda act: _move_aside(tools, graph, act),
            ActKind.COPY: lambda act: _place(tools, graph, act, kept.get(act.source, act.source)),
            ActKind.REINGEST: lambda act: _reingest(tools, graph, act),
            ActKind.REMAKE: lambda _: tools.store.remake_derived(),
        }
        for act in found.acts:
            steps[act.kind](act)
            payload = {"act": act.kind, "subject": act.subject, "place": act.place}
            tools.store.journal_append(run_id, StepKind.REPAIRED, payload)
        _record(tools, graph, run_id, found)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _keep_all(tools: Tools, graph: DatasetGraph, run_id: str, acts: Iterable[Act]) -> dict[str, str]:
    """Copy everything that is about to be replaced, durably; return the copies by the place of the original."""
    copies = {}
    for act in acts:
        if act.subject not in graph.datasets:
            continue
        path = f"{tools.tables.log_folder}/{act.place}" if act.file is None else act.place
        original = below(tools.folder(graph[act.subject]), path)
        if tools.storage.stat(original):
            copies[original] = str(kept_below(tools) / run_id / act.subject / path)
            tools.storage.copy(original, copies[original])
    return copies


def _put_back(tools: Tools, graph: DatasetGraph, act: Act) -> None:
    if act.replacement is not None:
        tools.tables.put_back_commit(tools.table(graph[act.subject]), act.version, act.replacement)
    reading = tools.tables.read_log(tools.table(graph[act.subject]))
    if any(f.file == act.place for f in reading.faults):
        raise RepairRefused(f"{act.subject}: log entry {act.place} is not whole after it was written anew")


def _move_aside(tools: Tools, graph: DatasetGraph, act: Act) -> None:
    tools.tables.take_out_entry(tools.table(graph[act.subject]), act.place)


def _reingest(tools: Tools, graph: DatasetGraph, act: Act) -> None:
    if act.origin is None or act.file is None:
        return
    with made_again(tools, graph, Origins.of(tools), act.origin, act.file) as (place, why):
        if place is None:
            raise RepairRefused(f"{act.subject}: {act.place} could not be made again: {why}")
        _place(tools, graph, act, str(place))


def _place(tools: Tools, graph: DatasetGraph, act: Act, source: str) -> None:
    """Put bytes in the place of a published file, if they are the published ones."""
    storage, dataset, file = tools.storage, graph[act.subject], act.file
    if file is None or not storage.stat(source) or storage.sha256(source) != file.sha256:
        raise RepairRefused(f"{act.subject}: {source} does not hold the bytes of {act.place} any more")
    storage.copy(source, below(tools.folder(dataset), file.path))
    wrong = flawed_files(storage, tools.folder(dataset), [file], Depth.BYTES)
    if wrong:
        raise RepairRefused(f"{act.subject}: {wrong[0]}, after it was put back")


def _record(tools: Tools, graph: DatasetGraph, run_id: str, found: Repair) -> None:
    run, ended = tools.store.run(run_id), tools.now()
    acts = [{"act": a.kind.value, "subject": a.subject, "place": a.place} for a in found.acts]
    left = len(found.hopeless) + len(found.rebuilds)
    detail = {"acts": acts, "kept": str(kept_below(tools) / run_id), "left": left}
    touched = tuple(sorted({a.subject for a in found.acts if a.subject in graph.datasets}))
    scope = Scope(datasets=touched, detail=detail)
    outcome = Outcome(
        run_id=run_id,
        ended_at=ended,
        audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
        summary=scope.summary(),
        # Of a log that was mended, the newest entry may be the one that was seen: all of it is looked at anew.
        tables_seen={name: replace(s, mark="") for name, s in tools.store.tables_seen().items() if name in touched},
    )
    record_success(tools, [], outcome)
