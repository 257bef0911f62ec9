"""Delta Lake: metadata-only commits through delta-rs, behind our own guard.

Rules (each from a measured loss of data by the defaults of the library):
- never let delta-rs retry a commit: its retry accepts a stale replacement over a compaction and doubles the rows;
- add and remove files by explicit, decoded paths: a wrong path is removed silently, not refused;
- a file with a deletion vector, or whose path others spelled in their way, is taken out by a log entry of our own: the
  library leaves it live, without a word;
- after a commit, read the file set back; after an unknown outcome, look the run up by its transaction id;
- a commit counts once it is synced; delta-rs deletes no log entry, so that a torn checkpoint loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import PrimitiveType

from remint.errors import InvalidKey, LogDamaged, PublishUnverified, RunError
from remint.failures import broke_off, machine_failure
from remint.formats.base import Landed, LogReading, Replacement, Table, require_usable
from remint.formats.delta_disk import actions_of, entry_path, is_whole, move_torn_aside, sync_version
from remint.formats.delta_entries import commit
from remint.formats.delta_log import (
    app_id,
    is_logged,
    masked_file,
    partition_values,
    put_back_commit,
    read_log,
    take_out_entry,
)
from remint.formats.guard import Unanswered, busy, column_differences, other_cut, require_base, tries
from remint.model.dataset import Column
from remint.model.partition import PartitionKey
from remint.model.provenance import PLAIN, DataFile, Layout, TableState
from remint.storage.base import Storage, Stored, below
from remint.storage.local import LOCAL

_TYPES = {
    "BOOLEAN": "boolean",
    "INTEGER": "integer",
    "BIGINT": "long",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
}
_UNWRITTEN = frozenset({"columnMapping", "rowTracking", "domainMetadata", "identityColumns"}) | {
    "clustering",
    "inCommitTimestamp",
    "typeWidening",
}
"""Features of a table that explicit file replacement would break silently, or that delta-rs does not write."""
_MAPPING = "delta.columnMapping.mode"
_MASKS = "deletionVectors"
_RECENT = 200
"""Commits that are looked through for the one that somebody else made."""


class DeltaFormat:
    """Tables in the Delta Lake format."""

    name = "delta"
    log_folder = "_delta_log"
    entries_build_up = False
    files_are_whole = False
    absent = "there is no log in its folder"

    def __init__(self, storage: Storage = LOCAL) -> None:
        """Bind the format to where its tables lie."""
        self._storage = storage

    def version(self, table: Table) -> int | None:
        """Return the newest version, None when there is no table."""
        try:
            return int(_opened(self._storage, table).version())
        except TableNotFoundError:
            return None

    def state(self, table: Table, version: int | None = None) -> TableState | None:
        """Return a version with the digest of its log entry, which names files by ids of their own."""
        with suppress(TableNotFoundError, FileNotFoundError):
            opened = _opened(self._storage, table)
            of = int(opened.version()) if version is None else version
            mark = self._storage.sha256(entry_path(table, of))
            return TableState(version=of, table_id=str(opened.metadata().id), mark=mark)
        return None

    def create(self, table: Table) -> int:
        """Create the table, empty and durable, or add the columns that it lacks; return its version."""
        found = self.version(table)
        if found is not None:
            if not found:  # whoever created it may have died before it was durable
                sync_version(self._storage, table, found)
            return self._widened(table)
        with suppress(CommitFailedError):  # somebody else created it meanwhile; a retry would create it twice
            DeltaTable.create(
                table.location,
                schema=Schema([_field(c) for c in table.columns]),
                partition_by=list(table.partition.columns),
                name=table.name,
                configuration={"delta.appendOnly": "true"} if table.append_only else {},
                mode="ignore",
                commit_properties=CommitProperties(max_commit_retries=0),
                storage_options=dict(self._storage.options) or None,
            )
        version = int(_opened(self._storage, table).version())
        sync_version(self._storage, table, 0)
        return version

    def _widened(self, table: Table) -> int:
        """Add the columns that the table lacks; return its version."""
        for _ in tries():
            opened = _opened(self._storage, table)
            there = {field.name for field in opened.schema().fields}
            lacking = [_field(c) for c in table.columns if c.name not in there]
            if not lacking:
                return int(opened.version())
            with suppress(CommitFailedError):
                opened.alter.add_columns(
                    lacking,
                    commit_properties=CommitProperties(max_commit_retries=0),
                    post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
                )
                sync_version(self._storage, table, int(_opened(self._storage, table).version()))
        raise busy(table)

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        """Return the decoded paths of the live files by partition; none where there is no table."""
        try:
            opened = _opened(self._storage, table)
        except TableNotFoundError:
            return {}
        return {key: frozenset(paths) for key, paths in _live(self._storage, opened, table).items()}

    def not_plain(self, table: Table, keys: Collection[PartitionKey]) -> Mapping[PartitionKey, str]:
        """Return the partitions of which rows of files are masked."""
        live = self.live_files(table)
        masked = {key: sum(masked_file(path) is not None for path in live.get(key, ())) for key in keys}
        return {key: f"rows of {files} of its files are deleted by vectors" for key, files in masked.items() if files}

    def rows(self, table: Table, key: PartitionKey) -> pa.RecordBatchReader:
        """Return the rows of a partition, as delta-rs reads them."""
        opened = _opened(self._storage, table)
        values = partition_values(table, key)
        where = " AND ".join(f"{_name_sql(name)} = {_text_sql(value or '')}" for name, value in values.items())
        return pa.RecordBatchReader.from_stream(opened.scan([c.name for c in table.columns], where))

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        """Return the version that holds the commit of (run, attempt)."""
        try:
            opened = _opened(self._storage, table)
        except TableNotFoundError:
            return None
        if _reached(opened, run_id) < attempt:
            return None
        return _version_of(opened, run_id, attempt)

    def check(self, table: Table, replacement: Replacement) -> None:
        """Refuse a replacement whose base is not what is live."""
        opened = _opened(self._storage, table)
        require_usable(table, _flaws(opened, table))
        require_base(table, _live(self._storage, opened, table), replacement)

    def mend(self, table: Table, expected: Sequence[Replacement], aside: Path) -> list[str]:
        """Move what a power failure tore at the end of the log into ``aside``."""
        return move_torn_aside(self._storage, table, expected, aside)

    def commits_together(self, tables: Sequence[Table]) -> bool:
        """Return whether it is one table: each has a log of its own."""
        return len(tables) <= 1

    def prepare(self, table: Table) -> None:
        """Make nothing: a folder is enough; refuse a table that uses what delta-rs does not write."""
        require_usable(table, self.unusable(table))

    def unusable(self, table: Table) -> list[str]:
        """Return which features, or which other cut, keep runs from writing to the table."""
        try:
            opened = _opened(self._storage, table)
        except TableNotFoundError:
            return []
        return _flaws(opened, table)

    def renamed(self, table: Table, files: Iterable[DataFile]) -> Mapping[str, Mapping[str, str]]:
        """Return nothing: names tell columns."""
        del table, files
        return {}

    def layout(self, table: Table) -> Layout:
        """Return that files lie in the table's folder, and that names tell columns."""
        del table
        return PLAIN

    def publish(self, changes: Sequence[tuple[Table, Replacement]]) -> list[Landed]:
        """Commit the replacements, each once, under an exact version check; read them back and make them durable."""
        return [_published(self._storage, table, replacement) for table, replacement in changes]

    def bar(self, table: Table, run_id: str, attempt: int) -> bool:
        """Take the place after (run, attempt) where that did not commit."""
        self.create(table)
        unanswered = Unanswered()
        for _ in tries():
            opened = _opened(self._storage, table)
            reached = _reached(opened, run_id)
            if reached >= attempt:
                return reached == attempt
            taken = Replacement(run_id=run_id, attempt=attempt + 1, adds=(), removes=())
            if not _is_committed(self._storage, opened, table, taken, unanswered):
                continue
            sync_version(self._storage, table, int(opened.version()) + 1)
            return False
        raise busy(table)

    def runs_after(self, table: Table, version: int | None) -> list[str]:
        """Return the runs that committed after a version."""
        opened = _opened(self._storage, table)
        later = None if version is None else int(opened.version()) - version
        if later is not None and later <= 0:
            return []
        notes = [json.loads(entry["remint"]) for entry in reversed(opened.history(later)) if "remint" in entry]
        return list(dict.fromkeys(str(note["run_id"]) for note in notes))

    def remove(self, table: Table, paths: Collection[str]) -> list[str]:
        """Delete files that the newest version does not name; a file that is gone already counts as deleted."""
        live = set().union(*self.live_files(table).values())
        gone = [below(table.location, path) for path in sorted(set(paths) - live)]
        self._storage.delete(gone, durably=True)
        return sorted(live & set(paths))

    def unnamed(self, table: Table) -> list[Stored]:
        """Return nothing: a log entry is made whole, or is not there."""
        del table
        return []

    def damaged_commits(self, table: Table) -> list[str]:
        """Return the log files that are not as they were written."""
        return [f"log entry {f.file} {f.detail}" for f in read_log(self._storage, table).faults]

    def read_log(self, table: Table) -> LogReading:
        """Return what the log says and what is wrong with it."""
        return read_log(self._storage, table)

    def said_otherwise(self, table: Table, files: Sequence[DataFile]) -> Mapping[str, str]:
        """Return nothing: the log is given with all that it says of files."""
        del table, files
        return {}

    def take_out_entry(self, table: Table, file: str) -> None:
        """Remove an entry of the log, or a checkpoint of it with what points to it."""
        take_out_entry(self._storage, table, file)

    def put_back_commit(self, table: Table, version: int, replacement: Replacement) -> None:
        """Write one of remint's commits anew, from the journal."""
        put_back_commit(self._storage, table, version, replacement)

    def differences(self, table: Table) -> list[str]:
        """Return where schema, partition columns or features are not those that remint can keep."""
        opened = _opened(self._storage, table)
        found = _flaws(opened, table)
        there = {field.name: _type_name(field.type) for field in opened.schema().fields}
        return found + column_differences(there, {c.name: _type_name(_field(c).type) for c in table.columns})

    def foreign_writer(self, table: Table) -> str:
        """Return who made the newest commit that is not remint's, as its log says."""
        try:
            opened = _opened(self._storage, table)
        except TableNotFoundError:
            return "somebody who removed the table"
        for entry in opened.history(_RECENT):
            if "remint" not in entry:
                who = entry.get("userName") or entry.get("engineInfo") or entry.get("clientVersion") or "unknown writer"
                return f"version {entry.get('version')}, {entry.get('operation', 'commit')} by {who}"
        return "no commit of the log's last ones"


def _published(storage: Storage, table: Table, replacement: Replacement) -> Landed:
    unanswered = Unanswered()
    for _ in tries():
        opened = _opened(storage, table)
        # Looked at in the snapshot that the commit is bound to: another holder of the run may have been faster.
        if (reached := _reached(opened, replacement.run_id)) >= replacement.attempt:
            landed = _version_of(opened, replacement.run_id, replacement.attempt)
            if reached == replacement.attempt:
                _verify_landed(storage, table, landed, replacement)
                sync_version(storage, table, landed)
            return Landed(version=landed, after=None, table_id=str(opened.metadata().id))
        require_usable(table, _flaws(opened, table))
        before = _live(storage, opened, table)
        require_base(table, before, replacement)
        if not _is_committed(storage, opened, table, replacement, unanswered):
            continue
        version = int(opened.version()) + 1
        _verify(storage, table, version, before, replacement)
        sync_version(storage, table, version)
        return Landed(version=version, after=version - 1, table_id=str(opened.metadata().id))
    raise busy(table)


def _is_committed(
    storage: Storage, opened: DeltaTable, table: Table, replacement: Replacement, unanswered: Unanswered
) -> bool:
    """Commit, once; return whether it did. Else there is such a version, or no answer came: who asks looks again."""
    try:
        commit(storage, opened, table, replacement)
    except CommitFailedError:
        return False
    except Exception as error:  # noqa: BLE001 - delta-rs has no kind of error for it
        unanswered.note(error)
        return False
    return True


def _opened(storage: Storage, table: Table, version: int | None = None) -> DeltaTable:
    """Return the table as it is now, or as it was in a version.

    Raises:
        DiskFailed: the machine refused to read it.
        LogDamaged: its log cannot be read; names the entry.
    """
    try:
        return _found(storage, table, version)
    except TableNotFoundError:
        if not is_logged(storage, table):
            raise
    try:  # its first entry may have been written since it was looked for
        return _found(storage, table, version)
    except TableNotFoundError:
        raise _damaged(storage, table, "it has no version that can be read") from None


def _found(storage: Storage, table: Table, version: int | None, tries_left: int = 2) -> DeltaTable:
    try:
        return DeltaTable(table.location, version=version, storage_options=dict(storage.options) or None)
    except TableNotFoundError:
        raise
    except Exception as error:
        if tries_left and broke_off(error):  # delta-rs asks again only where no answer has begun
            return _found(storage, table, version, tries_left - 1)
        refused = machine_failure(error)
        if refused is not None:
            raise refused from error
        raise _damaged(storage, table, " ".join(str(error).split())) from error


def _damaged(storage: Storage, table: Table, said: str) -> LogDamaged:
    faults = "; ".join(f"{f.file} {f.detail}" for f in read_log(storage, table).faults) or said
    return LogDamaged(
        f"{table.name}: the log of the table cannot be read: {faults}",
        hint=f"remint status    # resuming an outstanding run mends what it left; else remint repair {table.name}",
    )


def _reached(opened: DeltaTable, run_id: str) -> int:
    """Return the last attempt of a run that the table took; 0 when it took none."""
    return opened.transaction_version(app_id(run_id)) or 0


def _version_of(opened: DeltaTable, run_id: str, attempt: int) -> int:
    """Return the version that holds the commit of (run, attempt); the newest where the log does not reach so far."""
    for entry in opened.history():
        note = json.loads(entry.get("remint", "{}"))
        if (note.get("run_id"), note.get("attempt")) == (run_id, attempt):
            return int(entry["version"])
    return int(opened.version())


def _field(column: Column) -> Field:
    # Delta's NOT NULL would be enforced by other writers only; the contract is audited before publish instead.
    name = _TYPES.get(column.type) or column.type.lower()
    return Field(column.name, PrimitiveType(name), nullable=True)


def _live(storage: Storage, opened: DeltaTable, table: Table) -> dict[PartitionKey, set[str]]:
    """Return the live files by partition, and what masks rows of them."""
    found = _live_files(opened, table)
    if _MASKS in (opened.protocol().reader_features or ()):
        keys = {path: key for key, paths in found.items() for path in paths}
        for mask in _masks(storage, opened, table, keys.keys()):
            found[keys[masked_file(mask) or ""]].add(mask)
    return found


def _masks(storage: Storage, opened: DeltaTable, table: Table, files: Set[str]) -> set[str]:
    """Return the deletion vectors in force, which delta-rs counts and the log describes.

    Raises:
        LogDamaged: the two do not agree.
    """
    expected = sum(len(batch) for batch in pa.RecordBatchReader.from_stream(opened.deletion_vectors()))
    if not expected:
        return set()
    live = (read_log(storage, table, int(opened.version())).live or {}).keys()
    masks = {path for path in live if masked_file(path) is not None}
    if live - masks != files or len(masks) != expected or not {masked_file(path) for path in masks} <= files:
        raise _damaged(storage, table, "its entries do not add up to what is live, so deleted rows are not known")
    return masks


def _live_files(opened: DeltaTable, table: Table) -> dict[PartitionKey, set[str]]:
    found: dict[PartitionKey, set[str]] = {}
    actions = opened.get_add_actions(flatten=True)
    # delta-rs hands out an Arrow batch of its own kind; these columns are all that is needed of it.
    paths = actions["path"].to_pylist()
    if not paths:
        return found
    columns = [actions[f"partition.{name}"].to_pylist() for name in table.partition.columns]
    for path, *values in zip(paths, *columns, strict=True):
        found.setdefault(_key(table, values), set()).add(unquote(path))
    return found


def _key(table: Table, values: Sequence[Any]) -> PartitionKey:
    """Return the key of a file's partition values; empty where one of them is NULL."""
    if any(value is None for value in values):
        return ""
    try:
        return table.partition.key_of([_value_text(value) for value in values])
    except InvalidKey as error:
        raise RunError(
            f"{table.name}: somebody else wrote rows that no partition can hold: {error.message}",
            hint="delete them with the tool that wrote them",
        ) from None


def _value_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _unwritten(opened: DeltaTable) -> list[str]:
    # Tables of older writers map columns without naming the feature.
    mapped = {"columnMapping"} if opened.metadata().configuration.get(_MAPPING, "none") != "none" else set()
    return sorted((set(opened.protocol().writer_features or ()) & _UNWRITTEN) | mapped)


def _type_name(kind: object) -> str:
    return str(getattr(kind, "type", kind))


def _flaws(opened: DeltaTable, table: Table) -> list[str]:
    unwritten = [f"it uses {feature}, which remint does not write" for feature in _unwritten(opened)]
    return [*unwritten, *other_cut(opened.metadata().partition_columns, table.partition.columns)]


def _name_sql(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _verify(
    storage: Storage, table: Table, version: int, before: Mapping[PartitionKey, set[str]], replacement: Replacement
) -> None:
    expected = _paths(before.values()) - {f.path for f in replacement.removes} | {f.path for f in replacement.adds}
    found = _paths(_live(storage, _opened(storage, table, version), table).values())
    if found != expected:
        raise PublishUnverified(
            f"{table.name}: version {version} should list {len(expected)} files and lists {len(found)} "
            f"({len(expected - found)} absent, {len(found - expected)} unexpected)",
            hint="remint doctor    # compares ledger, log and disk",
        )


def _verify_landed(storage: Storage, table: Table, version: int, replacement: Replacement) -> None:
    """Refuse to take a commit of an earlier try for this one unless its log entry lists exactly the files."""
    place = entry_path(table, version)
    actions = actions_of(storage.read(place)) if storage.stat(place) else None
    if actions is None or not is_whole(actions, replacement):
        raise PublishUnverified(
            f"{table.name}: version {version} is the commit of run {replacement.run_id}, and its log entry does not "
            f"list exactly the {len(replacement.adds)} files in and {len(replacement.removes)} out",
            hint="remint doctor    # compares ledger, log and disk",
        )


def _paths(groups: Iterable[set[str]]) -> set[str]:
    return set().union(*groups)
