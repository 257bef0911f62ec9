"""Ingest source files and pages into Bronze: every file once, every key once, every bad row kept with its reason.

Rules: counts reconcile to the row (read = added + duplicate + quarantined); Bronze is only ever appended to; what
arrived for which event partition is recorded with the rows, so late data is found without a scan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from remint.engines.base import Ingested, IngestWork
from remint.errors import ArrivalsRedeclared, BronzeChanged
from remint.formats.base import by_key
from remint.ingestion.delivery import Pending, PendingFile, Place
from remint.ingestion.extraction import Window, covered, cursors, pages_due, windows
from remint.model.dataset import Dataset, DatasetName, FileSource, Layer, quarantine_name
from remint.model.digest import ContentDigest, canonical
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import Grain, PartitionKey, PartitionSet
from remint.model.provenance import Arrival, DataFile, ProvenanceRecord
from remint.model.request import Extraction
from remint.model.run import RunState, StepKind
from remint.publishing.accounted import files_known
from remint.publishing.intact import Depth, flawed_files, require_intact
from remint.publishing.leftovers import leftovers, token
from remint.publishing.publish import (
    TableChange,
    intend,
    intended,
    intended_fence,
    intended_newest,
    publish_tables,
    record_success,
)
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.scheme import Content, in_own_scheme, require_countings
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import refuse_unrecorded
from remint.sources.files import discover
from remint.store.values import AuditStatus, Outcome, SourceFileRecord, UnitKey

_NOTHING = Ingested(
    files=(),
    quarantine_files=(),
    digests={},
    arrivals=(),
    rows_read=0,
    rows_added=0,
    rows_duplicate=0,
    rows_rejected=0,
)
"""What becomes of a file whose very bytes were ingested before, under whatever name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What an ingest was asked for, as it stands at the head of its journal."""

    datasets: tuple[DatasetName, ...]
    days: tuple[str, ...] = ()
    """Days whose files are wanted, as ``PartitionSet.as_ranges`` writes them; empty: files of every day."""
    windows: tuple[Window, ...] = ()

    @classmethod
    def of(cls, datasets: Sequence[Dataset], asked: Extraction, standing: Mapping[DatasetName, str]) -> Begun:
        """Return what ``asked`` means for the chosen datasets, with the watermarks as they stand."""
        days = asked.range.keys(Grain.DAY).as_ranges() if asked.range else ()
        return cls(
            datasets=tuple(d.name for d in datasets),
            days=tuple(days),
            windows=windows(datasets, asked, standing),
        )

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Begun:
        """Return what ``canonical`` wrote."""
        return cls(
            datasets=tuple(payload["datasets"]),
            days=tuple(payload["days"]),
            windows=tuple(Window(**w) for w in payload["windows"]),
        )


@dataclass(slots=True)
class _Intake:
    """What an ingest run has staged so far."""

    files: dict[DatasetName, list[DataFile]] = field(default_factory=dict)
    digests: dict[tuple[DatasetName, str], ContentDigest] = field(default_factory=dict)
    """By dataset and file path."""
    arrivals: dict[DatasetName, list[Arrival]] = field(default_factory=dict)
    rivals: dict[DatasetName, list[Arrival]] = field(default_factory=dict)
    """Arrivals for other event partitions than the rows name; found when all files of the run are there."""
    newest: dict[DatasetName, int] = field(default_factory=dict)
    """Newest ledger record of each dataset when the first file was compared with what it holds."""
    taken: list[tuple[SourceFileRecord, Place]] = field(default_factory=list)

    @property
    def sources(self) -> list[SourceFileRecord]:
        """The files and pages taken, in order."""
        return [source for source, _ in self.taken]

    def add(self, bronze: Dataset, made: Ingested, source: SourceFileRecord, place: Place) -> None:
        rejected = quarantine_name(bronze.name)
        self.files.setdefault(bronze.name, []).extend(made.files)
        self.files.setdefault(rejected, []).extend(made.quarantine_files)
        for file in made.files:
            self.digests[bronze.name, file.path] = made.digests[file.path]
        for file in made.quarantine_files:
            self.digests[rejected, file.path] = made.digests[file.path]
        self.arrivals.setdefault(bronze.name, []).extend(made.arrivals)
        self.taken.append((source, place))


def pending_files(tools: Tools, graph: DatasetGraph, begun: Begun) -> list[PendingFile]:
    """Return the source files that are new or changed since they were ingested, by dataset, then by name."""
    found = []
    wanted = PartitionSet.from_ranges(Grain.DAY, begun.days)
    for dataset in (graph[name] for name in begun.datasets):
        if not isinstance(dataset.source, FileSource):
            continue
        known = tools.store.source_files(dataset.name)
        listed = discover(dataset.source, tools.root)
        if known and not listed:
            detail = f"{dataset.source.url} matches no file any more: is what holds the files there?"
            tools.emit(Event(kind=EventKind.ALERT, run_id="", dataset=dataset.name, detail=detail))
        for file in listed:
            if wanted and file.day not in wanted:
                continue
            seen = known.get(file.uri)
            if seen is None or (seen.size_bytes, seen.mtime_ns) != (file.size_bytes, file.mtime_ns):
                found.append(PendingFile(dataset=dataset.name, file=file))
    return found


def require_tables(tools: Tools, graph: DatasetGraph, datasets: Iterable[Dataset]) -> None:
    """Refuse to ingest into tables that are not there any more, or that nothing can be written to.

    Raises:
        BronzeChanged: the ledger knows a table, and there is none: the settings name another place, or it was removed.
        TableUnusable: somebody changed the table.
    """
    for dataset in (entry for d in datasets for entry in (d, graph[quarantine_name(d.name)])):
        table = tools.table(dataset)
        tools.tables.prepare(table)
        if tools.tables.version(table) is None and (held := len(files_known(tools, dataset))):
            raise BronzeChanged(
                f"{dataset.name}: {held} files are published, and there is no table in {table.location}",
                hint="do [tables], [catalog] and [paths] of remint.toml name the place where it was? if so, restore it",
            )


def begun_of(tools: Tools, run_id: str) -> Begun:
    """Return what an ingest run was asked for."""
    return Begun.from_payload(tools.store.journal(run_id)[0].payload)


def run_ingest(tools: Tools, graph: DatasetGraph, run_id: str, pending: Iterable[PendingFile]) -> None:
    """Ingest ``pending`` and the pages that are due under an existing run, from wherever its journal says it stands.

    Raises:
        ArrivalsRedeclared: rows of the dataset were counted in another way; nothing changed.
        FilesDamaged: a file of Bronze is gone or of another size, so that duplicates cannot be told.
        SourceRejected: a file or page as a whole is unusable; nothing of the run is published.
        SourceUnavailable: a page could not be had; nothing of the run is published.
    """
    require_countings(tools, graph)
    state = tools.store.run(run_id).state
    if state is RunState.FAILED:
        tools.store.set_state(run_id, RunState.STAGING)
    try:
        intake = _journalled(tools, graph, run_id, again=state is not RunState.PUBLISHING)
        if state is not RunState.PUBLISHING:
            refuse_unrecorded(tools, [d for d in graph if d.layer is Layer.BRONZE])
            for name in begun_of(tools, run_id).datasets:
                # Their keys decide what is new; they are too many to be hashed for every few rows that arrive.
                require_intact(tools, graph[name], files_known(tools, graph[name]), Depth.SIZE)
            intake = _still_good(tools, graph, run_id, intake)
            due = pages_due(tools, graph, begun_of(tools, run_id).windows, tuple(intake.taken))
            _stage(tools, graph, run_id, intake, pending, due)
            intend(tools, run_id, list(_changes(graph, intake)), _fence(tools, graph, intake), newest=intake.newest)
        _publish(tools, graph, run_id, intake)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _journalled(tools: Tools, graph: DatasetGraph, run_id: str, *, again: bool) -> _Intake:
    """Return what the run has staged, without what was compared with a Bronze that has grown since.

    ``again``: until now; otherwise until the run wrote down what it publishes, which is held to that Bronze.
    """
    steps = tools.store.journal(run_id)
    held = [e.payload for e in steps if e.kind is StepKind.INGEST_STAGED]
    names = {e["source"]["dataset"] for e in held}
    newest = {name: _newest(tools, name) for name in names} if again else intended_newest(tools, run_id)
    intake = _Intake(newest=dict(newest))
    for entry in steps:
        if entry.kind is StepKind.INGEST_STAGED:
            source = SourceFileRecord(**entry.payload["source"])
            if entry.payload["newest"] != intake.newest[source.dataset]:
                continue
            place = Place(**entry.payload["place"])
            _same_counting(graph[source.dataset], entry.payload["counted"])
            intake.add(graph[source.dataset], _from_payload(entry.payload["made"]), source, place)
        elif entry.kind is StepKind.INGEST_RIVALS:
            intake.rivals = {name: list(map(_arrival, found)) for name, found in entry.payload.items()}
        elif entry.kind is StepKind.INGEST_RESTAGED:
            intake = _Intake(newest=dict(newest))
    return intake


def _still_good(tools: Tools, graph: DatasetGraph, run_id: str, intake: _Intake) -> _Intake:
    """Return what the run has staged, or nothing where a file of it is not as it was written any more.

    Nor where its digests are not of the scheme of this command's engines. Written down before the files go: whoever
    resumes after this holder, under whatever scheme, finds none of them.
    """
    scheme = tools.engine.digest_scheme
    others = {d.scheme for d in intake.digests.values()} - {scheme}
    changes = _changes(graph, intake)
    flawed = [f for c in changes for f in flawed_files(tools.storage, tools.folder(c.dataset), c.adds, Depth.CONTENT)]
    if not others and not flawed:
        return intake
    why = f"{', '.join(sorted(others))} is what another engine, or release of it, made" if others else str(flawed[0])
    tools.store.journal_append(run_id, StepKind.INGEST_RESTAGED, {"scheme": scheme})
    tools.emit(Event(kind=EventKind.RESTAGED, run_id=run_id, detail=f"staged again under {scheme}: {why}"))
    return _Intake()


def _same_counting(bronze: Dataset, counted: str) -> None:
    declared = bronze.arrivals.in_words if bronze.arrivals else ""
    if counted != declared:
        raise ArrivalsRedeclared(
            f"{bronze.name}: the run counted rows {counted or 'not at all'}, and arrivals are declared "
            f"{declared or 'not at all'} since",
            hint='declare them as they were when the run began, or give it up: remint rollback RUN --reason "..."',
        )


def _stage(
    tools: Tools,
    graph: DatasetGraph,
    run_id: str,
    intake: _Intake,
    pending: Iterable[PendingFile],
    due: Iterable[Pending],
) -> None:
    done = {(s.dataset, s.uri) for s in intake.sources}
    waiting = [p for p in pending if (p.dataset, p.uri) not in done]
    first, files = len(intake.taken) + 1, len(intake.taken) + len(waiting)
    tools.scratch.mkdir(parents=True, exist_ok=True)
    for table in graph:
        if table.layer is Layer.BRONZE:
            tools.storage.delete(leftovers(tools, tools.folder(table), run_id, intake.files.get(table.name, [])))
    for number, entry in enumerate(chain[Pending](waiting, due), start=first):
        bronze = graph[entry.dataset]
        newest = intake.newest.setdefault(bronze.name, _newest(tools, bronze.name))
        with tempfile.TemporaryDirectory(dir=tools.scratch) as folder:
            made, source = _stage_one(tools, graph, entry, (run_id, token(tools, run_id, number), Path(folder), intake))
        for name in (bronze.name, quarantine_name(bronze.name)) if made.digests else ():
            tools.storage.sync_names(tools.folder(graph[name]), tools.lake)
        intake.add(bronze, made, source, entry.place)
        counted = bronze.arrivals.in_words if bronze.arrivals else ""
        payload = {
            "source": canonical(source),
            "made": _to_payload(made),
            "place": canonical(entry.place),
            "counted": counted,
            "newest": newest,
        }
        tools.store.journal_append(run_id, StepKind.INGEST_STAGED, payload)
        detail = f"{entry.uri}: {made.rows_added:,} added, {made.rows_duplicate:,} already there"
        detail += f", {made.rows_rejected:,} quarantined" if made.rows_rejected else ""
        tools.emit(
            Event(
                kind=EventKind.STAGED,
                run_id=run_id,
                dataset=bronze.name,
                detail=detail,
                units_done=number,
                units_total=max(files, number),
            )
        )
    earlier, intake.rivals = intake.rivals, _rivals(tools, graph, intake)
    if intake.rivals or earlier:
        payload = {name: list(map(_arrival_payload, found)) for name, found in intake.rivals.items()}
        tools.store.journal_append(run_id, StepKind.INGEST_RIVALS, payload)


def _rivals(tools: Tools, graph: DatasetGraph, intake: _Intake) -> dict[DatasetName, list[Arrival]]:
    """Return what rows of Bronze count for besides, now that the files of the run are added.

    Once for the whole run, when its last file is staged: not a file at a time, which would compare Bronze as often.
    """
    found = {}
    for name, files in sorted(intake.files.items()):
        bronze = graph[name]
        if files and bronze.arrivals and bronze.arrivals.key:
            new, held = tools.scan(bronze, files), tools.scan(bronze, files_known(tools, bronze))
            found[name] = list(tools.engine.rivals(bronze, held, new))
    return found


def _newest(tools: Tools, name: DatasetName) -> int:
    return max((head.seq for head in tools.store.heads([name])[name].values()), default=0)


def _fence(tools: Tools, graph: DatasetGraph, intake: _Intake) -> dict[UnitKey, int | None]:
    """Return the heads of what the run adds to. Read now: ``intend`` refuses a dataset that grew since staging."""
    heads = tools.store.heads(list(intake.files))
    units = ((c.dataset.name, f.key) for c in _changes(graph, intake) for f in c.adds)
    return {(name, key): heads[name][key].seq if key in heads[name] else None for name, key in units}


def _stage_one(
    tools: Tools, graph: DatasetGraph, entry: Pending, place: tuple[str, str, Path, _Intake]
) -> tuple[Ingested, SourceFileRecord]:
    run_id, named, folder, intake = place
    bronze = graph[entry.dataset]
    quarantine = graph[quarantine_name(bronze.name)]
    fetched = entry.fetch(folder)
    known = tools.scan(bronze, [*files_known(tools, bronze), *intake.files.get(bronze.name, [])])
    mine = [s for s in intake.sources if s.dataset == bronze.name]
    known_contents = {r.sha256 for r in (*tools.store.source_files(bronze.name).values(), *mine)}
    made = (
        replace(_NOTHING, rows_read=entry.rows_repeated, rows_duplicate=entry.rows_repeated)
        if fetched.sha256 in known_contents
        else tools.engine.ingest(
            IngestWork(
                dataset=bronze,
                quarantine=quarantine,
                path=str(fetched.path),
                uri=entry.uri,
                known=known,
                ingested_at=tools.store.run(run_id).started_at,
                root=tools.folder(bronze),
                quarantine_root=tools.folder(quarantine),
                token=named,
                layout=tools.tables.layout(tools.table(bronze)),
                quarantine_layout=tools.tables.layout(tools.table(quarantine)),
            )
        )
    )
    source = SourceFileRecord(
        dataset=bronze.name,
        uri=entry.uri,
        sha256=fetched.sha256,
        size_bytes=fetched.size_bytes,
        mtime_ns=entry.mtime_ns,
        rows_read=made.rows_read,
        rows_added=made.rows_added,
        rows_duplicate=made.rows_duplicate,
        rows_rejected=made.rows_rejected,
        run_id=run_id,
    )
    return made, source


def _changes(graph: DatasetGraph, intake: _Intake) -> Iterable[TableChange]:
    for name, files in sorted(intake.files.items()):
        yield TableChange(dataset=graph[name], adds=tuple(files), removes=())


def _publish(tools: Tools, graph: DatasetGraph, run_id: str, intake: _Intake) -> None:
    changes = intended(tools, graph, run_id)
    published = publish_tables(tools, run_id, changes)
    records = tuple(r for c in changes for r in _records(tools, c, run_id, published.versions, intake))
    run, ended, asked = tools.store.run(run_id), tools.now(), begun_of(tools, run_id).windows
    units = [(r.dataset, r.key) for r in records if not graph[r.dataset].quarantine_of]
    scope = Scope.of(graph, units, _total(intake, "rows_added"), _counts(intake))
    record_success(
        tools,
        changes,
        Outcome(
            run_id=run_id,
            ended_at=ended,
            audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
            summary=scope.summary(),
            records=records,
            fence=intended_fence(tools, run_id),
            countings={n: a.in_words for n in intake.arrivals if (a := graph[n].arrivals)},
            arrivals={name: (*found, *intake.rivals.get(name, ())) for name, found in intake.arrivals.items()},
            source_files=tuple(intake.sources),
            coverage=covered(run, asked, intake.taken),
            cursors=cursors(run, asked, intake.taken),
            versions=published.versions,
            tables_seen=published.accounted,
        ),
    )


def _records(
    tools: Tools, change: TableChange, run_id: str, versions: Mapping[DatasetName, int], intake: _Intake
) -> Iterable[ProvenanceRecord]:
    """Yield one record for every partition that was appended to: its earlier files and the new ones."""
    name = change.dataset.name
    groups = by_key(change.adds)
    earlier = tools.store.records(name, list(groups))
    for key, files in sorted(groups.items()):
        parts = [intake.digests[name, f.path] for f in files]
        added = _Added(str(ContentDigest.combine(parts[0].scheme, parts)), tuple(files))
        held: list[Content] = [added, *(earlier[k] for k in (key,) if k in earlier)]
        yield ProvenanceRecord(
            dataset=name,
            key=key,
            run_id=run_id,
            fingerprint=run_id,
            logic="",
            inputs={},
            digest=str(_union(tools, change.dataset, key, held)),
            files=(*(earlier[key].files if key in earlier else ()), *files),
            table_version=versions[name],
        )


@dataclass(frozen=True, slots=True)
class _Added:
    """What a run adds to a partition."""

    digest: str
    files: tuple[DataFile, ...]


def _union(tools: Tools, dataset: Dataset, key: PartitionKey, contents: Sequence[Content]) -> ContentDigest:
    """Return the digest of parts of a partition together, as this command's engines compute it.

    Raises:
        FilesDamaged: one must be computed from files, and they are not as they were published.
    """
    parts = []
    for held in contents:
        found = in_own_scheme(tools, dataset, {key: held})
        if key not in found:
            require_intact(tools, dataset, held.files)
        parts.append(ContentDigest.parse(found[key]))
    return ContentDigest.combine(tools.engine.digest_scheme, parts)


def _total(intake: _Intake, count: str) -> int:
    return sum(int(getattr(source, count)) for source in intake.sources)


def _counts(intake: _Intake) -> dict[str, Any]:
    counts = ("rows_read", "rows_added", "rows_duplicate", "rows_rejected")
    pages = sum(place.window is not None for _, place in intake.taken)
    return {"files": len(intake.taken) - pages, "pages": pages, **{count: _total(intake, count) for count in counts}}


def _to_payload(made: Ingested) -> dict[str, Any]:
    digests = {path: str(digest) for path, digest in made.digests.items()}
    return {**canonical(made), "digests": digests, "arrivals": list(map(_arrival_payload, made.arrivals))}


def _from_payload(payload: Mapping[str, Any]) -> Ingested:
    return Ingested(
        **{
            **payload,
            "files": tuple(DataFile(**f) for f in payload["files"]),
            "quarantine_files": tuple(DataFile(**f) for f in payload["quarantine_files"]),
            "digests": {path: ContentDigest.parse(text) for path, text in payload["digests"].items()},
            "arrivals": tuple(map(_arrival, payload["arrivals"])),
        }
    )


def _arrival_payload(arrival: Arrival) -> dict[str, Any]:
    return {**canonical(arrival), "digest": str(arrival.digest)}


def _arrival(payload: Mapping[str, Any]) -> Arrival:
    return Arrival(**{**payload, "digest": ContentDigest.parse(payload["digest"])})
