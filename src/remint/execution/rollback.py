"""Undo a run: put back exactly the files that each of its units had before, as a new run.

Rules: later writes to other partitions stay; a unit that a later run wrote again is not rolled back, it is refused
with the runs that stand on it; nothing is put back that is not on disk with the recorded size and SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from remint.errors import RollbackRefused
from remint.model.dataset import DatasetName
from remint.model.graph import DatasetGraph
from remint.model.provenance import ProvenanceRecord
from remint.model.run import Run, RunKind, RunState
from remint.publishing.leftovers import discard_leftovers
from remint.publishing.publish import TableChange, publish_tables, record_success
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.store.base import AuditStatus, Outcome, StoredRecord


def check_rollback(tools: Tools, graph: DatasetGraph, undone: Run) -> None:
    """Refuse a rollback that cannot be exact, before anything is written.

    Raises:
        RollbackRefused: an ingest, a run that never published, a unit written again since, or a file that is gone.
    """
    if undone.kind is RunKind.INGEST:
        raise RollbackRefused(
            f"run {undone.run_id} is an ingest: Bronze is append-only",
            hint="correct the source, ingest the correction, and plan again",
        )
    if undone.state is not RunState.SUCCEEDED:
        raise RollbackRefused(
            f"run {undone.run_id} is {undone.state}: only a run that succeeded is rolled back",
            hint=f"remint show {undone.run_id}",
        )
    stored = tools.store.records_of_run(undone.run_id)
    records = [s.record for s in stored]
    heads = tools.store.heads(sorted({r.dataset for r in records}))
    later = sorted({heads[r.dataset][r.key].run_id for r in records if heads[r.dataset][r.key].run_id != undone.run_id})
    if later:
        count = sum(heads[r.dataset][r.key].run_id != undone.run_id for r in records)
        raise RollbackRefused(
            f"{count} of the {len(records)} partitions of run {undone.run_id} were written again by {', '.join(later)}",
            hint=f"roll back the later run first: remint rollback {later[-1]}",
        )
    for entry in stored:
        earlier = _earlier(tools, entry)
        if entry.record.published and earlier:
            _check_files(tools.folder(graph[earlier.dataset]), earlier)


def run_rollback(tools: Tools, graph: DatasetGraph, run_id: str, undone: Run) -> None:
    """Carry out the rollback of ``undone`` under an existing run; may be called again after a crash.

    Raises:
        PublishConflict: somebody else changed a partition of it since.
    """
    state = tools.store.run(run_id).state
    if state is RunState.FAILED:
        tools.store.set_state(run_id, RunState.STAGING)
    try:
        if state is not RunState.PUBLISHING:
            check_rollback(tools, graph, undone)
            tools.store.set_state(run_id, RunState.PUBLISHING)
        _put_back(tools, graph, run_id, undone)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _put_back(tools: Tools, graph: DatasetGraph, run_id: str, undone: Run) -> None:
    stored = tools.store.records_of_run(undone.run_id)
    records = [s.record for s in stored]
    back = {(r.dataset, r.key): _earlier(tools, s) for s, r in zip(stored, records, strict=True)}
    changes = list(_changes(graph, records, back))
    published = publish_tables(tools, run_id, changes)
    restored = tuple(_restored(r, back[r.dataset, r.key], run_id, published.versions) for r in records)
    run, ended = tools.store.run(run_id), tools.now()
    detail = {"undoes": undone.run_id, "units": len(records)}
    scope = Scope.of(graph, ((r.dataset, r.key) for r in records), sum(r.rows for r in restored), detail)
    record_success(
        tools,
        changes,
        Outcome(
            run_id=run_id,
            ended_at=ended,
            audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
            summary=scope.summary(),
            records=restored,
            fence={(s.record.dataset, s.record.key): s.seq for s in stored},
            versions=published.versions,
            tables_seen=published.accounted,
            rolled_back=(audit_entry(undone, replace(scope, detail={"by": run_id}), AuditStatus.ROLLED_BACK, ended),),
        ),
    )


def abandon(tools: Tools, graph: DatasetGraph, run: Run) -> int:
    """Give up a run that published nothing: delete its staged files and return how many there were."""
    deleted = sum(discard_leftovers(tools.folder(dataset), run.run_id, ()) for dataset in graph)
    now = tools.now()
    scope = Scope(detail={"files_deleted": deleted})
    tools.store.abandon(run.run_id, audit_entry(run, scope, AuditStatus.ABANDONED, now), now)
    return deleted


def dependants(tools: Tools, graph: DatasetGraph, undone: Run) -> list[str]:
    """Return the later runs that read what ``undone`` published: their partitions become stale by the rollback."""
    made = {s.record.dataset for s in tools.store.records_of_run(undone.run_id)}
    last = tools.store.last_seq_of_run(undone.run_id) or 0
    readers = {name for source in made for name in graph.downstream(source)}
    heads = tools.store.heads(sorted(readers))
    return sorted({h.run_id for by_key in heads.values() for h in by_key.values() if h.seq > last})


def _earlier(tools: Tools, stored: StoredRecord) -> ProvenanceRecord | None:
    """Return what the unit held before the record; None where it held nothing."""
    found = tools.store.previous_record(stored.record.dataset, stored.record.key, stored.seq)
    return found.record if found and found.record.fingerprint else None


def _check_files(folder: str, earlier: ProvenanceRecord) -> None:
    for file in earlier.files:
        path = Path(folder) / file.path
        if not path.exists() or path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
            raise RollbackRefused(
                f"{earlier.dataset}: {file.path} is not on disk as it was published, so {file.key} cannot be "
                "restored exactly",
                hint=f"recompute: remint plan {earlier.dataset} --range {file.key} --rebuild --mode backfill",
            )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _changes(
    graph: DatasetGraph,
    records: Iterable[ProvenanceRecord],
    back: Mapping[tuple[DatasetName, str], ProvenanceRecord | None],
) -> Iterable[TableChange]:
    by_dataset: dict[DatasetName, list[ProvenanceRecord]] = {}
    for record in records:
        by_dataset.setdefault(record.dataset, []).append(record)
    for dataset in graph:
        moved = [r for r in by_dataset.get(dataset.name, []) if r.published]
        earlier = [back[r.dataset, r.key] for r in moved]
        if dataset.name in by_dataset:
            yield TableChange(
                dataset=dataset,
                adds=tuple(f for e in earlier if e for f in e.files),
                removes=tuple(f for r in moved for f in r.files),
            )


def _restored(
    record: ProvenanceRecord, earlier: ProvenanceRecord | None, run_id: str, versions: Mapping[DatasetName, int]
) -> ProvenanceRecord:
    if earlier is None:
        gone = replace(record, fingerprint="", logic="", inputs={}, digest="", files=())
        return replace(gone, run_id=run_id, table_version=versions[record.dataset], published=True)
    return replace(earlier, run_id=run_id, table_version=versions[record.dataset], published=record.published)
