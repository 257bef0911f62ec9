"""Compare what the state database derives with what it is derived from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from remint.execution.observe import observe_units
from remint.execution.symptom import Health, Kind, Symptom
from remint.model.dataset import Dataset, DatasetName
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionSet
from remint.model.standing import Standing
from remint.model.wording import counted
from remint.planner.folding import fold, usable
from remint.planner.staleness import Contents, is_outdated
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.scheme import is_of_another_scheme
from remint.publishing.tools import Tools

_STATE = "state database"
_KINDS = {
    "heads": Kind.HEADS_WRONG,
    "arrived": Kind.ARRIVED_WRONG,
    "projections": Kind.PROJECTION_UNKNOWN,
}
_HINT = "remint repair    # makes what is derived again"


def database_symptoms(tools: Tools) -> Iterable[Symptom]:
    """Yield what the state database says is wrong with itself."""
    for words in tools.store.damage():
        hint = "restore it from a backup; the tables themselves are whole"
        yield Symptom(subject=_STATE, health=Health.BAD, kind=Kind.DATABASE_DAMAGED, detail=words, hint=hint)


def derived_symptoms(tools: Tools, graph: DatasetGraph) -> Iterable[Symptom]:
    """Yield which derived tables are not what the append-only ones say."""
    groups: dict[tuple[str, DatasetName], list[str]] = {}
    for found in tools.store.differences():
        groups.setdefault((found.table, found.dataset), []).append(found.key)
    for (table, name), keys in sorted(groups.items()):
        words = f"{table}: {counted(len(keys), 'row')} not what the ledger says, for example {keys[0]}"
        yield Symptom(subject=name, health=Health.BAD, kind=_KINDS[table], detail=words, hint=_HINT, place=keys[0])
    yield from _standing_symptoms(tools, graph)


def _standing_symptoms(tools: Tools, graph: DatasetGraph) -> Iterable[Symptom]:
    kept = tools.store.standings()
    fresh = fold(graph, usable(graph, {}), tools.store.changes(0))
    held = usable(graph, kept)
    known = {n: s for n, s in held.items() if n in kept and s == kept[n]}
    behind = min((s.through_seq for s in known.values()), default=0)
    now = fold(graph, held, tools.store.changes(behind)) if known else {}
    # A suspect that was compared and proved fresh is none any more, which folding from zero cannot know.
    cleared = {n: fresh[n].suspects - now[n].suspects for n in known}
    outdated = _outdated(tools, graph, {n: keys for n, keys in cleared.items() if keys})
    for name in sorted(known):
        wrong = [what for what, is_wrong in _compared(fresh[name], now[name]).items() if is_wrong]
        wrong += [f"suspects: {key} was cleared and is stale" for key in outdated.get(name, ())]
        if wrong:
            words = f"how it stands is not what the ledger says: {'; '.join(wrong[:5])}"
            yield Symptom(
                subject=name, health=Health.BAD, kind=Kind.STANDINGS_WRONG, detail=words, hint=_HINT, place=wrong[0]
            )


def _compared(fresh: Standing, kept: Standing) -> dict[str, bool]:
    made = {logic: keys for logic, keys in fresh.made_by.items() if keys}
    return {
        "published units": made != {logic: keys for logic, keys in kept.made_by.items() if keys},
        "withdrawn units": fresh.withdrawn != kept.withdrawn,
        "arrivals": fresh.arrived != kept.arrived,
        "suspects": bool(kept.suspects - fresh.suspects),
    }


def _outdated(
    tools: Tools, graph: DatasetGraph, cleared: Mapping[DatasetName, PartitionSet]
) -> dict[DatasetName, list[str]]:
    """Return those of the cleared units whose fingerprint is not what it should be."""
    if not cleared:
        return {}
    observed = observe_units(tools, graph, cleared)
    contents = Contents.of(observed)
    return {
        name: [
            key
            for key in keys
            if (head := observed.heads[name].get(key))
            and head.logic == graph[name].logic_digest
            and is_outdated(graph, graph[name], head, contents)
        ]
        for name, keys in cleared.items()
    }


def projection_symptoms(tools: Tools, datasets: Sequence[Dataset]) -> Iterable[Symptom]:
    """Yield the digests over columns that are kept and are not those of the files; the files are read."""
    for dataset in datasets:
        records = {k: r for k, r in tools.store.records(dataset.name).items() if r.fingerprint}
        files = [f for r in records.values() for f in r.files]
        if not dataset.read_as or flawed_files(tools.storage, tools.folder(dataset), files, Depth.SIZE):
            continue
        scan = tools.scan(dataset, files)
        for columns in dataset.read_as:
            known = tools.store.projections(dataset.name, columns, [r.digest for r in records.values()])
            made = tools.engine.digests(scan, columns) if known else {}
            wrong = [
                k
                for k, r in records.items()
                if k in made
                and r.digest in known
                and known[r.digest] != str(made[k])
                and not is_of_another_scheme(known[r.digest], str(made[k]))
            ]
            if wrong:
                words = f"the digest over {', '.join(columns)} of {counted(len(wrong), 'partition')} is not that of the"
                yield Symptom(
                    subject=dataset.name,
                    health=Health.BAD,
                    kind=Kind.PROJECTION_WRONG,
                    detail=f"{words} files, for example {wrong[0]}",
                    hint=_HINT,
                    place=wrong[0],
                )
