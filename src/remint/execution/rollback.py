"""Undo a run: put back exactly the files that each of its units had before, as a new run.

Rules: later writes to other partitions stay; a unit that a later run wrote again is not rolled back, it is refused
with the runs that stand on it; nothing is put back that is not on disk with the recorded size and SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remint.errors import PublishConflict, RollbackRefused
from remint.model.dataset import DatasetName
from remint.model.graph import DatasetGraph
from remint.model.provenance import Head, ProvenanceRecord
from remint.model.run import Run, RunKind, RunState
from remint.publishing.intact import sha256_of
from remint.publishing.leftovers import discard_leftovers
from remint.publishing.publish import TableChange, check, intend, intended, publish_tables, record_success
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.store.values import AuditStatus, Outcome, StoredRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One unit of the run that is undone, and what it held before."""

    undone: StoredRecord
    earlier: ProvenanceRecord | None
    """None where the unit held nothing."""
    head: Head
    held: ProvenanceRecord
    """What the unit holds now."""

    @property
    def is_live(self) -> bool:
        """True when the unit holds what the run made: by the run itself, or put back by undoing what came later."""
        made = self.undone.record
        return (self.held.fingerprint, self.held.files) == (made.fingerprint, made.files)


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
    if undone.kind is RunKind.ADOPT:
        raise RollbackRefused(
            f"run {undone.run_id} adopted what somebody else had written: it changed no table, so there is nothing to "
            "put back",
            hint="to have these partitions made by their logic: remint plan DATASET --range A..B --rebuild",
        )
    if undone.kind is RunKind.REPAIR:
        raise RollbackRefused(
            f"run {undone.run_id} is a repair: it put back what had been published",
            hint="what it replaced is kept below .remint/repairs",
        )
    if undone.state is not RunState.SUCCEEDED:
        raise RollbackRefused(
            f"run {undone.run_id} is {undone.state}: only a run that succeeded is rolled back",
            hint=f"remint show {undone.run_id}",
        )
    steps = _steps(tools, undone)
    later = sorted({s.head.run_id for s in steps if not s.is_live})
    if later:
        count = sum(not s.is_live for s in steps)
        raise RollbackRefused(
            f"{count} of the {len(steps)} partitions of run {undone.run_id} were written again by {', '.join(later)}",
            hint=f"roll back the later run first: remint rollback {later[-1]}",
        )
    for step in steps:
        if step.undone.record.published and step.earlier:
            _check_files(tools.folder(graph[step.earlier.dataset]), step.earlier)
    _check_tables(tools, graph, steps)


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
            intend(tools, run_id, list(_changes(graph, _steps(tools, undone))))
        _put_back(tools, graph, run_id, undone)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _put_back(tools: Tools, graph: DatasetGraph, run_id: str, undone: Run) -> None:
    steps = _steps(tools, undone)
    changes = intended(tools, graph, run_id)
    published = publish_tables(tools, run_id, changes)
    restored = tuple(_restored(step, run_id, published.versions) for step in steps)
    run, ended = tools.store.run(run_id), tools.now()
    detail = {"undoes": undone.run_id, "units": len(steps)}
    scope = Scope.of(graph, ((r.dataset, r.key) for r in restored), sum(r.rows for r in restored), detail)
    record_success(
        tools,
        changes,
        Outcome(
            run_id=run_id,
            ended_at=ended,
            audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
            summary=scope.summary(),
            records=restored,
            fence={(s.undone.record.dataset, s.undone.record.key): s.head.seq for s in steps},
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


def _steps(tools: Tools, undone: Run) -> list[_Step]:
    stored = tools.store.records_of_run(undone.run_id)
    names = sorted({s.record.dataset for s in stored})
    heads = tools.store.heads(names)
    held = {name: tools.store.records(name) for name in names}
    found = []
    for entry in stored:
        name, key = entry.record.dataset, entry.record.key
        before = tools.store.previous_record(name, key, entry.seq)
        earlier = before.record if before and before.record.fingerprint else None
        found.append(_Step(undone=entry, earlier=earlier, head=heads[name][key], held=held[name][key]))
    return found


def _check_tables(tools: Tools, graph: DatasetGraph, steps: Sequence[_Step]) -> None:
    for run in tools.store.outstanding():
        if run.state is RunState.PUBLISHING:
            raise RollbackRefused(
                f"run {run.run_id} was interrupted while it published",
                hint=f"finish it first: remint resume {run.run_id}",
            )
    for change in _changes(graph, steps):
        try:
            check(tools, change)
        except PublishConflict as error:
            raise RollbackRefused(error.message, hint="remint plan    # heals what somebody else wrote") from error


def _check_files(folder: str, earlier: ProvenanceRecord) -> None:
    for file in earlier.files:
        path = Path(folder) / file.path
        if not path.exists() or path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
            raise RollbackRefused(
                f"{earlier.dataset}: {file.path} is not on disk as it was published, so {file.key} cannot be "
                "restored exactly",
                hint=f"recompute: remint plan {earlier.dataset} --range {file.key} --rebuild --no-override-state",
            )


def _changes(graph: DatasetGraph, steps: Iterable[_Step]) -> Iterable[TableChange]:
    by_dataset: dict[DatasetName, list[_Step]] = {}
    for step in steps:
        by_dataset.setdefault(step.undone.record.dataset, []).append(step)
    for dataset in graph:
        moved = [s for s in by_dataset.get(dataset.name, []) if s.undone.record.published]
        if dataset.name in by_dataset:
            yield TableChange(
                dataset=dataset,
                adds=tuple(f for s in moved if s.earlier for f in s.earlier.files),
                removes=tuple(f for s in moved for f in s.undone.record.files),
            )


def _restored(step: _Step, run_id: str, versions: Mapping[DatasetName, int]) -> ProvenanceRecord:
    record = step.undone.record
    version = versions[record.dataset]
    if step.earlier is None:
        gone = replace(record, fingerprint="", logic="", inputs={}, digest="", files=())
        return replace(gone, run_id=run_id, table_version=version, published=True)
    return replace(step.earlier, run_id=run_id, table_version=version, published=record.published)
