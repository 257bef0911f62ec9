"""Commits to a Delta log: by delta-rs, and those that it cannot make, of files that it would leave live without a word.

Rules: an entry is put where none is, in one act, as delta-rs does it; it says of a file what the log says of it, to the
letter; a table that asks more of an entry is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from remint.errors import RunError
from remint.formats.base import Replacement, Table
from remint.formats.delta_log import (
    app_id,
    commit_note,
    entry_name,
    entry_of,
    log_folder,
    masked_file,
    partition_values,
    quoted_path,
)
from remint.storage.base import Storage, below

_ENTRIES_OF_OURS = frozenset(
    ["appendOnly", "changeDataFeed", "checkConstraints", "deletionVectors", "generatedColumns", "invariants"]
) | {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Features that ask nothing of a log entry that replaces files by files with the same kind of rows."""


def commit(storage: Storage, opened: DeltaTable, table: Table, replacement: Replacement) -> None:
    """Commit as the next version of what was opened.

    Raises:
        CommitFailedError: there is such a version.
    """
    spelled = spelled_otherwise(opened, replacement)
    if spelled or any(masked_file(f.path) for f in (*replacement.adds, *replacement.removes)):
        refuse_entry_of_ours(opened, table, replacement)
        if not put_commit(storage, table, int(opened.version()) + 1, replacement, spelled):
            raise CommitFailedError(f"{table.name} was changed meanwhile")
        return
    now = int(datetime.now().astimezone().timestamp() * 1000)
    values = {key: partition_values(table, key) for key in replacement.keys}
    adds = [AddAction(f.path, f.size_bytes, values[f.key], now, True, f.stats) for f in replacement.adds]
    removes = [RemoveAction(f.path, True, now, f.size_bytes, values[f.key]) for f in replacement.removes]
    opened.create_write_transaction(
        [*adds, *removes],
        "append",
        opened.schema(),
        partition_by=opened.metadata().partition_columns,
        commit_properties=CommitProperties(
            custom_metadata={"remint": commit_note(replacement)},
            app_transactions=[Transaction(app_id(replacement.run_id), replacement.attempt)],
            max_commit_retries=0,
        ),
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
    )


def put_commit(
    storage: Storage, table: Table, version: int, replacement: Replacement, spelled: Mapping[str, str]
) -> bool:
    """Write a commit as an entry of the log, whole and durable, where none is; return whether it was written.

    Args:
        storage: where the table lies.
        table: its table.
        version: of the entry.
        replacement: what it commits.
        spelled: live paths that the log spells otherwise than ``quoted_path``: readers compare the very letters.
    """
    content = entry_of(storage, table, replacement, spelled)
    return storage.create(below(log_folder(table), entry_name(version)), content)


def spelled_otherwise(opened: DeltaTable, replacement: Replacement) -> dict[str, str]:
    """Return the files that go which the log spells otherwise than delta-rs, which would leave them live."""
    gone = {f.path for f in replacement.removes}
    raw = opened.get_add_actions()["path"].to_pylist() if gone else ()
    named = ((unquote(path), path) for path in raw)
    return {path: said for path, said in named if path in gone and said != quoted_path(path)}


def refuse_entry_of_ours(opened: DeltaTable, table: Table, replacement: Replacement) -> None:
    """Refuse a table that asks more of a log entry than one of ours says."""
    protocol, configured = opened.protocol(), opened.metadata().configuration
    unknown = sorted({*(protocol.writer_features or ()), *(protocol.reader_features or ())} - _ENTRIES_OF_OURS)
    if unknown:
        raise RunError(
            f"{table.name}: delta-rs cannot take these files out, and the table uses {', '.join(unknown)}, which "
            "remint does not know how to keep",
            hint="rewrite the table without it, for example by a deep copy into a new location",
        )
    if replacement.removes and configured.get("delta.appendOnly") == "true":
        raise RunError(
            f"{table.name}: the table is append-only, so none of its files may be taken out",
            hint="restore the table to the version that had its rows",
        )
