"""Adopt: take partitions that somebody else wrote as they are, whether remint ever published to their table or not.

Rules: no file is written and no table is committed to; everything is read and refused before a run is recorded. That
the content is what the logic would make is asserted by a person; the fingerprint is what it should be made from now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remint.engines.base import Scan, quoted
from remint.errors import AdoptRefused
from remint.execution.observe import observe_units
from remint.model.dataset import Dataset, Layer
from remint.model.digest import ContentDigest, fingerprint
from remint.model.graph import DatasetGraph
from remint.model.observation import Columns, Observed
from remint.model.partition import DateRange, PartitionKey, PartitionSet
from remint.model.provenance import Arrival, DataFile, ProvenanceRecord
from remint.model.run import RunState
from remint.planner.staleness import Contents, unit_inputs
from remint.publishing.publish import began_again, record_success
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
    files: Mapping[PartitionKey, tuple[DataFile, ...]]
    digests: Mapping[PartitionKey, ContentDigest]
    projections: Mapping[Columns, Mapping[PartitionKey, ContentDigest]]
    arrivals: tuple[Arrival, ...]
    """Of Bronze, rows in the files that are new to the ledger."""
    rows_repeated: int | None = None
    """Of Bronze with a key, the rows in those files that have the key of another row; they are taken all the same."""


def find_adoptable(tools: Tools, graph: DatasetGraph, dataset: Dataset, span: DateRange | None) -> Adoptable | None:
    """Return the partitions of ``dataset`` that somebody else wrote, read from their files; None when there is none.

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
    parts = _measured(tools, dataset, live)
    new = [p for paths in live.values() for p in paths if p not in known]
    files = {key: tuple(_file(tools, dataset, path, key, parts[path]) for path in live.get(key, ())) for key in keys}
    scheme = tools.engine.digest_scheme
    return Adoptable(
        dataset=dataset,
        version=version,
        keys=keys,
        is_all=keys == foreign,
        observed=observe_units(tools, graph, {dataset.name: keys} if dataset.transform else {}),
        files=files,
        digests={key: ContentDigest.combine(scheme, (parts[p] for p in live.get(key, ()))) for key in keys},
        projections={columns: _projected(tools, dataset, live, keys, columns) for columns in dataset.read_as},
        arrivals=tuple(_arrivals(tools, dataset, new)),
        rows_repeated=_repeated(tools, dataset, new),
    )


def run_adopt(tools: Tools, graph: DatasetGraph, run_id: str, found: Adoptable) -> None:
    """Record what was found as published, under an existing run.

    Raises:
        AdoptRefused: somebody wrote to the table since it was read.
        PublishConflict: another run recorded one of the partitions meanwhile.
    """
    dataset = found.dataset
    try:
        if tools.tables.version(tools.table(dataset)) != found.version:
            raise AdoptRefused(f"{dataset.name}: somebody wrote to the table while it was read", hint="adopt again")
        run, ended = tools.store.run(run_id), tools.now()
        records = tuple(_records(graph, run_id, found))
        detail = {"units": len(records), "files": sum(map(len, found.files.values())), "table_version": found.version}
        detail |= {} if found.rows_repeated is None else {"rows_repeated": found.rows_repeated}
        scope = Scope.of(graph, ((r.dataset, r.key) for r in records), sum(r.rows for r in records), detail)
        heads = tools.store.heads([dataset.name], {dataset.name: found.keys})[dataset.name]
        outcome = Outcome(
            run_id=run_id,
            ended_at=ended,
            audit=audit_entry(run, scope, AuditStatus.SUCCESS, ended),
            summary=scope.summary(),
            records=records,
            fence={(dataset.name, key): heads[key].seq if key in heads else None for key in found.keys},
            arrivals={dataset.name: found.arrivals} if found.arrivals else {},
            countings={dataset.name: dataset.arrivals.in_words} if dataset.arrivals and found.arrivals else {},
            read_seq=found.observed.last_seq if dataset.transform else None,
            logics={dataset.name: (dataset.transform.logic, dataset.version)} if dataset.transform else {},
            projections=tuple(_projections(found)),
            versions={dataset.name: found.version},
            began_again=began_again(tools, [dataset]),
            tables_seen={dataset.name: found.version} if found.is_all else {},
        )
        record_success(tools, [], outcome)
    except Exception as error:
        raise stopped(tools, run_id, error) from error


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


def _known_files(
    tools: Tools, dataset: Dataset, keys: PartitionSet, live: Mapping[PartitionKey, tuple[str, ...]]
) -> set[str]:
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


def _measured(tools: Tools, dataset: Dataset, live: Mapping[PartitionKey, tuple[str, ...]]) -> dict[str, ContentDigest]:
    """Return the content digest of every live file; each must be on disk, and hold rows of its partition alone."""
    folder = tools.folder(dataset)
    paths = {path: key for key, listed in live.items() for path in listed}
    gone = sorted(path for path in paths if tools.storage.stat(below(folder, path)) is None)
    if gone:
        raise AdoptRefused(
            f"{dataset.name}: {len(gone)} live files are not below its folder, for example {gone[0]}",
            hint="restore them, or copy the table (a shallow clone names files of another table)",
        )
    # The engine takes partition values from the folders of a path.
    _refuse_astray(dataset, [f"{path}: live as {key}" for path, key in paths.items() if not _is_placed(dataset, path)])
    parts = tools.engine.file_digests(dataset, _scan(tools, dataset, paths), by_event=False)
    _refuse_astray(dataset, [f"{path}: live as {paths[path]}, not {key}" for path, key in parts if key != paths[path]])
    empty = ContentDigest.empty(tools.engine.digest_scheme)
    return {path: parts.get((path, key), empty) for path, key in paths.items()}


def _is_placed(dataset: Dataset, path: str) -> bool:
    folders = [part.partition("=")[0] for part in path.split("/")[:-1]]
    return dataset.partition.is_hidden or all(folders.count(column) == 1 for column in dataset.partition.columns)


def _refuse_astray(dataset: Dataset, astray: list[str]) -> None:
    if astray:
        shown = "\n  ".join(sorted(astray)[:_SHOWN])
        raise AdoptRefused(
            f"{dataset.name}: {len(astray)} files do not lie in the folder of their partition\n  {shown}",
            hint=f"rewrite them as {dataset.partition.column}=<value>/<file>, which most writers do by themselves",
        )


def _scan(tools: Tools, dataset: Dataset, paths: Iterable[str]) -> Scan:
    return Scan(
        root=tools.folder(dataset), paths=tuple(sorted(paths)), columns=dataset.columns, partition=dataset.partition
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
    tools: Tools,
    dataset: Dataset,
    live: Mapping[PartitionKey, tuple[str, ...]],
    keys: PartitionSet,
    columns: Columns,
) -> dict[PartitionKey, ContentDigest]:
    found = tools.engine.digests(_scan(tools, dataset, (p for paths in live.values() for p in paths)), columns)
    empty = ContentDigest.empty(tools.engine.digest_scheme)
    return {key: found.get(key, empty) for key in keys}


def _arrivals(tools: Tools, dataset: Dataset, paths: list[str]) -> Iterable[Arrival]:
    if dataset.arrivals is None or not paths:
        return
    parts = tools.engine.file_digests(dataset, _scan(tools, dataset, paths), by_event=True)
    timeless = sum(digest.rows for (_, key), digest in parts.items() if not key)
    if timeless:
        raise AdoptRefused(
            f"{dataset.name}: {timeless:,} rows have no {dataset.arrivals.column}, so nothing would ever read them",
            hint="delete them with the tool that wrote them",
        )
    yield from (Arrival(file=path, event_key=key, digest=digest) for (path, key), digest in sorted(parts.items()))
    if dataset.arrivals.key:
        held = _held(tools, dataset, paths)
        yield from tools.engine.rivals(dataset, _scan(tools, dataset, held), _scan(tools, dataset, paths))


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
    scans = {"adopted": _scan(tools, dataset, new), "held": _scan(tools, dataset, _held(tools, dataset, new))}
    found = tools.engine.query(total, scans, 1)
    return int(found.rows[0][0])


def _records(graph: DatasetGraph, run_id: str, found: Adoptable) -> Iterable[ProvenanceRecord]:
    dataset, heads = found.dataset, found.observed.heads.get(found.dataset.name, {})
    digests = {key: str(digest) for key, digest in found.digests.items()}
    projected = {
        (dataset.name, columns): {k: str(d) for k, d in by_key.items()} for columns, by_key in found.projections.items()
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
            files=found.files[key],
            table_version=found.version,
            published=head is None or head.is_missing or head.digest != digests[key],
        )


def _projections(found: Adoptable) -> Iterable[Projection]:
    for columns, by_key in found.projections.items():
        for key, digest in by_key.items():
            content = str(found.digests[key])
            yield Projection(dataset=found.dataset.name, content=content, columns=columns, digest=str(digest))
