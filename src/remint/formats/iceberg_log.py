"""Read the snapshots of an Iceberg table and say what of them cannot be read."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Any

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from remint.errors import CatalogRefused, CatalogUnavailable
from remint.failures import machine_failure
from remint.formats.base import Commit, LogFault, LogFlaw, LoggedFile, LogReading, Table
from remint.formats.iceberg_avro import CheckedIO
from remint.formats.iceberg_catalog import IcebergCatalog, Identifier
from remint.formats.iceberg_files import LiveFile, Manifests, relative
from remint.formats.iceberg_repair import previous_state, version_of


def read_log(catalog: IcebergCatalog[Any], identifier: Identifier, table: Table, manifests: Manifests) -> LogReading:
    """Return what the snapshots of a table say and what is wrong with them; never raises for one that is damaged."""
    try:
        loaded = catalog.load(identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        return _reading(-1, live={})
    except (CatalogUnavailable, CatalogRefused):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of damaged bytes
        return _of_what_is_left(catalog, identifier, table, manifests, _said(error))
    return _of_state(table, loaded.metadata, CheckedIO(loaded.io, deep=True), manifests)


def _of_what_is_left(
    catalog: IcebergCatalog[Any], identifier: Identifier, table: Table, manifests: Manifests, said: str
) -> LogReading:
    """Return what the state before the one that cannot be read says; that one stands for the commit after it."""
    before = previous_state(catalog, identifier)
    reading = (
        _reading(-1, live=None)
        if before is None
        else _of_state(table, before[0], CheckedIO(before[1], deep=True), manifests)
    )
    file = posixpath.basename(catalog.places(identifier)[0])
    fault = LogFault(flaw=LogFlaw.TORN, file=file, version=reading.newest + 1, detail=said, is_newest=True)
    faults = (*reading.faults, fault)
    return replace(reading, newest=reading.newest + 1, faults=faults, live=None, is_lost=before is None)


def _of_state(table: Table, metadata: TableMetadata, io: FileIO, manifests: Manifests) -> LogReading:
    version, table_id, commits, faults, named = version_of(metadata), str(metadata.table_uuid), [], [], set()
    for snapshot in sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0):
        try:
            named |= {f.path for f in manifests.live(table, metadata, io, snapshot.snapshot_id)}
            commits.append(_commit(table, metadata, io, snapshot, manifests))
        except Exception as error:  # noqa: BLE001
            faults.append(_fault(snapshot, version, _said(error)))
    try:
        live = {f.path: _logged(f) for f in manifests.live(table, metadata, io)}
    except Exception:  # noqa: BLE001 - its fault is among the others
        return _reading(version, tuple(commits), tuple(faults), None, frozenset(named), table_id)
    return _reading(version, tuple(commits), tuple(faults), live, frozenset(named), table_id)


def newest_stranger(metadata: TableMetadata) -> str:
    """Return in words who made the newest change of a table that is not remint's, as its snapshots say."""
    version = version_of(metadata)
    if version < getattr(metadata, "last_sequence_number", 0):
        return f"somebody who set the table back to version {version}"
    for snapshot in sorted(metadata.snapshots, key=lambda s: -(s.sequence_number or 0)):
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        if "remint.run" not in said:
            who = said.get("engine-name") or said.get("spark.app.id") or "unknown writer"
            operation = snapshot.summary.operation.value if snapshot.summary else "commit"
            return f"version {snapshot.sequence_number}, {operation} by {who}"
    return "no snapshot that is left"


def _reading(
    newest: int,
    commits: tuple[Commit, ...] = (),
    faults: tuple[LogFault, ...] = (),
    live: dict[str, LoggedFile] | None = None,
    named: frozenset[str] = frozenset(),
    table_id: str = "",
) -> LogReading:
    return LogReading(newest=newest, commits=commits, faults=faults, live=live, named=named, table_id=table_id)


def _commit(table: Table, metadata: TableMetadata, io: FileIO, snapshot: Snapshot, manifests: Manifests) -> Commit:
    """Return what one snapshot changed."""
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    after = manifests.live(table, metadata, io, snapshot.snapshot_id)
    adds: list[LoggedFile] = []
    removes: list[str] = []
    for manifest in snapshot.manifests(io):
        if manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        mine = manifests.of(table, metadata, io, manifest)
        adds += [_logged(file) for file in mine if file.added_in == snapshot.snapshot_id]
        if manifest.deleted_files_count:
            gone = manifest.fetch_manifest_entry(io, discard_deleted=False)
            removes += [
                relative(metadata, e.data_file.file_path) for e in gone if e.status is ManifestEntryStatus.DELETED
            ]
    removes += sorted(_deletes(table, metadata, io, snapshot.parent_snapshot_id, manifests) - {f.path for f in after})
    return Commit(
        version=snapshot.sequence_number or 0,
        file=_name(snapshot),
        run_id=said.get("remint.run", ""),
        attempt=int(said.get("remint.attempt", "0")),
        adds=tuple(adds),
        removes=tuple(removes),
    )


def _deletes(table: Table, metadata: TableMetadata, io: FileIO, number: int | None, manifests: Manifests) -> set[str]:
    """Return the files that delete rows of others in a snapshot; they are out once nothing is left to delete."""
    if number is None or metadata.snapshot_by_id(number) is None:
        return set()
    return {f.path for f in manifests.live(table, metadata, io, number) if f.deletes}


def _logged(file: LiveFile) -> LoggedFile:
    return LoggedFile(path=file.path, key=file.key, size_bytes=file.entry.file_size_in_bytes, stats=None)


def _fault(snapshot: Snapshot, newest: int, said: str) -> LogFault:
    version = snapshot.sequence_number or 0
    return LogFault(flaw=LogFlaw.TORN, file=_name(snapshot), version=version, detail=said, is_newest=version == newest)


def _name(snapshot: Snapshot) -> str:
    return snapshot.manifest_list.rsplit("/", 1)[-1]


def _said(error: Exception) -> str:
    """Return in words what is wrong with a file.

    Raises:
        RemintError: nothing is: the machine refused to read it.
    """
    if refused := machine_failure(error):
        raise refused from error
    return f"cannot be read: {' '.join(str(error).split())}"
