"""Compare the files of a table: what the ledger says, what the log names, and what lies on disk."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from remint.execution.observe import rewritten_keys
from remint.execution.symptom import Health, Kind, Symptom, bad, mending, note
from remint.formats.base import LogReading
from remint.model.dataset import Dataset, Layer
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile, ProvenanceRecord
from remint.model.run import OUTSTANDING, Run
from remint.model.subset import Subset
from remint.model.wording import counted
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.tools import Tools

_OF_RUN = re.compile(r"part-(r-\d{8}-\d{6}-[0-9a-f]+)-")
Records = Mapping[PartitionKey, ProvenanceRecord]


def file_symptoms(tools: Tools, dataset: Dataset, records: Records, subset: Subset | None) -> Iterable[Symptom]:
    """Yield the published files that are not on disk as they were published; those of ``subset`` are hashed."""
    files = sorted((f for r in records.values() for f in r.files), key=lambda f: f.path)
    flawed = flawed_files(tools.storage, tools.folder(dataset), files, Depth.SIZE)
    if subset is not None:
        wrong = {flaw.file.path for flaw in flawed}
        chosen = [f for f in subset.chosen(files, tools.store.hashed_files(dataset.name)) if f.path not in wrong]
        flawed += flawed_files(tools.storage, tools.folder(dataset), chosen, Depth.BYTES)
        tools.store.note_hashed(dataset.name, [f.path for f in chosen], tools.now())
    for flaw in flawed:
        yield Symptom(
            subject=dataset.name,
            health=Health.BAD,
            kind=Kind(f"file_{flaw.flaw}"),
            detail=f"{flaw}",
            hint=mending(dataset),
            place=flaw.file.path,
            expected=flaw.expected,
            found=flaw.found,
        )


def live_symptoms(tools: Tools, dataset: Dataset, records: Records, reading: LogReading) -> Iterable[Symptom]:
    """Yield where the live files are not those of the ledger, one record each."""
    live = tools.tables.live_files(tools.table(dataset))
    published = {f.path: f for r in records.values() for f in r.files}
    claims = Counter(f.path for r in records.values() for f in r.files)
    for path in sorted(path for path, count in claims.items() if count > 1):
        yield bad(dataset, Kind.FILE_OF_TWO, f"{path} belongs to two ledger records", place=path)
    held = {key: {f.path for f in r.files} for key, r in records.items()}
    keys = [k for k in {*live, *held} if set(live.get(k, ())) != held.get(k, set())]
    same = rewritten_keys(tools, dataset, [k for k in keys if k])
    by = tools.tables.foreign_writer(tools.table(dataset)) if keys else ""
    for key in sorted(keys):
        there, ours = set(live.get(key, ())), held.get(key, set())
        if key in same:
            words = f"{key}: {by} wrote the rows that were published into {counted(len(there), 'other file')}"
            hint = "keep the files that it replaced: remint goes on reading them"
            yield note(dataset, Kind.REWRITTEN, words, hint, place=key)
            continue
        for path in sorted(there - ours):
            words = f"{path} is live in {key or 'no partition'} but remint did not publish it there: {by}"
            yield bad(dataset, Kind.FOREIGN_FILE, words, _on_foreign(dataset), place=path)
        for path in sorted(ours - there):
            words = f"{path} was published in {key} but is not live: {by}"
            yield bad(dataset, Kind.NOT_LIVE, words, _on_foreign(dataset), place=path)
    if reading.live is not None:
        yield from _wrong_entries(dataset, published, reading)
        for path, words in sorted(tools.tables.said_otherwise(tools.table(dataset), [*published.values()]).items()):
            yield bad(dataset, Kind.WRONG_ENTRY, f"the log says of {path} {words}", mending(dataset), place=path)


def _on_foreign(dataset: Dataset) -> str:
    if dataset.layer is Layer.BRONZE:
        return f"restore the table to its version before that; or, of what was added: remint adopt {dataset.name}"
    return f"remint plan {dataset.name}    # rebuilds it; or remint adopt {dataset.name} takes it as it is"


def _wrong_entries(dataset: Dataset, published: Mapping[str, DataFile], reading: LogReading) -> Iterable[Symptom]:
    for path, entry in sorted((reading.live or {}).items()):
        file = published.get(path)
        if file is None:
            continue
        expected = [file.key, file.size_bytes, file.rows]
        found = [entry.key, entry.size_bytes, _rows(entry.stats or "")]
        if found[2] is None:
            found[2] = file.rows
        if found != expected:
            named = zip(("partition", "bytes", "rows"), expected, found, strict=True)
            words = "; ".join(f"{what}: expected {a}, found {b}" for what, a, b in named if a != b)
            yield bad(dataset, Kind.WRONG_ENTRY, f"the log says of {path} {words}", mending(dataset), place=path)


def _rows(stats: str) -> int | None:
    try:
        found = json.loads(stats).get("numRecords")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnamed:
    """A file below a table's folder that no table version and no ledger record names."""

    path: str
    """Relative to the table's folder."""
    size_bytes: int
    run: Run | None
    """Who wrote it; None for a stranger, or a run that the database does not know."""


def unnamed_files(tools: Tools, dataset: Dataset, runs: Mapping[str, Run], named: Container[str]) -> list[Unnamed]:
    """Return the files below a table's folder that are none of ``named``, by path, each with the run that wrote it."""
    found = [
        Unnamed(path=file.path, size_bytes=file.size_bytes, run=runs.get(writer(file.path)))
        for file in tools.storage.files(tools.folder(dataset))
        if file.path not in named and tools.tables.log_folder not in file.path.split("/")[:-1]
    ]
    return sorted(found, key=lambda f: f.path)


def writer(path: str) -> str:
    """Return the id of the run that a file's name says, or that of a folder above it; nothing where none does."""
    found = next(filter(None, map(_OF_RUN.match, reversed(path.split("/")))), None)
    return found[1] if found else ""


def unnamed_symptoms(dataset: Dataset, unnamed: Sequence[Unnamed]) -> Iterable[Symptom]:
    """Yield what lies in the table's folder and belongs to nothing: one symptom for each owner."""
    owners: dict[str, list[Unnamed]] = {}
    for file in unnamed:
        owners.setdefault(file.run.run_id if file.run else "", []).append(file)
    for run_id, files in sorted(owners.items()):
        words = f"{counted(len(files), 'file')} that nothing names, for example {files[0].path}"
        run = files[0].run
        if run is None:
            words = f"{words}: not written by a run that is known here"
            yield note(dataset, Kind.STRANGERS_FILE, words, "remint leaves it alone", place=files[0].path)
            continue
        is_ended = run.state not in OUTSTANDING
        hint = "remint status    # says how to end the run"
        hint = "remint doctor --clean    # shows what can go" if is_ended else hint
        words = f"{words}: left by run {run_id}, which is {run.state}"
        yield note(dataset, Kind.LEFTOVER, words, hint, place=files[0].path)
