"""Read the snapshots of an Iceberg table and say what of them cannot be read."""

from __future__ import annotations

from typing import Any

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from remint.errors import CatalogRefused, CatalogUnavailable
from remint.formats.base import Commit, LogFault, LogFlaw, LoggedFile, LogReading, Table
from remint.formats.iceberg_catalog import IcebergCatalog
from remint.formats.iceberg_files import LiveFile, Manifests, relative


def read_log(
    catalog: IcebergCatalog[Any], identifier: tuple[str, ...], table: Table, manifests: Manifests
) -> LogReading:
    """Return what the snapshots of a table say and what is wrong with them; never raises for one that is damaged."""
    try:
        loaded = catalog.load(identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        return _reading(-1, live={})
    except (CatalogUnavailable, CatalogRefused):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of damaged bytes
        fault = LogFault(flaw=LogFlaw.TORN, file="metadata", version=0, detail=f"cannot be read: {_line(error)}")
        return _reading(0, faults=(fault,))
    snapshots = sorted(loaded.metadata.snapshots, key=lambda s: s.sequence_number or 0)
    commits, faults, named = [], [], set()
    for snapshot in snapshots:
        try:
            commits.append(_commit(table, loaded, snapshot, manifests))
            named |= {f.path for f in manifests.live(table, loaded.metadata, loaded.io, snapshot.snapshot_id)}
        except Exception as error:  # noqa: BLE001
            faults.append(_fault(snapshot, error))
    current = loaded.metadata.current_snapshot()
    version = current.sequence_number or 0 if current else 0
    try:
        live = {f.path: _logged(f) for f in manifests.live(table, loaded.metadata, loaded.io)}
    except Exception:  # noqa: BLE001 - its fault is among the others
        return _reading(version, tuple(commits), tuple(faults), None, frozenset(named))
    return _reading(version, tuple(commits), tuple(faults), live, frozenset(named))


def _reading(
    newest: int,
    commits: tuple[Commit, ...] = (),
    faults: tuple[LogFault, ...] = (),
    live: dict[str, LoggedFile] | None = None,
    named: frozenset[str] = frozenset(),
) -> LogReading:
    return LogReading(newest=newest, commits=commits, faults=faults, live=live, named=named)


def _commit(table: Table, loaded: IcebergTable, snapshot: Snapshot, manifests: Manifests) -> Commit:
    """Return what one snapshot changed."""
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    adds: list[LoggedFile] = []
    removes: list[str] = []
    for manifest in snapshot.manifests(loaded.io):
        if manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        mine = manifests.of(table, loaded.metadata, loaded.io, manifest)
        adds += [_logged(file) for file in mine if file.added_in == snapshot.snapshot_id]
        if manifest.deleted_files_count:
            gone = manifest.fetch_manifest_entry(loaded.io, discard_deleted=False)
            removes += [
                relative(loaded.metadata, e.data_file.file_path)
                for e in gone
                if e.status is ManifestEntryStatus.DELETED
            ]
    return Commit(
        version=snapshot.sequence_number or 0,
        file=_name(snapshot),
        run_id=said.get("remint.run", ""),
        attempt=int(said.get("remint.attempt", "0")),
        adds=tuple(adds),
        removes=tuple(removes),
    )


def _logged(file: LiveFile) -> LoggedFile:
    return LoggedFile(path=file.path, key=file.key, size_bytes=file.entry.file_size_in_bytes, stats=None)


def _fault(snapshot: Snapshot, error: Exception) -> LogFault:
    detail = f"cannot be read: {_line(error)}"
    return LogFault(flaw=LogFlaw.TORN, file=_name(snapshot), version=snapshot.sequence_number or 0, detail=detail)


def _name(snapshot: Snapshot) -> str:
    return snapshot.manifest_list.rsplit("/", 1)[-1]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
