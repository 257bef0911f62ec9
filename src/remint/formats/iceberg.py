"""Apache Iceberg: metadata-only commits through pyiceberg, behind the same guard as every format.

Rules:
- a version is the sequence number of the newest snapshot: every commit of files has the next one;
- files are taken out and put in by their exact names in one snapshot, bound to the state that was compared;
- who committed is a property of the table, which outlives its snapshots, and is said in the snapshot as well;
- files that say which rows of others are gone are honoured by readers and never written; put back beside them, an
  older file would give back rows that were deleted, so such a partition is not put back.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import ManageSnapshots

from remint.errors import (
    CatalogRefused,
    CatalogUnavailable,
    LogDamaged,
    PublishUnverified,
    RepairRefused,
    RunError,
)
from remint.failures import machine_failure
from remint.formats.base import Landed, LogReading, Replacement, Table, require_usable
from remint.formats.guard import busy, column_differences, require_base, tries
from remint.formats.iceberg_avro import CheckedIO
from remint.formats.iceberg_catalog import IcebergCatalog, Pending
from remint.formats.iceberg_files import (
    LiveFile,
    Manifests,
    cut_differences,
    entry_differences,
    iceberg_file,
    iceberg_type,
    schema_of,
    spec_of,
)
from remint.formats.iceberg_log import newest_stranger, read_log
from remint.formats.iceberg_named import is_metadata, named_by
from remint.formats.iceberg_names import FileNames, are_named
from remint.formats.iceberg_repair import forget, go_back, state_of, version_of
from remint.formats.iceberg_swap import FileSwap
from remint.formats.iceberg_usable import lost_columns, refuse_deletes, unsupported
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile, Layout, TableState
from remint.storage.base import Storage, Stored, below
from remint.storage.local import LOCAL

_DATA = "data"
"""Where Iceberg keeps data files unless a table says otherwise; some catalogs accept no other place."""
_RUN, _ATTEMPT = "remint.run", "remint.attempt"
_ROWS = "remint.formats.iceberg_rows"
"""Needs Arrow's data sets, whose import takes seconds."""
_TAG = "remint-"
"""Before the run's id: its state can be asked for by name, and nobody else's clean-up takes its files."""


class IcebergFormat:
    """Tables of one Iceberg catalog."""

    name = "iceberg"
    log_folder = "metadata"
    entries_build_up = True
    files_are_whole = True

    def __init__(self, catalog: IcebergCatalog[Any], storage: Storage = LOCAL) -> None:
        """Bind a catalog; it is opened when a table is first asked for."""
        self._catalog, self._storage = catalog, storage
        catalog.storage = storage
        self._manifests = Manifests()
        self._prepared: set[tuple[str, ...]] = set()
        self._names = FileNames()

    @property
    def absent(self) -> str:
        """In words what shows that a table is not there."""
        return self._catalog.absent

    def commits_together(self, tables: Sequence[Table]) -> bool:
        """Return whether the catalog commits several tables as one."""
        return len(tables) <= 1 or self._catalog.commits_together

    def version(self, table: Table) -> int | None:
        """Return the sequence number of the newest snapshot, 0 before the first one; None when there is no table."""
        loaded = self._loaded(table)
        return None if loaded is None else _version(loaded)

    def state(self, table: Table, version: int | None = None) -> TableState | None:
        """Return a version with the ids of table and snapshot."""
        loaded = self._loaded(table)
        return None if loaded is None else state_of(loaded.metadata, version)

    def create(self, table: Table) -> int:
        """Create the table, empty and durable, or add the columns that it lacks; return its version."""
        loaded = self._loaded(table)
        if loaded is None:
            schema = schema_of(table.columns)
            place, spec = _location(table), spec_of(table, schema)
            with suppress(TableAlreadyExistsError):
                self._catalog.create(_identifier(table), schema, spec, place)
            loaded = self._there(table)
        for _ in tries():
            wanted = [c for c in table.columns if c.name not in loaded.schema().column_names]
            if not wanted:
                return _version(loaded)
            require_usable(table, lost_columns(loaded, table))
            transaction = Transaction(loaded)
            with transaction.update_schema() as update:
                for column in wanted:
                    update.add_column(column.name, iceberg_type(column))
            self._catalog.commit([Pending(transaction, ())])
            loaded = self._there(table)
        raise busy(table)

    def prepare(self, table: Table) -> None:
        """Make the namespace: where a catalog keeps the tables itself, files of none that it knows are in its way.

        Refuse a table that has what remint does not keep, or has lost a column.
        """
        require_usable(table, self.unusable(table))
        namespace = _identifier(table)[:-1]
        if namespace not in self._prepared:
            self._catalog.make_namespace(namespace)
            self._prepared.add(namespace)

    def unusable(self, table: Table) -> list[str]:
        """Return which features, columns that somebody dropped or renamed, or another cut keep runs from writing."""
        loaded = self._loaded(table)
        if loaded is None:
            return []
        found = [*_unsupported(loaded, table), *lost_columns(loaded, table)]
        return found or cut_differences(table, loaded.metadata)

    def renamed(self, table: Table, files: Iterable[DataFile]) -> Mapping[str, Mapping[str, str]]:
        """Return the columns that files hold under other names, by the ids in which those are told.

        Where the table cannot be asked, files of which remint recorded that they have every column by name go by that.
        """
        known = list(files)
        try:
            loaded = self._loaded(table)
        except RunError:
            if all(are_named(table, file) for file in known):
                return {}
            raise
        if loaded is None:
            return {}
        return {path: names for path, names in self._names.of(loaded, table, known).items() if names}

    def layout(self, table: Table) -> Layout:
        """Return that files lie in ``data``, with the id of every column, also of those that ``create`` would add."""
        loaded = self._loaded(table)
        if loaded is None:
            return Layout(folder=_DATA, field_ids={f.name: f.field_id for f in schema_of(table.columns).fields})
        found = {f.name: f.field_id for f in loaded.schema().fields}
        last = loaded.metadata.last_column_id
        added = [c.name for c in table.columns if c.name not in found]
        added_ids = {name: last + n for n, name in enumerate(added, start=1)}
        return Layout(folder=_DATA, field_ids={**found, **added_ids})

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        """Return the paths of the live files by partition; none where there is no table."""
        loaded = self._loaded(table)
        return {} if loaded is None else _by_key(self._live(table, loaded))

    def not_plain(self, table: Table, keys: Collection[PartitionKey]) -> Mapping[PartitionKey, str]:
        """Return the partitions with position deletes in force, and those whose files tell columns by ids alone."""
        loaded, found = self._there(table), {}
        column_flaw = importlib.import_module(_ROWS).column_flaw
        for file in self._live(table, loaded):
            if file.key not in keys or file.key in found:
                continue
            flaw = "rows of its files are deleted by position" if file.deletes else None
            flaw = flaw or column_flaw(loaded, file.entry.file_path)
            if flaw:
                found[file.key] = flaw
        return found

    def rows(self, table: Table, key: PartitionKey) -> Any:
        """Return the rows of a partition, as pyiceberg reads them."""
        loaded = self._there(table)
        paths = {f.path for f in self._live(table, loaded) if f.key == key and not f.deletes}
        return importlib.import_module(_ROWS).rows_of(loaded, paths)

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        """Return the version that holds the commit of (run, attempt)."""
        loaded = self._loaded(table)
        if loaded is None or _reached(loaded, run_id) < attempt:
            return None
        return _version_of(loaded, run_id, attempt)

    def check(self, table: Table, replacement: Replacement) -> None:
        """Refuse a replacement whose base is not what is live."""
        loaded = self._there(table)
        require_usable(table, _in_the_way(loaded, table, replacement))
        for added in replacement.adds:
            iceberg_file(table, loaded.metadata, added)  # refuses what the commit could not name
        require_base(table, _by_key(self._live(table, loaded)), replacement)

    def mend(self, table: Table, expected: Sequence[Replacement], aside: Path) -> list[str]:
        """Return nothing: what a catalog names was synced before."""
        del table, expected, aside
        return []

    def publish(self, changes: Sequence[tuple[Table, Replacement]]) -> list[Landed]:
        """Commit the replacements, once, under an exact comparison with what was loaded; read them back."""
        for _ in tries():
            loaded = [self._there(table) for table, _ in changes]
            landed = [_landed(state, replacement) for state, (_, replacement) in zip(loaded, changes, strict=True)]
            open_ = [(s, t, r) for s, (t, r), done in zip(loaded, changes, landed, strict=True) if done is None]
            pending = [self._pending(state, table, replacement) for state, table, replacement in open_]
            if not self._catalog.commit(pending):
                continue
            done = iter([self._read_back(state, table, replacement) for state, table, replacement in open_])
            return [found or next(done) for found in landed]
        raise busy(changes[0][0])

    def bar(self, table: Table, run_id: str, attempt: int) -> bool:
        """Take the place after (run, attempt) where that did not commit."""
        self.create(table)
        for _ in tries():
            loaded = self._there(table)
            reached = _reached(loaded, run_id)
            if reached >= attempt:
                return reached == attempt
            taken = Replacement(run_id=run_id, attempt=attempt + 1, adds=(), removes=())
            if self._catalog.commit([self._pending(loaded, table, taken)]):
                return False
        raise busy(table)

    def runs_after(self, table: Table, version: int | None) -> list[str]:
        """Return the runs that committed after a version, as the snapshots that are left say."""
        loaded = self._there(table)
        later = sorted(
            (s for s in loaded.metadata.snapshots if (s.sequence_number or 0) > (version or 0)),
            key=lambda s: s.sequence_number or 0,
        )
        runs = [s.summary.additional_properties.get(_RUN) for s in later if s.summary]
        return list(dict.fromkeys(run for run in runs if run))

    def remove(self, table: Table, paths: Collection[str]) -> list[str]:
        """Delete files that the newest version does not name; a file that is gone already counts as deleted."""
        live = set().union(*self.live_files(table).values())
        going = set(paths) - live
        self._untag(table, going)
        self._storage.delete([below(table.location, path) for path in sorted(going)], durably=True)
        return sorted(live & set(paths))

    def unnamed(self, table: Table) -> list[Stored]:
        """Return the manifests and metadata files that neither the table nor one of its earlier states names."""
        folder = below(_location(table), self.log_folder)
        there = list(self._storage.files(folder))
        loaded = self._loaded(table)
        if loaded is None:
            return []
        try:
            named = named_by(loaded, [file.path for file in there])
        except Exception as error:
            raise _damaged(table, error) from error
        return [replace(f, path=below(folder, f.path)) for f in there if is_metadata(f.path) and f.path not in named]

    def _untag(self, table: Table, going: Set[str]) -> None:
        """Drop the tags of runs whose state names a file that goes: what they named could not be read any more."""
        for _ in tries():
            loaded = self._loaded(table)
            if loaded is None:
                return
            transaction = Transaction(loaded)
            with ManageSnapshots(transaction) as tags:
                for name, ref in loaded.metadata.refs.items():
                    if not name.startswith(_TAG):
                        continue
                    held = self._manifests.live(table, loaded.metadata, loaded.io, ref.snapshot_id)
                    if any(file.path in going for file in held):
                        tags.remove_tag(name)
            if not transaction._updates or self._catalog.commit([Pending(transaction, ())]):
                return
        raise busy(table)

    def damaged_commits(self, table: Table) -> list[str]:
        """Return what of the table's metadata cannot be read."""
        return [f"{f.file} {f.detail}" for f in self.read_log(table).faults]

    def read_log(self, table: Table) -> LogReading:
        """Return what the snapshots say and what is wrong with them."""
        return read_log(self._catalog, _identifier(table), table, self._manifests)

    def said_otherwise(self, table: Table, files: Sequence[DataFile]) -> Mapping[str, str]:
        """Return where manifests say other counts or bounds than were measured; readers skip files by them."""
        loaded = self._there(table)
        return entry_differences(table, loaded.metadata, self._live(table, loaded), files)

    def take_out_entry(self, table: Table, file: str) -> None:
        """Make the catalog name the state before the one that cannot be read, or none where none can be read.

        Raises:
            RepairRefused: it can be read by now.
        """
        reading = self.read_log(table)
        versions = [fault.version for fault in reading.faults if fault.file == file]
        if not versions:
            raise RepairRefused(f"{table.name}: nothing is wrong with {file} any more", hint="remint repair")
        if reading.is_lost:
            forget(self._catalog, _identifier(table), table, file)
        else:
            go_back(self._catalog, _identifier(table), table, versions[0] - 1, unlike="")

    def put_back_commit(self, table: Table, version: int, replacement: Replacement) -> None:
        """Make the catalog name the state before that version, and commit anew; what came after it is to follow."""
        unlike = f"{_RUN}.{replacement.run_id}" if replacement.attempt == 1 else ""
        go_back(self._catalog, _identifier(table), table, version - 1, unlike)
        (landed,) = self.publish([(table, replacement)])
        if landed.version != version:
            raise RepairRefused(f"{table.name}: the commit of version {version} was made as {landed.version}")

    def differences(self, table: Table) -> list[str]:
        """Return where schema, cut or features are not those that remint can keep."""
        loaded = self._there(table)
        found = [*_unsupported(loaded, table), *cut_differences(table, loaded.metadata)]
        there = {field.name: str(field.field_type) for field in loaded.schema().fields}
        return found + column_differences(there, {c.name: str(iceberg_type(c)) for c in table.columns})

    def foreign_writer(self, table: Table) -> str:
        """Return who made the newest snapshot that is not remint's, as it says."""
        loaded = self._loaded(table)
        return "somebody who removed the table" if loaded is None else newest_stranger(loaded.metadata)

    # -- one table -----------------------------------------------------------------------------------------------------

    def _loaded(self, table: Table) -> IcebergTable | None:
        """Return the table as the catalog names it now, None where it names none.

        Raises:
            CatalogUnavailable, CatalogRefused: the catalog does not say, or keeps it elsewhere.
            DiskFailed: the machine refused to read it.
            LogDamaged: its metadata cannot be read.
        """
        try:
            loaded = self._catalog.load(_identifier(table))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except (CatalogUnavailable, CatalogRefused):
            raise
        except Exception as error:
            raise _damaged(table, error) from error
        if _plain(loaded.location()) != _plain(table.location):
            raise CatalogRefused(
                f"{table.name}: the catalog keeps it in {loaded.location()}, declared is {table.location}",
                hint="remint.toml, [paths] lake: the place under which the catalog keeps its tables",
            )
        loaded.io = CheckedIO(loaded.io)
        return loaded

    def _there(self, table: Table) -> IcebergTable:
        loaded = self._loaded(table)
        if loaded is None:
            raise RunError(f"{table.name}: the catalog names no such table", hint="remint plan    # makes it anew")
        return loaded

    def _live(self, table: Table, loaded: IcebergTable) -> list[LiveFile]:
        try:
            return self._manifests.live(table, loaded.metadata, loaded.io)
        except RunError:
            raise
        except Exception as error:
            raise _damaged(table, error) from error

    def _pending(self, loaded: IcebergTable, table: Table, replacement: Replacement) -> Pending:
        """Write the manifests of a replacement that nobody names yet.

        Raises:
            PublishConflict: its base is not what is live.
        """
        require_usable(table, _in_the_way(loaded, table, replacement))
        live = self._live(table, loaded)
        require_base(table, _by_key(live), replacement)
        refuse_deletes(table, loaded, replacement)
        transaction = Transaction(loaded)
        said = {_RUN: replacement.run_id, _ATTEMPT: str(replacement.attempt)}
        producer = FileSwap(Operation.OVERWRITE, transaction, loaded.io, snapshot_properties=said)
        gone = {f.path for f in replacement.removes}
        for file in live:
            if file.path in gone:
                producer.delete_data_file(file.entry)
        for added in replacement.adds:
            producer.append_data_file(iceberg_file(table, loaded.metadata, added))
        producer.commit()
        if replacement.keys:
            with ManageSnapshots(transaction) as tags:
                tags.create_tag(producer.snapshot_id, f"{_TAG}{replacement.run_id}")
        transaction.set_properties({f"{_RUN}.{replacement.run_id}": str(replacement.attempt)})
        return Pending(transaction, (*producer._written_manifests, *producer._written_manifest_lists))

    def _read_back(self, before: IcebergTable, table: Table, replacement: Replacement) -> Landed:
        """Return the commit that was made on ``before``.

        Raises:
            PublishUnverified: the table does not show it.
        """
        after = self._there(table)
        snapshot = _snapshot_of(after, replacement.run_id, replacement.attempt)
        paths = {f.path for f in self._live(table, before)}
        expected = paths - {f.path for f in replacement.removes} | {f.path for f in replacement.adds}
        number = None if snapshot is None else snapshot.snapshot_id
        found = {f.path for f in self._manifests.live(table, after.metadata, after.io, number)}
        if snapshot is None or found != expected:
            raise PublishUnverified(
                f"{table.name}: the commit of run {replacement.run_id} should list {len(expected)} files and lists "
                f"{len(found)} ({len(expected - found)} absent, {len(found - expected)} unexpected)",
                hint="remint doctor    # compares ledger, log and disk",
            )
        version, table_id = int(snapshot.sequence_number or 0), str(after.metadata.table_uuid)
        return Landed(version=version, after=_version(before), table_id=table_id)


def _identifier(table: Table) -> tuple[str, ...]:
    return tuple(table.name.split("."))


def _location(table: Table) -> str:
    return table.location.rstrip("/")


def _plain(place: str) -> str:
    """Return a place in the one spelling of those that name it."""
    local = place.removeprefix("file:") if place.startswith("file:") else place
    path = f"/{local.lstrip('/')}" if local.startswith("//") else local
    return path.replace("s3a://", "s3://", 1).replace("s3n://", "s3://", 1).rstrip("/")


def _version(loaded: IcebergTable) -> int:
    return version_of(loaded.metadata)


def _reached(loaded: IcebergTable, run_id: str) -> int:
    """Return the last attempt of a run that the table took; 0 when it took none."""
    return int(loaded.metadata.properties.get(f"{_RUN}.{run_id}", "0"))


def _snapshot_of(loaded: IcebergTable, run_id: str, attempt: int) -> Any:
    said = {_RUN: run_id, _ATTEMPT: str(attempt)}
    for snapshot in loaded.metadata.snapshots:
        if snapshot.summary and said.items() <= snapshot.summary.additional_properties.items():
            return snapshot
    return None


def _version_of(loaded: IcebergTable, run_id: str, attempt: int) -> int:
    """Return the version that holds the commit of (run, attempt); the newest where its snapshot is gone."""
    snapshot = _snapshot_of(loaded, run_id, attempt)
    return _version(loaded) if snapshot is None else int(snapshot.sequence_number or 0)


def _landed(loaded: IcebergTable, replacement: Replacement) -> Landed | None:
    """Return an earlier commit of the replacement, or of what came after it, None where there is none."""
    if _reached(loaded, replacement.run_id) < replacement.attempt:
        return None
    version = _version_of(loaded, replacement.run_id, replacement.attempt)
    return Landed(version=version, after=None, table_id=str(loaded.metadata.table_uuid))


def _by_key(live: Sequence[LiveFile]) -> dict[PartitionKey, frozenset[str]]:
    groups: dict[PartitionKey, set[str]] = {}
    for file in live:
        groups.setdefault(file.key, set()).add(file.path)
    return {key: frozenset(paths) for key, paths in groups.items()}


def _unsupported(loaded: IcebergTable, table: Table) -> list[str]:
    try:
        return unsupported(loaded)
    except Exception as error:
        raise _damaged(table, error) from error


def _in_the_way(loaded: IcebergTable, table: Table, replacement: Replacement) -> list[str]:
    """Return in words what keeps a commit from being made; files that go out need no cut."""
    return _unsupported(loaded, table) or (cut_differences(table, loaded.metadata) if replacement.adds else [])


def _damaged(table: Table, error: Exception) -> Exception:
    refused = machine_failure(error)
    if refused is not None:
        return refused
    return LogDamaged(
        f"{table.name}: the metadata of the table cannot be read: {' '.join(str(error).split())}",
        hint=f"remint doctor {table.name}",
    )
