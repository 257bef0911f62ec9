"""Examine a project: ledger, journals, logs and disk must say the same. Changes nothing but when a file was hashed.

Rules: damaged input gives a symptom, never an exception; what one dataset is like keeps nobody from looking at the
next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from remint.errors import RemintError
from remint.execution.audit_chain import first_break
from remint.execution.doctor_files import (
    Records,
    file_symptoms,
    live_symptoms,
    unnamed_files,
    unnamed_symptoms,
)
from remint.execution.doctor_log import Journalled, log_symptoms
from remint.execution.doctor_state import database_symptoms, derived_symptoms, projection_symptoms
from remint.execution.symptom import Health, Kind, Symptom, bad, mending, note
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.observation import behind
from remint.model.run import Run, RunState
from remint.model.subset import Subset
from remint.model.wording import counted, moved_on
from remint.publishing.lease import at_work
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import unrecorded_runs

_STATE_IS_OLDER = (
    "put the newest copy of the state database back; only if there is none, take what the tables hold: "
    'remint adopt {} --reason "..."'
)
_BY_THE_UNKNOWN = (Kind.FOREIGN_FILE, Kind.NOT_LIVE, Kind.COMMIT_UNKNOWN)
"""What commits look like that the state database does not know: it can be told from other harm once it knows them."""
_GIVE_UP = 'remint rollback {} --reason "..."'


def examine(
    tools: Tools,
    graph: DatasetGraph,
    names: Iterable[DatasetName],
    *,
    read_data: bool,
    subset: Subset | None = None,
    moved_under: Callable[[Run], Sequence[str]] = lambda _: (),
) -> list[Symptom]:
    """Return what is well and what is not, by dataset.

    Args:
        tools: adapters.
        graph: the declared datasets.
        names: datasets to look at.
        read_data: also hash published files, and compare what is kept of their contents.
        subset: which files are hashed; all of them without it.
        moved_under: says what has moved since an outstanding run was planned.
    """
    chosen = [graph[name] for name in names]
    symptoms = list(database_symptoms(tools))
    try:
        symptoms.append(_audit_log(tools))
        symptoms += _runs(tools, moved_under)
        symptoms += derived_symptoms(tools, graph)
        journalled = Journalled.of(tools)
    except RemintError as error:
        return [*symptoms, _failed("state database", Kind.DATABASE_DAMAGED, error)]
    hashed = (subset or Subset()) if read_data else None
    for dataset in chosen:
        found: list[Symptom] = []
        try:
            found += _examined(tools, dataset, journalled, hashed)
        except RemintError as error:
            found.append(_failed(dataset.name, Kind.LOG_UNREADABLE, error))
        if not found:
            count = sum(len(r.files) for r in tools.store.records(dataset.name).values())
            words = f"{counted(count, 'file')} as published" + (_hashed(subset) if read_data else "")
            found = [Symptom(subject=dataset.name, health=Health.OK, detail=words)]
        symptoms += found
    symptoms = _state_first(symptoms)
    if read_data and not any(s.health is Health.BAD for s in symptoms):
        symptoms += projection_symptoms(tools, chosen)
    return symptoms


def _state_first(symptoms: list[Symptom]) -> list[Symptom]:
    """Return the symptoms with one for all tables that are newer than the state database, and one next command."""
    behind_of = {s.subject: tuple(s.found.split(", ")) for s in symptoms if s.kind is Kind.STATE_BEHIND}
    if not behind_of:
        return symptoms
    first, *others = behind_of
    then = f"    # then remint doctor names the next of {len(behind_of)} tables" if others else ""
    one = Symptom(
        subject="state database",
        health=Health.BAD,
        kind=Kind.STATE_BEHIND,
        detail=behind(behind_of),
        hint=_STATE_IS_OLDER.format(first) + then,
        place=", ".join(behind_of),
        found=", ".join(sorted({run_id for runs in behind_of.values() for run_id in runs})),
    )
    # How a run can be ended is known once the state is.
    rest = [replace(s, hint="") if s.kind is Kind.OUTSTANDING_RUN else s for s in symptoms]
    return [one, *(s for s in rest if s.kind is not Kind.STATE_BEHIND)]


def _hashed(subset: Subset | None) -> str:
    return ", contents hashed" if subset is None else ", contents of some hashed"


def _failed(subject: str, kind: Kind, error: RemintError) -> Symptom:
    return Symptom(subject=subject, health=Health.BAD, kind=kind, detail=error.message, hint=error.hint or "")


def _audit_log(tools: Tools) -> Symptom:
    broken = first_break(tools.store)
    if broken is None:
        return Symptom(
            subject="audit log", health=Health.OK, detail="every entry has the hash that it was written with"
        )
    detail, hint = f"{broken.kind} at seq {broken.seq}: {broken.found}", "remint audit verify CHECKPOINT"
    return Symptom(subject="audit log", health=Health.BAD, kind=Kind.AUDIT_LOG_BROKEN, detail=detail, hint=hint)


def _runs(tools: Tools, moved_under: Callable[[Run], Sequence[str]]) -> Iterable[Symptom]:
    working, now = at_work(tools), tools.now()
    for run in tools.store.outstanding():
        lease = working.get(run.run_id)
        give_up = _GIVE_UP.format(run.run_id)
        goes_on = f"remint resume {run.run_id}"
        goes_on += "" if run.state is RunState.PUBLISHING else f", or give it up: {give_up}"
        why = lease.describe(now) if lease else (run.error or "it was interrupted").splitlines()[0]
        if not lease and (moved := moved_under(run)):
            why += f"; it cannot be resumed, because {moved_on(moved)}"
            goes_on = f"{give_up}    # gives it up"
        yield Symptom(
            subject=run.run_id,
            health=Health.NOTE,
            kind=Kind.OUTSTANDING_RUN,
            detail=f"{run.kind} run is {run.state}: {why}",
            hint="" if lease else goes_on,
        )


def _examined(tools: Tools, dataset: Dataset, journalled: Journalled, hashed: Subset | None) -> Iterable[Symptom]:
    table, folder = tools.table(dataset), tools.folder(dataset)
    records: Records = {k: r for k, r in tools.store.records(dataset.name).items() if r.files}
    reading = tools.tables.read_log(table)
    journalled.hold_to(dataset.name, reading.table_id)
    halves = [r for r in journalled.runs.values() if r.state is RunState.PUBLISHING]
    if reading.newest < 0:
        if records:
            hint = f"restore what names it, with {folder}"
            hint += "" if dataset.transform is None else f", or have it made anew: remint plan {dataset.name}"
            yield bad(dataset, Kind.TABLE_GONE, f"the table is gone: {tools.tables.absent}", hint)
    elif halves:
        words = f"run {halves[0].run_id} is half published: what is live is compared once it is resumed"
        yield from log_symptoms(dataset, reading, journalled)
        yield note(dataset, Kind.HALF_PUBLISHED, words)
    else:
        # A log that cannot be read is mended first: which commits are in it is known then.
        lost = () if reading.faults else unrecorded_runs(tools, dataset)
        if lost:
            words = behind({dataset.name: lost})
            yield replace(bad(dataset, Kind.STATE_BEHIND, words), found=", ".join(lost))
        found = list(log_symptoms(dataset, reading, journalled))
        try:
            for words in tools.tables.unusable(table):
                hint = "take that back, in the declaration or with the tool that changed the table"
                found.append(bad(dataset, Kind.TABLE_UNUSABLE, words, hint))
            found += live_symptoms(tools, dataset, records, reading)
        except RemintError as error:
            if not found:
                yield bad(dataset, Kind.LOG_UNREADABLE, error.message, mending(dataset))
        yield from (s for s in found if not lost or s.kind not in _BY_THE_UNKNOWN)
    yield from file_symptoms(tools, dataset, records, hashed)
    if not halves:
        named = tools.store.paths_ever(dataset.name) | reading.named
        yield from unnamed_symptoms(dataset, unnamed_files(tools, dataset, journalled.runs, named))
