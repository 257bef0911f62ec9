"""Delta Lake: metadata-only commits through delta-rs, behind our own guard.

Rules (each from a measured loss of data by the defaults of the library):
- never let delta-rs retry a commit: its retry accepts a stale replacement over a compaction and doubles the rows;
- add and remove files by explicit, decoded paths: a wrong path is removed silently, not refused;
- after a commit, read the file set back; after an unknown outcome, look the run up by its transaction id.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, RemoveAction

from remint.errors import InvalidKey, PublishConflict, PublishUnverified, RunError, TableBusy
from remint.formats.base import Replacement, Table
from remint.model.dataset import Column
from remint.model.partition import PartitionKey

_TYPES = {
    "BOOLEAN": "boolean",
    "INTEGER": "integer",
    "BIGINT": "long",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
}
_CORRUPTED = frozenset({"deletionVectors", "columnMapping", "rowTracking", "domainMetadata", "identityColumns"})
"""Features of a table that explicit file replacement would break silently."""
_CAS_TRIES = 50
"""Commits lost to writers of other partitions before giving up; each try re-reads the table."""
_PAUSE_S = 0.02
"""Longest wait after the first lost commit; it grows with each, so that of many writers none is always too late."""

_RECENT = 200
"""Commits that are looked through for the one that somebody else made."""


class DeltaFormat:
    """Tables on a local file system in the Delta Lake format."""

    name = "delta"

    def version(self, table: Table) -> int | None:
        """Return the newest version, None when there is no table."""
        try:
            return int(DeltaTable(table.location).version())
        except TableNotFoundError:
            return None

    def create(self, table: Table) -> int:
        """Create the table, empty; leave an existing one as it is."""
        found = self.version(table)
        if found is not None:
            return found
        with suppress(CommitFailedError):  # somebody else created it meanwhile; a retry would create it twice
            DeltaTable.create(
                table.location,
                schema=Schema([_field(c) for c in table.columns]),
                partition_by=list(table.partition.columns),
                name=table.name,
                configuration={"delta.appendOnly": "true"} if table.append_only else {},
                mode="ignore",
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        return int(DeltaTable(table.location).version())

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        """Return the decoded paths of the live files by partition."""
        return {key: frozenset(paths) for key, paths in _live(DeltaTable(table.location), table).items()}

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        """Return the version that holds the commit of (run, attempt)."""
        try:
            opened = DeltaTable(table.location)
        except TableNotFoundError:
            return None
        if _reached(opened, run_id) < attempt:
            return None
        return _version_of(opened, run_id, attempt)

    def check(self, table: Table, replacement: Replacement) -> None:
        """Refuse a replacement whose base is not what is live."""
        opened = DeltaTable(table.location)
        _refuse_unsupported(opened, table)
        _require_base(table, _live(opened, table), replacement)

    def publish(self, table: Table, replacement: Replacement) -> int:
        """Commit the replacement under an exact version check; read it back and make it durable."""
        for opened in _tries(table):
            # Looked at in the snapshot that the commit is bound to: another holder of the run may have been faster.
            if _reached(opened, replacement.run_id) >= replacement.attempt:
                return _version_of(opened, replacement.run_id, replacement.attempt)
            _refuse_unsupported(opened, table)
            before = _live(opened, table)
            _require_base(table, before, replacement)
            try:
                _commit(opened, table, replacement)
            except CommitFailedError:
                continue
            version = int(opened.version()) + 1
            _verify(table, version, before, replacement)
            _sync_log(table, version)
            return version
        raise _busy(table)

    def bar(self, table: Table, run_id: str, attempt: int) -> bool:
        """Take the place after (run, attempt) where that did not commit."""
        self.create(table)
        for opened in _tries(table):
            reached = _reached(opened, run_id)
            if reached >= attempt:
                return reached == attempt
            try:
                _commit(opened, table, Replacement(run_id=run_id, attempt=attempt + 1, adds=(), removes=()))
            except CommitFailedError:
                continue
            _sync_log(table, int(opened.version()) + 1)
            return False
        raise _busy(table)

    def damaged_commits(self, table: Table) -> list[str]:
        """Return the log files that are empty, torn or without their commit entry."""
        damaged = []
        for path in sorted((Path(table.location) / "_delta_log").glob("*.json")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            try:
                entries = [json.loads(line) for line in lines]
            except json.JSONDecodeError:
                damaged.append(f"log entry {path.name} is torn")
                continue
            if not any("commitInfo" in entry for entry in entries):
                damaged.append(f"log entry {path.name} is empty or cut off")
        return damaged

    def differences(self, table: Table) -> list[str]:
        """Return where schema, partition columns or features are not those that remint can keep."""
        opened = DeltaTable(table.location)
        found = [f"it uses {feature}, which file replacement would corrupt" for feature in _dangerous(opened)]
        cut = tuple(opened.metadata().partition_columns)
        if cut != table.partition.columns:
            found.append(
                f"it is partitioned by {', '.join(cut) or 'nothing'}, declared is {', '.join(table.partition.columns)}"
            )
        there = {field.name: field.type for field in opened.schema().fields}
        wanted = {column.name: _field(column).type for column in table.columns}
        for name in dict.fromkeys([*wanted, *there]):
            if name not in there:
                found.append(f"column {name}: the table has none")
            elif name not in wanted:
                found.append(f"column {name}: not in the contract")
            elif there[name] != wanted[name]:
                found.append(f"column {name}: expected {_type_name(wanted[name])}, found {_type_name(there[name])}")
        return found

    def foreign_writer(self, table: Table) -> str:
        """Return who made the newest commit that is not remint's, as its log says."""
        for entry in DeltaTable(table.location).history(_RECENT):
            if "remint" not in entry:
                who = entry.get("userName") or entry.get("engineInfo") or entry.get("clientVersion") or "unknown writer"
                return f"version {entry.get('version')}, {entry.get('operation', 'commit')} by {who}"
        return "no commit of the log's last ones"


def _app(run_id: str) -> str:
    return f"remint:{run_id}"


def _reached(opened: DeltaTable, run_id: str) -> int:
    """Return the last attempt of a run that the table took; 0 when it took none."""
    return opened.transaction_version(_app(run_id)) or 0


def _version_of(opened: DeltaTable, run_id: str, attempt: int) -> int:
    """Return the version that holds the commit of (run, attempt); the newest where the log does not reach so far."""
    for entry in opened.history():
        note = json.loads(entry.get("remint", "{}"))
        if (note.get("run_id"), note.get("attempt")) == (run_id, attempt):
            return int(entry["version"])
    return int(opened.version())


def _tries(table: Table) -> Iterator[DeltaTable]:
    """Yield the table, opened anew, for each try to commit to it."""
    for lost in range(_CAS_TRIES):
        if lost:
            time.sleep(random.uniform(0, _PAUSE_S * lost))  # noqa: S311 - spreads writers, keeps no secret
        yield DeltaTable(table.location)


def _busy(table: Table) -> TableBusy:
    return TableBusy(
        f"{table.name}: {_CAS_TRIES} commits in a row were lost to other writers of the table",
        hint="wait until the other writer is done, then: remint resume RUN",
    )


def _field(column: Column) -> Field:
    # Delta's NOT NULL would be enforced by other writers only; the contract is audited before publish instead.
    name = _TYPES.get(column.type) or column.type.lower()
    return Field(column.name, PrimitiveType(name), nullable=True)


def _live(opened: DeltaTable, table: Table) -> dict[PartitionKey, set[str]]:
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


def _partition_values(table: Table, key: PartitionKey) -> dict[str, str | None]:
    values: list[str | None] = [value.removesuffix("+00") for value in table.partition.values_of(key)]
    return dict(zip(table.partition.columns, values, strict=True))


def _dangerous(opened: DeltaTable) -> list[str]:
    return sorted(set(opened.protocol().writer_features or ()) & _CORRUPTED)


def _type_name(kind: object) -> str:
    return str(getattr(kind, "type", kind))


def _refuse_unsupported(opened: DeltaTable, table: Table) -> None:
    dangerous = _dangerous(opened)
    if dangerous:
        raise RunError(
            f"{table.name}: the table uses {', '.join(dangerous)}, which explicit file replacement would "
            "corrupt silently",
            hint="rewrite the table without it, for example by a deep copy into a new location",
        )


def _require_base(table: Table, live: Mapping[PartitionKey, set[str]], replacement: Replacement) -> None:
    expected: dict[PartitionKey, set[str]] = {}
    for file in replacement.removes:
        expected.setdefault(file.key, set()).add(file.path)
    for key in sorted({f.key for f in replacement.removes} if table.append_only else replacement.keys):
        found = live.get(key, set())
        if found != expected.get(key, set()):
            raise PublishConflict(
                f"{table.name} {key}: expected {len(expected.get(key, set()))} file(s) as published by remint, found "
                f"{len(found)} that differ",
                hint="remint status    # shows who changed it; then plan again",
            )


def _commit(opened: DeltaTable, table: Table, replacement: Replacement) -> None:
    now = int(datetime.now().astimezone().timestamp() * 1000)
    values = {key: _partition_values(table, key) for key in replacement.keys}
    adds = [AddAction(f.path, f.size_bytes, values[f.key], now, True, f.stats) for f in replacement.adds]
    removes = [RemoveAction(f.path, True, now, f.size_bytes, values[f.key]) for f in replacement.removes]
    note = json.dumps({"run_id": replacement.run_id, "attempt": replacement.attempt, "files": len(adds)})
    opened.create_write_transaction(
        [*adds, *removes],
        "append",
        opened.schema(),
        partition_by=opened.metadata().partition_columns,
        commit_properties=CommitProperties(
            custom_metadata={"remint": note},
            app_transactions=[Transaction(_app(replacement.run_id), replacement.attempt)],
            max_commit_retries=0,
        ),
    )


def _verify(table: Table, version: int, before: Mapping[PartitionKey, set[str]], replacement: Replacement) -> None:
    expected = _paths(before.values()) - {f.path for f in replacement.removes} | {f.path for f in replacement.adds}
    found = _paths(_live(DeltaTable(table.location, version=version), table).values())
    if found != expected:
        raise PublishUnverified(
            f"{table.name}: version {version} should list {len(expected)} files and lists {len(found)} "
            f"({len(expected - found)} absent, {len(found - expected)} unexpected)",
            hint="remint doctor    # compares ledger, log and disk",
        )


def _paths(groups: Iterable[set[str]]) -> set[str]:
    return set().union(*groups)


def _sync_log(table: Table, version: int) -> None:
    """Make the commit survive power loss: delta-rs never syncs what it writes."""
    folder = Path(table.location) / "_delta_log"
    for path in (folder / f"{version:020d}.json", folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
