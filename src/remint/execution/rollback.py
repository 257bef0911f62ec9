"""Undo a run, or a part of it: put back exactly the files that each of its units had before, as a new run.

Rules: later writes elsewhere stay; what later runs wrote over it is taken along only when that was asked for; nothing
is put back that is not on disk with the recorded size and SHA-256. Which units go back is decided in
``planner/undo.py``; once written down, a rollback that was interrupted puts back those and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from remint.errors import NothingToUndo, PublishConflict, RollbackRefused, WrittenAgain
from remint.execution.expired import refuse_expired
from remint.formats.base import require_usable
from remint.model.dataset import DatasetName
from remint.model.digest import canonical
from remint.model.graph import DatasetGraph
from remint.model.observation import Columns
from remint.model.provenance import ProvenanceRecord
from remint.model.request import Ask, UndoRequest
from remint.model.run import Run, RunKind, RunState, StepKind
from remint.model.wording import counted
from remint.planner.undo import Past, Stack, Undo, Unit, chosen, plan_undo, undone_by
from remint.publishing.lease import taken
from remint.publishing.leftovers import leftovers
from remint.publishing.publish import (
    TableChange,
    check,
    intend,
    intended,
    intended_fence,
    publish_tables,
    record_success,
)
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import refuse_unrecorded
from remint.storage.base import below
from remint.store.values import Admission, AuditStatus, Outcome, StoredRecord, UnitKey

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One unit that goes back: what it holds, and what it held before."""

    now: StoredRecord
    back: StoredRecord | None
    """None where the unit held nothing."""

    @property
    def is_moved(self) -> bool:
        """True when its files change."""
        return self.now.record.files != (self.back.record.files if self.back else ())


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """Takes runs back, whole or in part."""

    tools: Tools
    graph: DatasetGraph
    """The datasets declared now."""
    graph_of: Callable[[Run], DatasetGraph]
    """Returns the datasets as a run knew them."""
    user: str
    """Who gives a run up."""
    begun: Callable[[RunKind, Ask, str, Admission], AbstractContextManager[Run]]
    """Records a new run of a kind, with the run that it is about, and holds it for the body of a ``with``."""

    def preview(self, run_id: str, request: UndoRequest) -> Undo:
        """Return what a rollback would touch; changes nothing.

        Raises:
            RollbackRefused: it could not be exact.
        """
        return self._checked(self.tools.store.run(run_id), request)[0]

    def roll_back(self, run_id: str, ask: Ask, request: UndoRequest, *, take_over: bool = False) -> tuple[Run, Undo]:
        """Undo a run, or what is named of it, or give up one that published nothing.

        Raises:
            RollbackRefused: it could not be exact; nothing changed.
            RunAtWork: a process is at work on the run that would be given up; ``take_over`` ends that.
            StateBehind: what would be given up may be live; nothing changed.
        """
        undone = self.tools.store.run(run_id)
        if undone.state in (RunState.STAGING, RunState.FAILED):
            self._refuse_giving_up(undone, request)
            with taken(self.tools, undone.run_id, take_over=take_over):
                undone = self.tools.store.run(undone.run_id)
                self._refuse_unrecorded(undone)
                abandon(self.tools, self.graph_of(undone), undone, (self.user, ask.reason))
            return self.tools.store.run(undone.run_id), _NOTHING
        found, _ = self._checked(undone, request)
        with self.begun(RunKind.ROLLBACK, ask, undone.run_id, Admission(begun=canonical(request))) as run:
            self.resume(run.run_id)
        return self.tools.store.run(run.run_id), found

    def resume(self, run_id: str) -> None:
        """Carry out a rollback under an existing run; may be called again after a crash.

        Raises:
            PublishConflict: somebody else changed a partition of it since.
        """
        store = self.tools.store
        run = store.run(run_id)
        undone = store.run(run.of_run or "")
        if run.state is RunState.FAILED:
            store.set_state(run_id, RunState.STAGING)
        try:
            if run.state is not RunState.PUBLISHING:
                found, graph = self._checked(undone, self._asked(run_id))
                steps = _steps(self.tools, [(m.now.seq, m.back.seq if m.back else None) for m in found.moves])
                places = [(s.now.seq, s.back.seq if s.back else None) for s in steps]
                also = {"units": places, "ended": found.ended}
                intend(self.tools, run_id, list(_changes(graph, steps)), _fence(steps), also=also)
            self._put_back(run, undone)
        except Exception as error:
            raise stopped(self.tools, run_id, error) from error

    def graph_for(self, run: Run) -> DatasetGraph:
        """Return every dataset that a rollback may be about."""
        undone = self.tools.store.run(run.of_run or "")
        return self._merged(self._past(undone), undone)

    def undone_by(self, run: Run) -> dict[Unit, str]:
        """Return the units of a run that were taken back, each with the rollback that did."""
        if not self.tools.store.records_of_run(run.run_id):
            return {}
        return undone_by(self._past(run))

    def _asked(self, run_id: str) -> UndoRequest:
        begun = [e.payload for e in self.tools.store.journal(run_id) if e.kind is StepKind.ROLLBACK_BEGUN]
        return UndoRequest.from_payload(begun[0]) if begun else UndoRequest()

    def _refuse_giving_up(self, run: Run, request: UndoRequest) -> None:
        if not request.is_whole:
            raise _given_up_as_a_whole(run)
        kinds = {e.kind for e in self.tools.store.journal(run.run_id)}
        if StepKind.EXPIRE_INTENT in kinds:
            raise RollbackRefused(
                f"run {run.run_id} has begun to remove files, which cannot be taken back",
                hint=f"finish it: remint resume {run.run_id}",
            )

    def _refuse_unrecorded(self, run: Run) -> None:
        """Refuse to delete what an older state takes for staged: the run may have committed since, and be live."""
        tools = self.tools
        staged = (d for d in self.graph_of(run) if leftovers(tools, tools.folder(d), run.run_id, ()))
        refuse_unrecorded(tools, staged)

    def _checked(self, undone: Run, request: UndoRequest) -> tuple[Undo, DatasetGraph]:
        """Return what goes back and the datasets that it is about, or refuse what cannot be exact."""
        _refuse_state(undone)
        past = self._past(undone)
        graph = self._merged(past, undone)
        selected = chosen(request, graph, past.units)
        if not selected:
            raise NothingToUndo(
                f"run {undone.run_id} recorded no partition that was named",
                hint=f"remint diff {undone.run_id}    # shows what it changed",
            )
        found = plan_undo(past, selected, cascade=request.cascade)
        _refuse_covered(undone, found, len(selected), request)
        _refuse_adopted(self.tools, undone, found)
        _check_files(
            self.tools,
            graph,
            [m.back.record for m in found.moves if m.back and m.back.record.files != m.now.record.files],
        )
        self._check_tables(graph, found)
        return found, graph

    def _past(self, undone: Run) -> Past:
        store = self.tools.store
        firsts = store.first_seqs()
        if undone.run_id not in firsts:
            raise NothingToUndo(f"run {undone.run_id} recorded no partition: everything is as it was before it")
        cut = firsts[undone.run_id]
        since: dict[Unit, Stack] = {}
        for entry in store.records_after(cut - 1):
            unit = (entry.record.dataset, entry.record.key)
            since[unit] = (*since.get(unit, ()), entry)
        before: dict[Unit, StoredRecord] = {}
        for name in sorted({name for name, _ in since}):
            keys = [key for other, key in since if other == name]
            before |= {(name, key): found for key, found in store.stored(name, keys, cut - 1).items()}
        runs = {run_id: store.run(run_id) for run_id in {w.record.run_id for stack in since.values() for w in stack}}
        graphs = {run_id: self.graph_of(run) for run_id, run in runs.items()}
        records = [w.record for w in (*(w for stack in since.values() for w in stack), *before.values())]
        return Past(
            run_id=undone.run_id,
            cut=cut,
            since=since,
            before=before,
            undoes={r.run_id: firsts[r.of_run or ""] for r in runs.values() if r.kind is RunKind.ROLLBACK},
            graphs=graphs,
            projections=_projections(self.tools, graphs.values(), records),
            makers=_makers(self.tools, undone),
        )

    def _merged(self, past: Past, undone: Run) -> DatasetGraph:
        """Return every dataset that the undo may be about: as the undone run knew it, else as others know it."""
        runs = sorted(past.graphs)
        known = {d.name: d for run_id in runs for d in past.graphs[run_id]}
        known |= {d.name: d for d in self.graph} | {d.name: d for d in past.graphs[undone.run_id]}
        return DatasetGraph.build(known.values())

    def _check_tables(self, graph: DatasetGraph, found: Undo) -> None:
        for run in self.tools.store.outstanding():
            if run.state is RunState.PUBLISHING:
                raise RollbackRefused(
                    f"run {run.run_id} was interrupted while it published",
                    hint=f"finish it first: remint resume {run.run_id}",
                )
        steps = _steps(self.tools, [(m.now.seq, m.back.seq if m.back else None) for m in found.moves])
        for change in _changes(graph, steps):
            table = self.tools.table(change.dataset)
            require_usable(table, self.tools.tables.unusable(table))
            try:
                check(self.tools, change)
            except PublishConflict as error:
                raise RollbackRefused(error.message, hint="remint plan    # heals what somebody else wrote") from error

    def _put_back(self, run: Run, undone: Run) -> None:
        tools = self.tools
        graph = self.graph_for(run)
        intent = [e.payload for e in tools.store.journal(run.run_id) if e.kind is StepKind.PUBLISH_INTENT][-1]
        steps = _steps(tools, intent["units"])
        changes = intended(tools, graph, run.run_id)
        published = publish_tables(tools, run.run_id, changes)
        restored = tuple(_restored(step, run.run_id, published.versions) for step in steps)
        ended_at = tools.now()
        asked = self._asked(run.run_id)
        detail = {"undoes": undone.run_id, "units": len(steps), "part": not asked.is_whole, "cascade": asked.cascade}
        scope = Scope.of(graph, ((r.dataset, r.key) for r in restored), sum(r.rows for r in restored), detail)
        ended = [found for run_id in intent["ended"] if (found := tools.store.run(run_id)).state is RunState.SUCCEEDED]
        by = replace(scope, detail={"by": run.run_id})
        record_success(
            tools,
            changes,
            Outcome(
                run_id=run.run_id,
                ended_at=ended_at,
                audit=audit_entry(tools.store.run(run.run_id), scope, AuditStatus.SUCCESS, ended_at),
                summary=scope.summary(),
                records=restored,
                fence=intended_fence(tools, run.run_id),
                versions=published.versions,
                tables_seen=published.accounted,
                rolled_back=tuple(audit_entry(r, by, AuditStatus.ROLLED_BACK, ended_at) for r in ended),
            ),
        )


_NOTHING = Undo(moves=(), stale=(), covered=(), undone=(), ended=())


def _refuse_state(undone: Run) -> None:
    """Refuse to undo a run of a kind or in a state that has nothing to put back."""
    run_id = undone.run_id
    if undone.state is RunState.PUBLISHING:
        raise RollbackRefused(
            f"run {run_id} was interrupted while it published: it is brought to its end first",
            hint=f"remint resume {run_id}",
        )
    if undone.kind is RunKind.INGEST:
        raise RollbackRefused(
            f"run {run_id} is an ingest: Bronze is append-only",
            hint="correct the source, ingest the correction, and plan again",
        )
    if undone.kind is RunKind.ADOPT:
        raise RollbackRefused(
            f"run {run_id} adopted what somebody else had written: nothing of remint's is there to be put back",
            hint="to have these partitions made by their logic: remint plan DATASET --range A..B --rebuild",
        )
    if undone.kind is RunKind.EXPIRE:
        raise RollbackRefused(f"run {run_id} removed files, and they cannot be brought back", hint="remint releases")
    if undone.kind is RunKind.REPAIR:
        raise RollbackRefused(
            f"run {run_id} is a repair: it put back what had been published",
            hint="what it replaced is kept below .remint/repairs",
        )
    if undone.state in (RunState.STAGING, RunState.FAILED):
        raise _given_up_as_a_whole(undone)
    if undone.state is not RunState.SUCCEEDED:
        raise RollbackRefused(
            f"run {run_id} is {undone.state}: only a run that succeeded is rolled back", hint=f"remint show {run_id}"
        )


def _given_up_as_a_whole(run: Run) -> NothingToUndo:
    return NothingToUndo(
        f"run {run.run_id} is {run.state}: nothing of it is live, so it is given up as a whole",
        hint=f'remint rollback {run.run_id} --reason "..."',
    )


def _refuse_covered(undone: Run, found: Undo, selected: int, request: UndoRequest) -> None:
    """Refuse when nothing is left to undo, or when later runs wrote over it and are not to be taken along."""
    if len(found.undone) == selected:
        raise NothingToUndo(
            f"nothing of what was named is left of run {undone.run_id}: it was taken back before",
            hint=f"remint show {undone.run_id}    # says by which runs",
        )
    if not found.covered or request.cascade:
        return
    later = _in_order(move.over[move.over.index(undone.run_id) + 1 :] for move in found.covered)
    shown = ", ".join(f"{name} {key}" for name, key in (m.unit for m in found.covered[:_SHOWN]))
    shown += ", ..." if len(found.covered) > _SHOWN else ""
    raise WrittenAgain(
        f"{len(found.covered)} of the {selected} partitions of run {undone.run_id} were written again by "
        f"{', '.join(later)}: {shown}",
        hint=f"roll back the later run first: remint rollback {later[-1]}; or take along what was built on it: "
        f"remint rollback {undone.run_id} --cascade --dry-run",
    )


def _in_order(runs: Iterable[Iterable[str]]) -> list[str]:
    # Ids of runs begin with the time at which they started.
    return sorted({run_id for some in runs for run_id in some})


def _refuse_adopted(tools: Tools, undone: Run, found: Undo) -> None:
    """Refuse to take back what a person vouched for: the files of before would undo somebody else's write."""
    later = _in_order(move.over for move in found.moves)
    adopted = [run_id for run_id in later if tools.store.run(run_id).kind is RunKind.ADOPT]
    if adopted:
        units = [m.unit for m in found.moves if set(m.over) & set(adopted)]
        name, key = units[0]
        raise RollbackRefused(
            f"{counted(len(units), 'partition')} that would go back with run {undone.run_id} were adopted since by "
            f"{', '.join(adopted)}, for example {name} {key}: somebody else wrote what they hold",
            hint=f"undo the other partitions by name, or rebuild: remint plan {name} --rebuild --no-override-state",
        )


def _check_files(tools: Tools, graph: DatasetGraph, records: Sequence[ProvenanceRecord]) -> None:
    """Refuse to put back what is not on disk exactly as it was published."""
    for name in sorted({r.dataset for r in records}):
        needed = [f for r in records if r.dataset == name for f in r.files]
        refuse_expired(tools, name, (f.path for f in needed), f"{name} cannot be put back")
        for file in needed:
            place = below(tools.folder(graph[name]), file.path)
            held = tools.storage.stat(place)
            is_whole = held is not None and held.size_bytes == file.size_bytes
            is_proven = held is not None and file.etag != "" and held.etag == file.etag
            if not is_whole or (not is_proven and tools.storage.sha256(place) != file.sha256):
                raise RollbackRefused(
                    f"{name}: {file.path} is not on disk as it was published, so {file.key} cannot be restored exactly",
                    hint=f"recompute: remint plan {name} --range {file.key} --rebuild --no-override-state",
                )


def abandon(tools: Tools, graph: DatasetGraph, run: Run, asked: tuple[str, str]) -> int:
    """Give up a run that published nothing: delete its staged files and return how many there were.

    It is given up before a file goes: once one is gone, nobody may take the run up again.

    Args:
        tools: adapters.
        graph: datasets as the run knew them.
        run: to be given up.
        asked: who gives it up, and why.
    """
    by, reason = asked
    started = audit_entry(run, Scope(detail={"state": run.state}), AuditStatus.STARTED, tools.now())
    tools.store.log(replace(started, action="abandon", actor=by, reason=reason))
    found = [path for dataset in graph for path in leftovers(tools, tools.folder(dataset), run.run_id, ())]
    now = tools.now()
    ended = audit_entry(run, Scope(detail={"files_deleted": len(found)}), AuditStatus.ABANDONED, now)
    tools.store.abandon(run.run_id, replace(ended, action="abandon", actor=by, reason=reason), now)
    tools.storage.delete(found)
    return len(found)


def _makers(tools: Tools, undone: Run) -> dict[Unit, str]:
    """Return, of what a rollback put back, the runs that made it: the first that recorded the very same."""
    if undone.kind is not RunKind.ROLLBACK:
        return {}
    restored = [s.record for s in tools.store.records_of_run(undone.run_id) if s.record.fingerprint]
    first: dict[tuple[str, ...], str] = {}
    for name in sorted({r.dataset for r in restored}):
        for entry in tools.store.records_after(0, name):
            first.setdefault(_content(entry.record), entry.record.run_id)
    return {(r.dataset, r.key): first[_content(r)] for r in restored}


def _content(record: ProvenanceRecord) -> tuple[str, ...]:
    return (record.dataset, record.key, record.fingerprint, *(f.path for f in record.files))


def _projections(
    tools: Tools, graphs: Iterable[DatasetGraph], records: Sequence[ProvenanceRecord]
) -> dict[tuple[DatasetName, Columns], dict[str, str]]:
    """Return the digests over the columns that any consumer reads, of the contents that are looked at."""
    wanted = {(e.dataset, e.columns) for g in graphs for d in g for e in d.inputs if e.columns is not None}
    contents: dict[DatasetName, set[str]] = {}
    for record in records:
        if record.digest:
            contents.setdefault(record.dataset, set()).add(record.digest)
    return {
        (name, columns): tools.store.projections(name, columns, sorted(contents[name]))
        for name, columns in sorted(wanted)
        if name in contents
    }


def _steps(tools: Tools, places: Sequence[Sequence[int | None]]) -> list[_Step]:
    stored = tools.store.records_at({seq for place in places for seq in place if seq is not None})
    return [
        _Step(now=stored[now], back=stored[back] if back is not None else None)
        for now, back in places
        if now is not None
    ]


def _fence(steps: Iterable[_Step]) -> dict[UnitKey, int | None]:
    return {(s.now.record.dataset, s.now.record.key): s.now.seq for s in steps}


def _changes(graph: DatasetGraph, steps: Iterable[_Step]) -> Iterable[TableChange]:
    by_dataset: dict[DatasetName, list[_Step]] = {}
    for step in steps:
        by_dataset.setdefault(step.now.record.dataset, []).append(step)
    for dataset in graph:
        moved = [s for s in by_dataset.get(dataset.name, []) if s.is_moved]
        if dataset.name in by_dataset:
            yield TableChange(
                dataset=dataset,
                adds=tuple(f for s in moved if s.back for f in s.back.record.files),
                removes=tuple(f for s in moved for f in s.now.record.files),
            )


def _restored(step: _Step, run_id: str, versions: Mapping[DatasetName, int]) -> ProvenanceRecord:
    record = step.now.record
    version = versions[record.dataset]
    if step.back is None:
        gone = replace(record, fingerprint="", logic="", inputs={}, digest="", files=())
        return replace(gone, run_id=run_id, table_version=version, published=True)
    return replace(step.back.record, run_id=run_id, table_version=version, published=step.is_moved)
