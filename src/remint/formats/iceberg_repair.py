"""Take an Iceberg table back to the state before a commit, so that what comes after it can be committed anew.

One of which no state is left is not there any more, so that a run makes it anew: the catalog forgets its name.

Rules: a state is taken only if it can be read down to its manifests; nothing is written but the catalog's row, under a
comparison with what it named.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from remint.errors import RepairRefused
from remint.formats.base import Table
from remint.formats.iceberg_avro import CheckedIO
from remint.formats.iceberg_catalog import IcebergCatalog, Identifier
from remint.formats.iceberg_files import Manifests
from remint.model.provenance import TableState


def version_of(metadata: TableMetadata) -> int:
    """Return the version that a state has: the sequence number of its newest snapshot, 0 before the first."""
    snapshot = metadata.current_snapshot()
    return int(snapshot.sequence_number or 0) if snapshot else 0


def state_of(metadata: TableMetadata, version: int | None) -> TableState | None:
    """Return a version, or the newest, with what no other has, nor another table; None where its snapshot is gone."""
    of = version_of(metadata) if version is None else version
    ids = [s.snapshot_id for s in metadata.snapshots if s.sequence_number == of] if of else ["empty"]
    return TableState(version=of, table_id=str(metadata.table_uuid), mark=str(ids[0])) if len(ids) == 1 else None


def previous_state(catalog: IcebergCatalog[Any], identifier: Identifier) -> tuple[TableMetadata, FileIO] | None:
    """Return the state before the one that the catalog names; None where it names none, or that cannot be read."""
    place = catalog.places(identifier)[1]
    found = _state(catalog, place) if place else None
    return None if found is None else (found, load_file_io(catalog.library.properties, place))


def go_back(catalog: IcebergCatalog[Any], identifier: Identifier, table: Table, version: int, unlike: str) -> None:
    """Make the catalog name the newest state that has a version, can be read, and has no property ``unlike``.

    Raises:
        RepairRefused: there is none, or somebody committed meanwhile; nothing changed.
    """
    named = catalog.places(identifier)[0]
    newest = _state(catalog, named)
    for place in _earlier(catalog, identifier):
        state = _state(catalog, place)
        if state is None or version_of(state) != version or unlike in state.properties:
            continue
        if not _is_whole(catalog, table, state, place):
            continue
        if newest is not None and newest.schema() != state.schema():
            raise RepairRefused(
                f"{table.name}: somebody changed its columns after version {version}, which would be undone",
                hint=f"restore {table.location}/metadata from a backup, then: remint doctor {table.name}",
            )
        if place != named:
            with _unless_changed(table):
                catalog.point_to(identifier, named, place)
        return
    raise RepairRefused(
        f"{table.name}: no state of version {version} that can be read is left to make again what is lost on it",
        hint=f"restore {table.location}/metadata from a backup, then: remint doctor {table.name}",
    )


def forget(catalog: IcebergCatalog[Any], identifier: Identifier, table: Table, file: str) -> None:
    """Make the catalog name a table no more, of which it names ``file`` as the state.

    Raises:
        RepairRefused: it names another one by now; nothing changed.
    """
    named = catalog.places(identifier)[0]
    with _unless_changed(table):
        if posixpath.basename(named) != file:
            raise CommitFailedException(f"{identifier[-1]} was changed meanwhile")
        catalog.forget(identifier, named)


@contextmanager
def _unless_changed(table: Table) -> Iterator[None]:
    try:
        yield
    except CommitFailedException as error:
        raise RepairRefused(f"{table.name}: {error}", hint="remint repair    # looks again") from None


def _earlier(catalog: IcebergCatalog[Any], identifier: Identifier) -> Iterator[str]:
    """Yield the state that the catalog names and those before it, newest first, as far as each names the one before."""
    seen: set[str] = set()
    for named in catalog.places(identifier):
        state = _state(catalog, named) if named else None
        log = [entry.metadata_file for entry in state.metadata_log] if state else []
        for place in [named, *reversed(log)]:
            if place and place not in seen:
                seen.add(place)
                yield place


def _state(catalog: IcebergCatalog[Any], place: str) -> TableMetadata | None:
    try:
        return FromInputFile.table_metadata(load_file_io(catalog.library.properties, place).new_input(place))
    except Exception:  # noqa: BLE001 - whatever a library makes of damaged bytes
        return None


def _is_whole(catalog: IcebergCatalog[Any], table: Table, state: TableMetadata, place: str) -> bool:
    try:
        Manifests().live(table, state, CheckedIO(load_file_io(catalog.library.properties, place), deep=True))
    except Exception:  # noqa: BLE001
        return False
    return True
