"""The files of a Delta log on disk: whether they are whole and durable, and out of the way where they are torn.

delta-rs syncs nothing that it writes. Rules: a commit counts once its entry and its folder are synced; only the newest
entry can be torn by a power failure that remint must mend, because remint syncs every commit before it makes another;
what is moved away is kept.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from remint.disk import make_folder, sync
from remint.formats.base import Replacement, Table
from remint.formats.delta_log import CHECKPOINT, ENTRY, POINTER, app_id, entry_name, log_folder, named_paths
from remint.storage.base import Storage, below

_PARQUET_MAGIC = b"PAR1"

Actions = list[dict[str, Any]]


def entry_path(table: Table, version: int) -> str:
    """Return the place of the log entry of a version."""
    return below(log_folder(table), entry_name(version))


def actions_of(content: bytes) -> Actions | None:
    """Return the actions of a log entry; None where it is empty, torn, or no list of actions."""
    try:
        found = [json.loads(line) for line in content.decode("utf-8").splitlines() if line.strip()]
    except ValueError:
        return None
    return found if found and all(isinstance(action, dict) for action in found) else None


def sync_version(storage: Storage, table: Table, version: int) -> None:
    """Make a commit durable: its entry, a checkpoint that came with it, and their names."""
    log = log_folder(table)
    names = storage.names(log)
    new = [name for name, number in _checkpoints(names).items() if number >= version - 1]
    if new and POINTER in names:  # readers do without it, and a repair may have taken it away
        new.append(POINTER)
    storage.sync([entry_path(table, version), *(below(log, name) for name in new), log])
    if version == 0:
        storage.sync([table.location])


def is_of(actions: Actions, replacement: Replacement) -> bool:
    """Return whether a log entry is the commit of this replacement, whole or not."""
    app = app_id(replacement.run_id)
    for action in actions:
        transaction, info = action.get("txn", {}), action.get("commitInfo", {})
        if (transaction.get("appId"), transaction.get("version")) == (app, replacement.attempt):
            return True
        note = json.loads(info.get("remint") or "{}")
        if (note.get("run_id"), note.get("attempt")) == (replacement.run_id, replacement.attempt):
            return True
    return False


def is_whole(actions: Actions, replacement: Replacement) -> bool:
    """Return whether the log entry of a replacement lists exactly its files, and its transaction."""
    added = sorted(path for a in actions if "add" in a for path in named_paths(a["add"]))
    removed = sorted(path for a in actions if "remove" in a for path in named_paths(a["remove"]))
    sizes = {unquote(a["add"]["path"]): a["add"]["size"] for a in actions if "add" in a}
    return (
        added == sorted(f.path for f in replacement.adds)
        and removed == sorted(f.path for f in replacement.removes)
        and all(sizes.get(f.path, 0) == f.size_bytes for f in replacement.adds)
        and any(a.get("txn", {}).get("appId") == app_id(replacement.run_id) for a in actions)
    )


def _is_bar(actions: Actions) -> bool:
    """Return whether an entry was to hold no file: it keeps a run's attempt from being made."""
    notes = [json.loads(a["commitInfo"].get("remint") or "{}") for a in actions if "commitInfo" in a]
    return any(note.get("files") == 0 for note in notes)


def move_torn_aside(storage: Storage, table: Table, expected: Iterable[Replacement], aside: Path) -> list[str]:
    """Move what a power failure tore at the end of the log into ``aside``, and return in words what it was.

    The newest entry, where it is empty or torn, or begins one of the ``expected`` commits and does not end it; and a
    checkpoint that is not whole, or is of such an entry. Every entry that a checkpoint covers is still there, because
    remint's commits delete none.
    """
    log = log_folder(table)
    names = storage.names(log)
    entries = [name for name in names if ENTRY.fullmatch(name)]
    if not entries:
        return []
    moved: list[str] = []
    newest = entries[-1]
    content = storage.read(below(log, newest))
    actions = actions_of(content)
    version = int(newest.partition(".")[0])
    torn = actions is None or (
        not _is_bar(actions) and any(is_of(actions, r) and not is_whole(actions, r) for r in expected)
    )
    if torn:
        moved.append(f"log entry {newest} {'is torn' if content else 'is empty'}")
        _move(storage, below(log, newest), aside)
    bad = [
        name
        for name, at in _checkpoints(names).items()
        if (torn and at >= version) or not _is_parquet(storage.read(below(log, name)))
    ]
    for name in sorted(bad):
        moved.append(f"checkpoint {name} is torn")
        _move(storage, below(log, name), aside)
    if bad and POINTER in names:
        _move(storage, below(log, POINTER), aside)
    if moved:
        storage.sync([log])
    return moved


def _checkpoints(names: Iterable[str]) -> Mapping[str, int]:
    found = ((name, CHECKPOINT.fullmatch(name)) for name in names)
    return {name: int(match[1]) for name, match in found if match}


def _is_parquet(content: bytes) -> bool:
    return len(content) >= 3 * len(_PARQUET_MAGIC) and content.endswith(_PARQUET_MAGIC)


def _move(storage: Storage, place: str, aside: Path) -> None:
    """Move a file of a log into ``aside`` under its own name; a copy is durable there before the name is gone here."""
    make_folder(aside)
    name = posixpath.basename(place)
    copy, number = aside / name, 0
    while copy.exists():
        number += 1
        copy = aside / f"{name}.{number}"
    copy.write_bytes(storage.read(place))
    sync(copy)
    sync(aside)
    storage.delete([place])
