"""Make a damaged Bronze file again from the source file that it came from, to the byte or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from remint.disk import sha256_of
from remint.engines.base import IngestWork, Scan
from remint.errors import RemintError
from remint.model.dataset import Dataset, DatasetName, FileSource, quarantine_name
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.provenance import DataFile
from remint.model.run import StepKind
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.publish import intended
from remint.publishing.tools import Tools
from remint.sources.files import discover, fetch
from remint.storage.base import below


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source file that a Bronze or quarantine file came from."""

    bronze: DatasetName
    run_id: str
    number: int
    """Which of the run's source files, from 1."""
    uri: str
    sha256: str
    rows: int
    """Rows of the damaged file."""
    event_keys: tuple[str, ...]
    """Event partitions that its rows count for."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the files of the ingest runs came from, by the file's dataset and path."""

    known: Mapping[tuple[DatasetName, str], Origin]
    made: Mapping[str, list[Mapping[str, Any]]]
    """By run, what was journalled of each of its source files."""

    @classmethod
    def of(cls, tools: Tools) -> Origins:
        """Read the journals of all ingest runs."""
        known: dict[tuple[DatasetName, str], Origin] = {}
        made: dict[str, list[Mapping[str, Any]]] = {}
        for run_id, step in tools.store.steps([StepKind.INGEST_STAGED]):
            steps = made.setdefault(run_id, [])
            steps.append(step.payload)
            source, result = step.payload["source"], step.payload["made"]
            events: dict[str, list[str]] = {}
            for arrival in result["arrivals"]:
                events.setdefault(arrival["file"], []).append(arrival["event_key"])
            name = source["dataset"]
            for owner, files in ((name, result["files"]), (quarantine_name(name), result["quarantine_files"])):
                for file in files:
                    known[owner, file["path"]] = Origin(
                        bronze=name,
                        run_id=run_id,
                        number=len(steps),
                        uri=source["uri"],
                        sha256=source["sha256"],
                        rows=file["rows"],
                        event_keys=tuple(sorted(events.get(file["path"], ()))),
                    )
        return cls(known, made)


def restage(tools: Tools, graph: DatasetGraph, run_id: str) -> None:
    """Make files that an interrupted ingest is about to publish, and that are lost or damaged, again from their source.

    What cannot be made to the byte stays as it is.
    """
    origins = None
    for change in intended(tools, graph, run_id):
        folder = tools.folder(change.dataset)
        for flaw in flawed_files(tools.storage, folder, change.adds, Depth.CONTENT):
            origins = origins or Origins.of(tools)
            origin = origins.known.get((change.dataset.name, flaw.file.path))
            if origin is None:
                continue
            with made_again(tools, graph, origins, origin, flaw.file) as (place, _):
                if place is None:
                    continue
                tools.storage.copy(str(place), below(folder, flaw.file.path))
            detail = f"{flaw.file.path} was {flaw.flaw}: its bytes are made again from {origin.uri}"
            tools.emit(Event(kind=EventKind.MENDED, run_id=run_id, dataset=change.dataset.name, detail=detail))


@contextmanager
def made_again(
    tools: Tools, graph: DatasetGraph, origins: Origins, origin: Origin, file: DataFile
) -> Iterator[tuple[Path | None, str]]:
    """Give the file as it is made from its source now, for as long as the context lasts.

    Yields:
        A path whose SHA-256 is that of ``file``, and nothing; or None, and why it could not be made.
    """
    tools.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=tools.scratch.resolve(), prefix="repair-") as name:
        try:
            yield _made(tools, graph, origins, origin, (Path(name), file))
        except RemintError as error:
            yield None, error.message


def _made(
    tools: Tools, graph: DatasetGraph, origins: Origins, origin: Origin, wanted: tuple[Path, DataFile]
) -> tuple[Path | None, str]:
    folder, file = wanted
    bronze = graph.datasets.get(origin.bronze)
    if bronze is None or not isinstance(bronze.source, FileSource):
        return None, f"it came from {origin.uri}, which is no file"
    found = [f for f in discover(bronze.source, tools.root) if f.uri == origin.uri]
    if not found:
        return None, f"its source {origin.uri} is not there any more"
    fetched = fetch(found[0], folder)
    if fetched.sha256 != origin.sha256:
        return None, f"its source {origin.uri} is another file now: SHA-256 {fetched.sha256}, was {origin.sha256}"
    quarantine = graph[quarantine_name(bronze.name)]
    root, rejected = folder / "bronze", folder / "quarantine"
    made = tools.engine.ingest(
        IngestWork(
            dataset=bronze,
            quarantine=quarantine,
            path=str(fetched.path),
            uri=origin.uri,
            known=_known(tools, bronze, origins, origin),
            ingested_at=tools.store.run(origin.run_id).started_at,
            root=str(root),
            quarantine_root=str(rejected),
            token=f"{origin.run_id}-{origin.number}",
            layout=tools.tables.layout(tools.table(bronze)),
            quarantine_layout=tools.tables.layout(tools.table(quarantine)),
        )
    )
    places = [*(root / f.path for f in made.files), *(rejected / f.path for f in made.quarantine_files)]
    same = [place for place in places if sha256_of(place) == file.sha256]
    if not same:
        return None, f"its source {origin.uri} was read again and gives other bytes (another version of the engine?)"
    return same[0], ""


def _known(tools: Tools, bronze: Dataset, origins: Origins, origin: Origin) -> Scan:
    """Return the files that Bronze held when the source file was ingested; damaged ones are left out."""
    stored = tools.store.records_of_run(origin.run_id)
    # Of a run that has not ended, Bronze is as it was: only one run at a time is about to publish to it.
    before = tools.store.records(bronze.name, as_of_seq=stored[0].seq - 1 if stored else None)
    files = [f for record in before.values() for f in record.files]
    files += _own(origins.made[origin.run_id][: origin.number - 1], bronze.name)
    wrong = {flaw.file.path for flaw in flawed_files(tools.storage, tools.folder(bronze), files, Depth.CONTENT)}
    return tools.scan(bronze, (f for f in files if f.path not in wrong))


def _own(steps: Iterable[Mapping[str, Any]], name: DatasetName) -> list[DataFile]:
    return [DataFile(**f) for step in steps if step["source"]["dataset"] == name for f in step["made"]["files"]]
