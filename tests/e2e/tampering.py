"""Somebody who changes files and logs of a table behind everybody's back: one change, drawn by a seed."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from tests.e2e.projects import Project
from tests.e2e.tampering_iceberg import METADATA

TABLES = ("bronze.events", "bronze.events", "silver.events", "gold.daily", "gold.trend")
"""Bronze twice as often."""


@dataclass(frozen=True)
class Change:
    """What was changed."""

    name: str
    table: str
    needs_reading: bool
    """Only hashing finds it."""
    is_read: bool
    """What a transform would read of Bronze is another than was published."""


def replaced(path: Path, content: bytes) -> None:
    """Give a file other content, whatever other names the old one has."""
    path.unlink()
    path.write_bytes(content)


def flip(path: Path, draw: random.Random) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    replaced(path, bytes(content))


def truncate(path: Path, draw: random.Random) -> None:
    """Cut the end off."""
    content = path.read_bytes()
    replaced(path, content[: draw.randrange(len(content))])


def extend(path: Path, draw: random.Random) -> None:
    """Append bytes."""
    replaced(path, path.read_bytes() + draw.randbytes(draw.randrange(1, 50)))


def scramble(path: Path, draw: random.Random) -> None:
    """Put other bytes of the same number in its place, the time of change as before."""
    times = path.stat()
    replaced(path, draw.randbytes(len(path.read_bytes())))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def delete(path: Path, draw: random.Random) -> None:
    """Remove it."""
    del draw
    path.unlink()


FILES: Mapping[str, Callable[[Path, random.Random], None]] = {
    "flip": flip,
    "truncate": truncate,
    "extend": extend,
    "same size": scramble,
    "delete": delete,
}


def swap(project: Project, table: str, draw: random.Random) -> bool:
    """Exchange two files; return whether their sizes tell."""
    one, other = draw.sample(data_files(project, table), 2)
    first, second = one.read_bytes(), other.read_bytes()
    replaced(one, second)
    replaced(other, first)
    return len(first) != len(second)


def add_foreign(project: Project, table: str, draw: random.Random) -> None:
    """Make a copy of a file live, by a commit of somebody else's."""
    victim = draw.choice(data_files(project, table))
    copy = victim.with_name(f"part-{draw.randrange(1 << 30)}.snappy.parquet")
    shutil.copyfile(victim, copy)
    entry = next(a for a in adds(project, table) if a["path"].endswith(victim.name))
    line = {**entry, "path": entry["path"].replace(victim.name, copy.name)}
    write_entry(project, table, newest(project, table) + 1, [{"commitInfo": {"operation": "WRITE"}}, {"add": line}])


def zero(project: Project, table: str, draw: random.Random) -> None:
    """Empty a log entry."""
    replaced(draw.choice(entries(project, table)), b"")


def tear(project: Project, table: str, draw: random.Random) -> None:
    """Keep the beginning of the newest entry."""
    path = entries(project, table)[-1]
    content = path.read_bytes()
    replaced(path, content[: draw.randrange(1, len(content) - 2)])


def behead(project: Project, table: str, draw: random.Random) -> None:
    """Cut off the line that says who committed."""
    path = draw.choice(entries(project, table))
    replaced(path, b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def drop_middle(project: Project, table: str, draw: random.Random) -> None:
    """Remove an entry that others follow."""
    draw.choice(entries(project, table)[:-1]).unlink()


def drop_last(project: Project, table: str, draw: random.Random) -> None:
    """Remove the newest entry."""
    del draw
    entries(project, table)[-1].unlink()


def duplicate(project: Project, table: str, draw: random.Random) -> None:
    """Commit an entry a second time."""
    source = draw.choice(entries(project, table)[1:])
    shutil.copyfile(source, source.with_name(f"{newest(project, table) + 1:020d}.json"))


def edit(project: Project, table: str, draw: random.Random) -> None:
    """Change what an entry says of a file: path, partition, size or statistics."""
    path = draw.choice([p for p in entries(project, table) if '"add":' in p.read_text()])
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    add = draw.choice([a["add"] for a in actions if "add" in a])
    what = draw.choice(["path", "partition", "size", "stats"])
    if what == "path":
        add["path"] = add["path"].replace("part-", "port-")
    elif what == "partition":
        add["partitionValues"] = dict.fromkeys(add["partitionValues"], "2020-01-01")
    elif what == "size":
        add["size"] += draw.randrange(1, 9)
    else:
        add["stats"] = add["stats"].replace('"numRecords":', '"numRecords":1')
    replaced(path, "".join(f"{json.dumps(a)}\n" for a in actions).encode())


def break_checkpoint(project: Project, table: str, draw: random.Random) -> None:
    """Damage a summary of the log, or what says where it is."""
    path = next(log(project, table).glob("*.checkpoint.parquet"))
    which = draw.randrange(4)
    if which == 0:
        truncate(path, draw)
    elif which == 1:
        path.unlink()
    elif which == 2:
        scramble(path, draw)
    else:
        replaced(path.with_name("_last_checkpoint"), b"{")


LOGS: Mapping[str, Callable[[Project, str, random.Random], Any]] = {
    "foreign add": add_foreign,
    "zero entry": zero,
    "torn entry": tear,
    "beheaded entry": behead,
    "middle entry dropped": drop_middle,
    "last entry dropped": drop_last,
    "entry duplicated": duplicate,
    "entry edited": edit,
    "checkpoint": break_checkpoint,
}
LOGS_OF = {"delta": LOGS, "iceberg": METADATA}


def kinds(project: Project) -> tuple[str, ...]:
    """Return all kinds of changes to tables of the project's format."""
    return (*FILES, "swap", *LOGS_OF[project.format])


def tamper(project: Project, kind: str, draw: random.Random) -> Change:
    """Make one change of a kind to a table, both drawn."""
    table = draw.choice(TABLES)
    is_bronze = table.startswith("bronze")
    if kind in FILES:
        FILES[kind](draw.choice(data_files(project, table)), draw)
        return Change(kind, table, kind in ("flip", "same size"), is_bronze)
    if kind == "swap":
        return Change(kind, table, not swap(project, table, draw), is_bronze)
    if kind == "checkpoint":
        DeltaTable(str(project.folder(table))).create_checkpoint()
    LOGS_OF[project.format][kind](project, table, draw)
    return Change(kind, table, False, is_bronze)


def data_files(project: Project, table: str) -> list[Path]:
    """Return the live files of a table."""
    return sorted(map(Path, project.lakehouse.files(table)))


def log(project: Project, table: str) -> Path:
    """Return the folder of a table's log."""
    return project.folder(table) / "_delta_log"


def entries(project: Project, table: str) -> list[Path]:
    """Return the entries of a table's log."""
    return sorted(log(project, table).glob("*.json"))


def newest(project: Project, table: str) -> int:
    """Return the number of the newest entry."""
    return int(entries(project, table)[-1].stem)


def adds(project: Project, table: str) -> list[dict[str, Any]]:
    """Return every file that any entry adds."""
    lines = [line for path in entries(project, table) for line in path.read_text().splitlines()]
    return [action["add"] for action in map(json.loads, lines) if "add" in action]


def write_entry(project: Project, table: str, version: int, actions: list[dict[str, Any]]) -> None:
    """Write an entry of the log."""
    text = "".join(f"{json.dumps(action)}\n" for action in actions)
    (log(project, table) / f"{version:020d}.json").write_text(text)


def linked(project: Project, root: Path) -> Project:
    """Return a copy whose data files are hard links; state and logs are copies."""

    def link(source: str, target: str) -> object:
        if source.endswith(".parquet") and "_delta_log" not in source:
            return os.link(source, target)
        return shutil.copy2(source, target)

    if project.format == "iceberg":  # its places are absolute
        return project.clone(root)
    shutil.copytree(project.root, root, copy_function=link)
    copy = Project(root, factor=project.factor, version=project.version, lines=list(project.lines))
    copy.ticks = project.ticks
    return copy
