"""Read a Delta log entry by entry, without delta-rs: it takes an empty entry for a commit and fails on a torn one.

Rules: nothing here raises for a log that is damaged; every fault is named with its file.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import pyarrow.parquet as pq
from pyarrow import ArrowException

from remint.errors import InvalidKey, PublishConflict
from remint.formats.base import Commit, LogFault, LogFlaw, LoggedFile, LogReading, Replacement, Table
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below

ENTRY = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
POINTER = "_last_checkpoint"
_SAID = {
    LogFlaw.EMPTY: "is empty: readers take it for a commit that changed nothing",
    LogFlaw.TORN: "is torn",
    LogFlaw.CUT: "is cut off: it does not say who made it",
    LogFlaw.GAP: "is gone, and later ones are there",
}

_MASK = "deletionVector"
_MASK_FIELDS = frozenset({"storageType", "pathOrInlineDv", "offset", "sizeInBytes", "cardinality"})
_MASKED_BY = "#deletion-vector="

_Actions = list[dict[str, Any]]


@dataclass(slots=True)
class _Reading:
    """A log while it is read."""

    storage: Storage
    table: Table
    commits: list[Commit] = field(default_factory=list)
    faults: list[LogFault] = field(default_factory=list)
    live: dict[str, LoggedFile] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    """By file, the mask over its rows."""
    is_sure: bool = True
    named: set[str] = field(default_factory=set)
    newest: int = -1
    table_id: str = ""

    def take_out(self, paths: Iterable[str]) -> None:
        """Take files out, each with the mask that it has: readers tell files by both, and leave one with another."""
        said = {masked: path for path in paths if (masked := masked_file(path))}
        for path in paths:
            if masked_file(path) is None and said.get(path) == self.masks.get(path):
                self.live.pop(path, None)
                self.live.pop(self.masks.pop(path, ""), None)

    def put_in(self, files: Iterable[LoggedFile]) -> None:
        """Put files in, with their masks."""
        self.live.update((file.path, file) for file in files)
        self.masks.update((masked, f.path) for f in files if (masked := masked_file(f.path)))

    def content(self, name: str) -> bytes:
        """Return what an entry or a checkpoint holds."""
        return self.storage.read(below(log_folder(self.table), name))


def named_paths(action: Mapping[str, Any]) -> list[str]:
    """Return what an action that adds or removes a file names: its path, and after it that of the mask over its rows.

    A deletion vector is told by the file that it masks and by all that finds it again. So a file with another one, or
    with none, is another state of its partition, and the path alone is enough to take it out or put it back.
    """
    path = unquote(str(action.get("path", "")))
    mask = {k: v for k, v in sorted((action.get(_MASK) or {}).items()) if k in _MASK_FIELDS and v is not None}
    if not mask:
        return [path]
    said = base64.urlsafe_b64encode(json.dumps(mask, separators=(",", ":")).encode()).decode()
    return [path, f"{path}{_MASKED_BY}{said}"]


def masked_file(path: str) -> str | None:
    """Return the file that a mask is over; None where the path is that of a file."""
    return path.rpartition(_MASKED_BY)[0] or None


def mask_named(path: str) -> dict[str, Any]:
    """Return a mask as actions name it, from its path."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(path.rpartition(_MASKED_BY)[2]))
    return found


def log_folder(table: Table) -> str:
    """Return the folder of the table's log."""
    return below(table.location, "_delta_log")


def entry_name(version: int) -> str:
    """Return the name of the log entry of a version."""
    return f"{version:020d}.json"


def is_logged(storage: Storage, table: Table) -> bool:
    """Return whether the table has any log."""
    return any(ENTRY.fullmatch(name) for name in storage.names(log_folder(table)))


def read_log(storage: Storage, table: Table, through: int | None = None) -> LogReading:
    """Return what the log of a table says, up to a version or to its end, and what is wrong with it."""
    folder = log_folder(table)
    names = storage.names(folder)
    entries = {int(m[1]): n for n in names if (m := ENTRY.fullmatch(n)) and _is_within(m[1], through)}
    checkpoints: dict[int, list[str]] = {}
    for name in names:
        if (found := CHECKPOINT.fullmatch(name)) and _is_within(found[1], through):
            checkpoints.setdefault(int(found[1]), []).append(name)
    reading = _Reading(storage, table, newest=max([*entries, *checkpoints], default=-1))
    first = min(entries, default=0)
    # Cleaning up removes the oldest entries, once a checkpoint says what they said.
    start = first if any(v >= first - 1 for v in checkpoints) else 0
    reading.is_sure = start == 0
    seen: dict[bytes, str] = {}
    for version in range(min([start, *checkpoints]), reading.newest + 1):
        if version in entries:
            _take_entry(reading, version, entries[version], seen)
        elif version >= start:
            _fault(reading, LogFlaw.GAP, version, entry_name(version))
        for name in checkpoints.get(version, ()):
            _take_checkpoint(reading, version, name)
    if POINTER in names and through is None:
        _take_pointer(reading, checkpoints)
    return LogReading(
        newest=reading.newest,
        commits=tuple(reading.commits),
        faults=tuple(reading.faults),
        live=reading.live if reading.is_sure else None,
        named=frozenset(reading.named),
        table_id=reading.table_id,
    )


def _is_within(version: str, through: int | None) -> bool:
    return through is None or int(version) <= through


def _fault(reading: _Reading, flaw: LogFlaw, version: int, name: str, detail: str = "") -> None:
    is_newest = version == reading.newest and flaw is not LogFlaw.CHECKPOINT
    found = LogFault(flaw=flaw, file=name, version=version, detail=detail or _SAID.get(flaw, ""), is_newest=is_newest)
    reading.faults.append(found)
    if flaw not in (LogFlaw.CHECKPOINT, LogFlaw.DUPLICATE):
        reading.is_sure = False


def _take_entry(reading: _Reading, version: int, name: str, seen: dict[bytes, str]) -> None:
    try:
        content = reading.content(name)
    except OSError as error:
        _fault(reading, LogFlaw.TORN, version, name, f"cannot be read: {error.strerror}")
        return
    if content and content in seen:
        _fault(reading, LogFlaw.DUPLICATE, version, name, f"says the same as {seen[content]}")
    seen[content] = name
    actions = _parsed(content)
    if not content.strip():
        _fault(reading, LogFlaw.EMPTY, version, name)
    elif actions is None:
        _fault(reading, LogFlaw.TORN, version, name)
    elif not any("commitInfo" in action for action in actions):
        _fault(reading, LogFlaw.CUT, version, name)
    else:
        reading.table_id = next((a["metaData"]["id"] for a in actions if "metaData" in a), reading.table_id)
        commit = _commit(reading.table, version, name, actions)
        reading.commits.append(commit)
        reading.take_out(commit.removes)
        reading.put_in(commit.adds)
        reading.named.update(commit.removes, (f.path for f in commit.adds))


def _parsed(content: bytes) -> _Actions | None:
    """Return the actions of an entry; None where it is torn."""
    try:
        found = [json.loads(line) for line in content.decode("utf-8").splitlines() if line.strip()]
    except ValueError:
        return None
    return found if all(isinstance(action, dict) for action in found) else None


def _commit(table: Table, version: int, name: str, actions: _Actions) -> Commit:
    note = _note(actions)
    adds = [a["add"] for a in actions if isinstance(a.get("add"), dict)]
    removes = [a["remove"] for a in actions if isinstance(a.get("remove"), dict)]
    return Commit(
        version=version,
        file=name,
        run_id=str(note.get("run_id", "")),
        attempt=int(note.get("attempt", 0)),
        adds=tuple(file for a in adds for file in _logged_files(table, a)),
        removes=tuple(path for r in removes for path in named_paths(r)),
    )


def _note(actions: _Actions) -> Mapping[str, Any]:
    for action in actions:
        info = action.get("commitInfo")
        if isinstance(info, dict) and "remint" in info:
            try:
                found = json.loads(info["remint"])
            except (ValueError, TypeError):
                return {}
            return found if isinstance(found, dict) else {}
    return {}


def _logged(table: Table, add: Mapping[str, Any]) -> LoggedFile:
    size = add.get("size")
    return LoggedFile(
        path=unquote(str(add.get("path", ""))),
        key=_key(table, add.get("partitionValues")),
        size_bytes=size if isinstance(size, int) else -1,
        stats=str(add.get("stats") or ""),
    )


def _logged_files(table: Table, add: Mapping[str, Any]) -> list[LoggedFile]:
    """Return the file that an action adds, and the mask over its rows where it has one."""
    file = _logged(table, add)
    return [file, *(LoggedFile(path=p, key=file.key, size_bytes=0, stats="{}") for p in named_paths(add)[1:])]


def _key(table: Table, values: Any) -> str:
    pairs = dict(values or ()) if isinstance(values, dict | list) else {}
    texts = [pairs.get(name) for name in table.partition.columns]
    # The log spells a timestamp without its zone.
    for spelled in (texts, [f"{t}+00" for t in texts[:1]] + texts[1:]):
        try:
            return table.partition.key_of(spelled)
        except (InvalidKey, ValueError):
            continue
    return ""


def _take_checkpoint(reading: _Reading, version: int, name: str) -> None:
    """Compare a checkpoint with what the entries before it add up to; begin with it where those are gone."""
    try:
        actions = pq.read_table(io.BytesIO(reading.content(name)), columns=["add", "metaData"])
        rows, said = actions.column("add").to_pylist(), actions.column("metaData").to_pylist()
    except (ArrowException, OSError, KeyError, ValueError) as error:
        _fault(reading, LogFlaw.CHECKPOINT, version, name, f"cannot be read: {' '.join(str(error).split())[:200]}")
        return
    reading.table_id = next((row["id"] for row in said if row), reading.table_id)
    adds = [file for row in rows if row for file in _logged_files(reading.table, row)]
    reading.named.update(f.path for f in adds)
    held = {f.path: f for f in adds}
    if "checkpoint.parquet" not in name:
        return  # one part of several
    if not reading.is_sure and not reading.faults:
        reading.live.clear()
        reading.masks.clear()
        reading.put_in(adds)
        reading.is_sure = True
    elif reading.is_sure and held != reading.live:
        different = sorted(p for p in {*held, *reading.live} if held.get(p) != reading.live.get(p))
        words = f"does not say what the log before it says, of {len(different)} files, for example {different[0]}"
        _fault(reading, LogFlaw.CHECKPOINT, version, name, words)


def _take_pointer(reading: _Reading, checkpoints: Mapping[int, Sequence[str]]) -> None:
    try:
        named = int(json.loads(reading.content(POINTER).decode("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        _fault(reading, LogFlaw.CHECKPOINT, -1, POINTER, "cannot be read")
        return
    if named not in checkpoints:
        _fault(reading, LogFlaw.CHECKPOINT, named, POINTER, f"names a checkpoint of version {named}, which is gone")


def partition_values(table: Table, key: str) -> dict[str, str | None]:
    """Return the partition values of a key as the log spells them."""
    values: list[str | None] = [value.removesuffix("+00") for value in table.partition.values_of(key)]
    return dict(zip(table.partition.columns, values, strict=True))


def commit_note(replacement: Replacement) -> str:
    """Return what remint writes into a commit, to find it again."""
    files = len(replacement.adds) + len(replacement.removes)
    return json.dumps({"run_id": replacement.run_id, "attempt": replacement.attempt, "files": files})


def app_id(run_id: str) -> str:
    """Return the name under which the log keeps a run's transaction."""
    return f"remint:{run_id}"


def take_out_entry(storage: Storage, table: Table, file: str) -> None:
    """Remove an entry of the log, durably; of a checkpoint also the pointer, which readers would follow to nothing."""
    folder = log_folder(table)
    storage.delete(below(folder, name) for name in ([file] if ENTRY.fullmatch(file) else [file, POINTER]))
    storage.sync([folder])


def put_back_commit(storage: Storage, table: Table, version: int, replacement: Replacement) -> None:
    """Write a commit of remint's as an entry of the log, whole and durable, in the place of what is there."""
    storage.write(below(log_folder(table), entry_name(version)), entry_of(storage, table, replacement, {}))


def entry_of(storage: Storage, table: Table, replacement: Replacement, spelled: Mapping[str, str]) -> bytes:
    """Return a commit as an entry of the log; ``spelled`` has the paths that it spells otherwise than delta-rs."""
    kept = _stats_of_masked(storage, table, replacement.adds)
    return "".join(f"{json.dumps(a)}\n" for a in _actions(table, replacement, kept, spelled)).encode("utf-8")


def _stats_of_masked(storage: Storage, table: Table, files: Iterable[DataFile]) -> dict[str, str]:
    """Return, for each of the files that has a mask, its statistics as the log gives them: the mask counts on them.

    Raises:
        PublishConflict: the log does not reach back to where the file and its mask were named.
    """
    wanted = {path: masked for path in (f.path for f in files) if (masked := masked_file(path))}
    if not wanted:
        return {}
    found: dict[str, str] = {}
    for commit in read_log(storage, table).commits:
        stats = {f.path: f.stats or "" for f in commit.adds}
        found |= {masked: stats[masked] for path, masked in wanted.items() if path in stats}
    gone = sorted(set(wanted.values()) - set(found))
    if gone:
        raise PublishConflict(
            f"{table.name}: rows of {gone[0]} were deleted, and the log does not say any more which",
            hint=f"remint run {table.name} --rebuild    # makes it anew instead",
        )
    return found


def _actions(
    table: Table, replacement: Replacement, kept: Mapping[str, str], spelled: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    now = int(datetime.now().astimezone().timestamp() * 1000)
    parameters = {"mode": "Append", "partitionBy": json.dumps(list(table.partition.columns))}
    yield {
        "commitInfo": {
            "timestamp": now,
            "operation": "WRITE",
            "operationParameters": parameters,
            "engineInfo": "remint",
            "remint": commit_note(replacement),
        }
    }
    for file, mask in _with_masks(replacement.adds):
        yield {
            "add": {
                "path": quoted_path(file.path),
                "partitionValues": partition_values(table, file.key),
                "size": file.size_bytes,
                "modificationTime": now,
                "dataChange": True,
                "stats": kept.get(file.path, file.stats),
                **mask,
            }
        }
    for file, mask in _with_masks(replacement.removes):
        yield {
            "remove": {
                "path": spelled.get(file.path, quoted_path(file.path)),
                "deletionTimestamp": now,
                "dataChange": True,
                "extendedFileMetadata": True,
                "partitionValues": partition_values(table, file.key),
                "size": file.size_bytes,
                **mask,
            }
        }
    yield {"txn": {"appId": app_id(replacement.run_id), "version": replacement.attempt}}


def _with_masks(files: Iterable[DataFile]) -> Iterable[tuple[DataFile, dict[str, Any]]]:
    """Yield each file with the mask over its rows, as an action names it: empty where it has none."""
    listed = list(files)
    masks = {masked: f.path for f in listed if (masked := masked_file(f.path))}
    for file in listed:
        if masked_file(file.path) is None:
            yield file, {_MASK: mask_named(masks[file.path])} if file.path in masks else {}


def quoted_path(path: str) -> str:
    """Return a path as delta-rs spells it in a log; other writers spell some characters otherwise."""
    return quote(path, safe="/=!$&'()+,;:@-._~")
