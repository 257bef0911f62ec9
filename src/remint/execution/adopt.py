"""Adopt: take partitions that somebody else wrote as they are, whether remint ever published to their table or not.

Rules: no file is written and no table is committed to, unless somebody asks to have partitions compacted whose files do
not hold just their rows; everything else is read and refused before a run is recorded. That the content is what the
logic would make is asserted by a person; the fingerprint is what it should be made from now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from remint.engines.base import quoted
from remint.errors import AdoptRefused
from remint.execution.compact import Live, compacted
from remint.execution.observe import observe_units
from remint.model.dataset import Dataset, Layer
from remint.model.digest import ContentDigest, fingerprint
from remint.model.graph import DatasetGraph
from remint.model.observation import Columns, Observed
from remint.model.partition import DateRange, PartitionKey, PartitionSet
from remint.model.provenance import Arrival, DataFile, ProvenanceRecord
from remint.model.run import RunState
from remint.model.wording import counted
from remint.planner.staleness import Contents, unit_inputs
from remint.publishing.publish import (
    began_again,
    intend,
    intended,
    intended_also,
    intended_fence,
    publish_tables,
    record_success,
)
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools
from remint.publishing.unrecorded import unrecorded_runs
from remint.storage.base import below
from remint.store.values import AuditStatus, Outcome, Projection

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoptable:
    """What there is to adopt of one table, read."""

    dataset: Dataset
    version: int
    """Table version that was read."""
    keys: PartitionSet
    is_all: bool
    """Nothing foreign is left in the table."""
    observed: Observed
    live: Live
    """Live files of the partitions, as somebody else wrote them."""
    indirect: Mapping[PartitionKey, str]
    """Partitions that are compacted, because their files do not hold just their rows, each with why."""
    content: Content | None
    """Read from the files; None while there is something to compact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What files of adopted partitions hold."""

    files: Mapping[PartitionKey, tuple[DataFile, ...]]
    digests: Mapping[PartitionKey, ContentDigest]
    projections: Mapping[Columns, Mapping[PartitionKey, ContentDigest]]
    arrivals: tuple[Arrival, ...]
    """Of Bronze, rows in the files that are new to the ledger."""
    rows_repeated: int | None = None
    """Of Bronze with a key, the rows in those files that have the key of another row; they are taken all the same."""


def find_adoptable(
    tools: Tools, graph: DatasetGraph, dataset: Dataset, span: DateRange | None, *, compact: bool = False
) -> Adoptable | None:
    """Return the partitions of ``dataset`` that somebody else wrote, read from their files; None when there is none.

    Args:
        tools: adapters.
        graph: as declared.
        dataset: one of it.
        span: only these partitions.
        compact: partitions whose files do not hold just their rows are to be written anew; they are read then.

    Raises:
        AdoptRefused: the table is not there, not as declared, or a partition of it cannot be taken.
    """
    table = tools.table(dataset)
    version = tools.tables.version(table)
    if version is None:
        raise AdoptRefused(f"{dataset.name}: there is no table in {table.location}", hint="remint plan    # makes it")
    _refuse_half_published(tools)
    _refuse_differences(tools, dataset)
    foreign = observe_units(tools, graph, {}).foreign_keys(dataset.name)
    mine = foreign.only([dataset.fixed_value]) if dataset.fixed_value else foreign
    keys = span.within(mine) if span else mine
    # Commits that an older state does not know and that were taken back leave no partition, and are vouched for too.
    if not keys and (foreign or not unrecorded_runs(tools, dataset)):
        return None
    live = {key: tuple(sorted(paths)) for key, paths in tools.tables.live_files(table).items() if key in keys}
    known = _known_files(tools, dataset, keys, live)
    astray = _astray(tools, dataset, live) if compact else {}
    indirect = {**astray, **tools.tables.not_plain(table, live)}
    if indirect and not compact:
        raise _not_plain(dataset, indirect)
    _refuse_ingested(dataset, live, known, indirect)
    return Adoptable(
        dataset=dataset,
        version=version,
        keys=keys,
        is_all=keys == foreign,
        observed=_observed(tools, graph, dataset, keys),
        live=live,
        indirect=indirect,
        content=None if indirect else read_content(tools, dataset, keys, live, known),
    )


def _observed(tools: Tools, graph: DatasetGraph, dataset: Dataset, keys: PartitionSet) -> Observed:
    return observe_units(tools, graph, {dataset.name: keys} if dataset.transform else {})


def read_content(tools: Tools, dataset: Dataset, keys: PartitionSet, live: Live, known: Collection[str]) -> Content:
    """Return what the files of partitions hold; of Bronze, what arrived in those that are not ``known``."""
    parts = _measured(tools, dataset, live)
    new = [p for paths in live.values() for p in paths if p not in known]
    scheme = tools.engine.digest_scheme
    return Content(
        files={k: tuple(_file(tools, dataset, path, k, parts[path]) for path in live.get(k, ())) for k in keys},
        digests={key: ContentDigest.combine(scheme, (parts[p] for p in live.get(key, ()))) for key in keys},
        projections={columns: _projected(tools, dataset, live, keys, columns) for columns in dataset.read_as},
        arrivals=tuple(_arrivals(tools, dataset, new)),
        rows_repeated=_repeated(tools, dataset, new),
    )


def run_adopt(tools: Tools, graph: DatasetGraph, run_id: str, found: Adoptable) -> None:
    """Record what was found as published, under an existing run, once what is to be compacted is.

    Raises:
        AdoptRefused: somebody wrote to the table since it was read.
        PublishConflict: another run recorded one of the partitions meanwhile.
    """
    dataset, content = found.dataset, found.content
    try:
        heads = tools.store.heads([dataset.name], {dataset.name: found.keys})[dataset.name]
        fence = {(dataset.name, key): heads[key].seq if key in heads else None for key in found.keys}
        if tools.tables.version(tools.table(dataset)) != found.version:
            raise AdoptRefused(f"{dataset.name}: somebody wrote to the table while it was read", hint="adopt again")
        if content is None:
            change, live = compacted(tools, dataset, run_id, found.live, found.indirect)
            known = _known_files(tools, dataset, found.keys, found.live)
            content = read_content(tools, dataset, found.keys, live, known)
            intend(tools, run_id, [change], fence, also={"adopted": _journalled(found, live, known)})
            _publish(tools, graph, run_id, found, content)
            return
        outcome = _outcome(tools, graph, run_id, found, content)
        record_success(tools, [], replace(outcome, fence=fence, began_again=began_again(tools, [dataset])))
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def resume_adopt(tools: Tools, graph: DatasetGraph, run_id: str) -> None:
    """Finish a run that was interrupted while it put compacted files into the table.

    Raises:
        AdoptRefused: the logic of the dataset is not the one for which somebody vouched.
    """
    try:
        said = intended_also(tools, run_id, "adopted")
        dataset = graph[said["dataset"]]
        if dataset.logic_digest != said["logic"]:
            raise AdoptRefused(
                f"{dataset.name}: its logic is not the one that these rows were adopted for",
                hint=f"declare that again, then: remint resume {run_id}",
            )
        live = {key: tuple(paths) for key, paths in said["live"].items()}
        keys = PartitionSet.of(dataset.partition.grain, said["keys"])
        found = Adoptable(
            dataset=dataset,
            version=said["version"],
            keys=keys,
            is_all=said["is_all"],
            observed=_observed(tools, graph, dataset, keys),
            live=live,
            indirect=said["indirect"],
            content=read_content(tools, dataset, keys, live, said["known"]),
        )
        assert found.content is not None  # noqa: S101 - read above
        _publish(tools, graph, run_id, found, found.content)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


def _journalled(found: Adoptable, live: Live, known: Collection[str]) -> dict[str, Any]:
    """Return what another process needs to finish the run: which files hold what is adopted."""
    return {
        "dataset": found.dataset.name,
        "logic": found.dataset.logic_digest,
        "version": found.version,
        "is_all": found.is_all,
        "keys": list(found.keys),
        "live": {key: list(paths) for key, paths in live.items()},
        "known": sorted(known),
        "indirect": dict(found.indirect),
    }


def _publish(tools: Tools, graph: DatasetGraph, run_id: str, found: Adoptable, content: Content) -> None:
    """Put the compacted files in the place of those that they were read from, and record all that is adopted."""
    name, changes = found.dataset.name, intended(tools, graph, run_id)
    version = publish_tables(tools, run_id, changes).versions[name]
    # Somebody may have written to other partitions right before; the next look at the table finds it.
    is_all = found.is_all and version == found.version + 1
    outcome = _outcome(tools, graph, run_id, replace(found, version=version, is_all=is_all), content)
    record_success(tools, changes, replace(outcome, fence=intended_fence(tools, run_id)))


def _outcome(tools: Tools, graph: DatasetGraph, run_id: str, found: Adoptable, content: Content) -> Outcome:
    dataset, run, ended = found.dataset, tools.store.run(run_id), tools.now()
    state = tools.tables.state(tools.table(dataset), found.version) if found.is_all else None
    records = tuple(_records(graph, run_id, found, content))
    detail = {"units": len(records), "files": sum(map(len, content.files.values())), "table_version": found.version}
    detail |= {} if content.rows_repeated is None else {"rows_repeated": content.rows_repeated}
    detail |= {"units_compacted": len(found.indirect)} if found.indirect else {}
    scope = Scope.of(graph, ((r.dataset, r.key) for r in records), sum(r.rows for r in records), detail)
    return Outcome(
        run_id=run_id,
        ended_at=ended,
        audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
        summary=scope.summary(),
        records=records,
        fence={},
        arrivals={dataset.name: content.arrivals} if content.arrivals else {},
        countings={dataset.name: dataset.arrivals.in_words} if dataset.arrivals and content.arrivals else {},
        read_seq=found.observed.last_seq if dataset.transform else None,
        logics={dataset.name: (dataset.transform.logic, dataset.version)} if dataset.transform else {},
        projections=tuple(_projections(dataset, content)),
        versions={dataset.name: found.version},
        tables_seen={dataset.name: state} if state else {},
    )


def _refuse_half_published(tools: Tools) -> None:
    for run in tools.store.outstanding():
        if run.state is RunState.PUBLISHING:
            raise AdoptRefused(
                f"run {run.run_id} was interrupted while it published: its own files would count as foreign",
                hint=f"finish it first: remint resume {run.run_id}",
            )


def _refuse_differences(tools: Tools, dataset: Dataset) -> None:
    table = tools.table(dataset)
    found = [*tools.tables.differences(table), *tools.tables.damaged_commits(table)]
    if found:
        lines = "\n  ".join(found)
        raise AdoptRefused(
            f"{dataset.name}: the table in {table.location} is not as declared\n  {lines}",
            hint=f"correct contracts/{dataset.name}.yaml or the declaration; or rewrite the table with its own tool",
        )


def _refuse_ingested(dataset: Dataset, live: Live, known: Collection[str], found: Mapping[PartitionKey, str]) -> None:
    """Refuse to write a partition of Bronze anew that holds files which were ingested."""
    touched = sorted(key for key in found if not set(live[key]).isdisjoint(known))
    if touched:
        key = touched[0]
        raise AdoptRefused(
            f"{dataset.name} is append-only, and {key} holds ingested files beside what was changed: {found[key]}",
            hint="restore the table to the version before that; what else was appended can be adopted then",
        )


def _not_plain(dataset: Dataset, indirect: Mapping[PartitionKey, str]) -> AdoptRefused:
    shown = "\n  ".join(f"{key}: {indirect[key]}" for key in sorted(indirect)[:_SHOWN])
    return AdoptRefused(
        f"{dataset.name}: the files of {counted(len(indirect), 'partition')} do not hold just their rows\n  {shown}",
        hint=f'remint adopt {dataset.name} --compact --reason "..."    # writes these partitions anew, as they read',
    )


def _known_files(tools: Tools, dataset: Dataset, keys: PartitionSet, live: Live) -> set[str]:
    """Return the files that the ledger has already; those of Bronze must all be live still."""
    known = {f.path for r in tools.store.records(dataset.name, list(keys)).values() for f in r.files}
    gone = known - {path for paths in live.values() for path in paths}
    if dataset.layer is Layer.BRONZE and gone:
        raise AdoptRefused(
            f"{dataset.name} is append-only, but {len(gone)} of its ingested files are not live any more, for example "
            f"{min(gone)}",
            hint="restore the table to the version that had them; what else was appended can be adopted then",
        )
    return known if dataset.layer is Layer.BRONZE else set()


def _measured(tools: Tools, dataset: Dataset, live: Live) -> dict[str, ContentDigest]:
    """Return the content digest of every live file; each must be on disk, and hold rows of its partition alone."""
    folder = tools.folder(dataset)
    paths = {path: key for key, listed in live.items() for path in listed}
    gone = sorted(path for path in paths if tools.storage.stat(below(folder, path)) is None)
    if gone:
        raise AdoptRefused(
            f"{dataset.name}: {len(gone)} live files are not below its folder, for example {gone[0]}",
            hint="restore them, or copy the table (a shallow clone names files of another table)",
        )
    lying = _lying(tools, dataset)
    _refuse_astray(dataset, [f"{path}: live as {key}" for path, key in paths.items() if lying(path)])
    parts = tools.engine.file_digests(dataset, tools.scan(dataset, sorted(paths)), by_event=False)
    _refuse_astray(dataset, [f"{path}: live as {paths[path]}, not {key}" for path, key in parts if key != paths[path]])
    empty = ContentDigest.empty(tools.engine.digest_scheme)
    return {path: parts.get((path, key), empty) for path, key in paths.items()}


def _astray(tools: Tools, dataset: Dataset, live: Live) -> dict[PartitionKey, str]:
    """Return the partitions with files that do not lie in a folder of their values: the engine cannot tell them."""
    lying = _lying(tools, dataset)
    found = {key: [path for path in paths if lying(path)] for key, paths in live.items()}
    return {key: f"{paths[0]} does not lie in the folder of its partition" for key, paths in found.items() if paths}


def _lying(tools: Tools, dataset: Dataset) -> Callable[[str], bool]:
    """Return what tells a file that lies where it must not: only where files lack the columns do folders say them."""
    names = () if tools.tables.files_are_whole else dataset.partition.columns

    def lies(path: str) -> bool:
        folders = [part.partition("=")[0] for part in path.split("/")[:-1]]
        return any(folders.count(name) != 1 for name in names)

    return lies


def _refuse_astray(dataset: Dataset, astray: list[str]) -> None:
    if astray:
        shown = "\n  ".join(sorted(astray)[:_SHOWN])
        raise AdoptRefused(
            f"{dataset.name}: {len(astray)} files do not lie in the folder of their partition\n  {shown}",
            hint=f'remint adopt {dataset.name} --compact --reason "..."    # writes them as {dataset.partition.column}='
            "<value>/<file>; or rewrite them with the tool that wrote them",
        )


def _file(tools: Tools, dataset: Dataset, path: str, key: PartitionKey, digest: ContentDigest) -> DataFile:
    place = below(tools.folder(dataset), path)
    held = tools.storage.stat(place)
    return DataFile(
        path=path,
        key=key,
        rows=digest.rows,
        size_bytes=held.size_bytes if held else 0,
        sha256=tools.storage.sha256(place),
        stats=json.dumps({"numRecords": digest.rows}),
    )


def _projected(
    tools: Tools, dataset: Dataset, live: Live, keys: PartitionSet, columns: Columns
) -> dict[PartitionKey, ContentDigest]:
    found = tools.engine.digests(tools.scan(dataset, sorted(p for paths in live.values() for p in paths)), columns)
    empty = ContentDigest.empty(tools.engine.digest_scheme)
    return {key: found.get(key, empty) for key in keys}


def _arrivals(tools: Tools, dataset: Dataset, paths: list[str]) -> Iterable[Arrival]:
    if dataset.arrivals is None or not paths:
        return
    parts = tools.engine.file_digests(dataset, tools.scan(dataset, sorted(paths)), by_event=True)
    timeless = sum(digest.rows for (_, key), digest in parts.items() if not key)
    if timeless:
        raise AdoptRefused(
            f"{dataset.name}: {timeless:,} rows have no {dataset.arrivals.column}, so nothing would ever read them",
            hint="delete them with the tool that wrote them",
        )
    yield from (Arrival(file=path, event_key=key, digest=digest) for (path, key), digest in sorted(parts.items()))
    if dataset.arrivals.key:
        held = _held(tools, dataset, paths)
        yield from tools.engine.rivals(dataset, tools.scan(dataset, sorted(held)), tools.scan(dataset, sorted(paths)))


def _held(tools: Tools, dataset: Dataset, new: list[str]) -> list[str]:
    return [f.path for r in tools.store.records(dataset.name).values() for f in r.files if f.path not in new]


def _repeated(tools: Tools, dataset: Dataset, new: list[str]) -> int | None:
    """Return how many rows of the ``new`` files of Bronze have the key of another row; None where it has no key."""
    if dataset.layer is not Layer.BRONZE or not dataset.key:
        return None
    key = ", ".join(map(quoted, dataset.key))
    # Names are quoted, and nothing else is put into the text.
    rows = f"SELECT {key}, 1 AS is_new FROM adopted UNION ALL SELECT {key}, 0 AS is_new FROM held"  # noqa: S608
    groups = f"SELECT sum(is_new) AS new_rows FROM ({rows}) GROUP BY {key} HAVING count(*) > 1"  # noqa: S608
    total = f"SELECT CAST(coalesce(sum(new_rows), 0) AS BIGINT) FROM ({groups})"  # noqa: S608
    scans = {
        "adopted": tools.scan(dataset, sorted(new)),
        "held": tools.scan(dataset, sorted(_held(tools, dataset, new))),
    }
    found = tools.engine.query(total, scans, 1)
    return int(found.rows[0][0])


def _records(graph: DatasetGraph, run_id: str, found: Adoptable, content: Content) -> Iterable[ProvenanceRecord]:
    dataset, heads = found.dataset, found.observed.heads.get(found.dataset.name, {})
    digests = {key: str(digest) for key, digest in content.digests.items()}
    projected = {
        (dataset.name, columns): {k: str(d) for k, d in by_key.items()}
        for columns, by_key in content.projections.items()
    }
    contents = Contents.of(found.observed).overlaid({dataset.name: digests}, projected, {dataset.name: found.keys})
    for key in found.keys:
        inputs = unit_inputs(graph, dataset, key, contents) if dataset.transform else {}
        head = heads.get(key)
        yield ProvenanceRecord(
            dataset=dataset.name,
            key=key,
            run_id=run_id,
            fingerprint=fingerprint(dataset.logic_digest, inputs) if dataset.transform else run_id,
            logic=dataset.logic_digest,
            inputs=inputs,
            digest=digests[key],
            files=content.files[key],
            table_version=found.version,
            published=head is None or head.is_missing or head.digest != digests[key],
        )


def _projections(dataset: Dataset, content: Content) -> Iterable[Projection]:
    for columns, by_key in content.projections.items():
        for key, digest in by_key.items():
            of = str(content.digests[key])
            yield Projection(dataset=dataset.name, content=of, columns=columns, digest=str(digest))
