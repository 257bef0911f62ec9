"""Examine a project's tables: ledger, log and disk must say the same. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from remint.execution.audit_chain import first_break
from remint.execution.rollback import sha256_of
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.observation import behind
from remint.model.run import RunState
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import unrecorded_runs


class Health(StrEnum):
    """How bad a symptom is."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong with published data."""
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing that doctor looked at."""

    subject: DatasetName
    health: Health
    detail: str
    hint: str = ""


_STATE_IS_OLDER = "put the newest copy of the state database back; without one, take what is there: remint adopt {}"
_GIVE_UP = ", or give it up: remint rollback "


def examine(tools: Tools, graph: DatasetGraph, names: Iterable[DatasetName], *, read_data: bool) -> list[Symptom]:
    """Return what is well and what is not, by dataset.

    Args:
        tools: adapters.
        graph: the declared datasets.
        names: datasets to look at.
        read_data: also hash every published file.
    """
    symptoms = list(_examine_log(tools))
    for run in tools.store.outstanding():
        symptoms.append(
            Symptom(
                subject=run.run_id,
                health=Health.NOTE,
                detail=f"{run.kind} run is {run.state}: {run.error or 'it was interrupted'}",
                hint=f"remint resume {run.run_id}{'' if run.state is RunState.PUBLISHING else _GIVE_UP + run.run_id}",
            )
        )
    for name in names:
        found = list(_examine(tools, graph[name], read_data=read_data))
        if not found:
            count = sum(len(r.files) for r in tools.store.records(name).values())
            words = f"{count} files as published" + (", contents hashed" if read_data else "")
            found = [Symptom(subject=name, health=Health.OK, detail=words)]
        symptoms += found
    return symptoms


def _examine_log(tools: Tools) -> Iterable[Symptom]:
    broken = first_break(tools.store)
    if broken:
        detail, hint = f"{broken.kind} at seq {broken.seq}: {broken.found}", "remint audit verify CHECKPOINT"
        yield Symptom(subject="audit log", health=Health.BAD, detail=detail, hint=hint)
    else:
        yield Symptom(subject="audit log", health=Health.OK, detail="every entry has the hash that it was written with")


def _examine(tools: Tools, dataset: Dataset, *, read_data: bool) -> Iterable[Symptom]:
    table, folder = tools.table(dataset), Path(tools.folder(dataset))
    records = {k: r for k, r in tools.store.records(dataset.name).items() if r.files}
    version = tools.tables.version(table)
    if version is None:
        if records:
            yield _bad(dataset, "the table is gone", f"restore {folder}, or rebuild: remint plan {dataset.name}")
        return
    for detail in tools.tables.damaged_commits(table):
        yield _bad(dataset, detail, "restore the log file from a backup; readers may silently miss rows")
    lost = unrecorded_runs(tools, dataset)
    if lost:
        yield _bad(dataset, behind({dataset.name: lost}), _STATE_IS_OLDER.format(dataset.name))
    live = tools.tables.live_files(table)
    published = {f.path: f for r in records.values() for f in r.files}
    listed = {path for paths in live.values() for path in paths}
    halves = [r.run_id for r in tools.store.outstanding() if r.state is RunState.PUBLISHING]
    if halves:
        words = f"run {halves[0]} is half published: what is live is compared once it is resumed"
        yield Symptom(subject=dataset.name, health=Health.NOTE, detail=words)
        return
    for path in sorted(listed - published.keys()):
        yield _bad(dataset, f"{path} is live but remint did not publish it", tools.tables.foreign_writer(table))
    for path in sorted(published.keys() - listed):
        yield _bad(dataset, f"{path} was published but is not live", tools.tables.foreign_writer(table))
    for path, file in sorted(published.items()):
        place = folder / path
        if not place.exists():
            yield _bad(dataset, f"{path} is missing on disk", f"remint plan {dataset.name} --range {file.key}")
        elif place.stat().st_size != file.size_bytes:
            yield _bad(dataset, f"{path}: expected {file.size_bytes} bytes, found {place.stat().st_size}")
        elif read_data and sha256_of(place) != file.sha256:
            yield _bad(dataset, f"{path}: its SHA-256 is not the one that was published")
    unnamed = {str(p.relative_to(folder)) for p in folder.glob("**/part-*.parquet")} - listed
    orphans = unnamed - tools.store.paths_ever(dataset.name)
    if orphans:
        detail = f"{len(orphans)} staged files that no table version names, for example {sorted(orphans)[0]}"
        yield Symptom(
            subject=dataset.name,
            health=Health.NOTE,
            detail=detail,
            hint="they belong to runs that are outstanding or were killed; resume or roll those back",
        )


def _bad(dataset: Dataset, detail: str, hint: str = "") -> Symptom:
    return Symptom(subject=dataset.name, health=Health.BAD, detail=detail, hint=hint)
