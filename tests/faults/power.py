"""What a power failure leaves: everything that was not synced is taken back, as the log of the failpoints tells.

The model is that of POSIX, which promises less than any file system keeps: a file's content survives once the file was
synced, a name (made, linked, moved or removed) once its folder was. Order between files is not kept.
"""

from __future__ import annotations

import os
import shutil
from enum import StrEnum
from pathlib import Path

Line = tuple[str, ...]


class Loss(StrEnum):
    """Which un-synced effects are gone."""

    ALL = "all"
    """Names and contents."""
    EMPTIED = "emptied"
    """Contents; the names survived by chance."""
    HALVED = "halved"
    """Of every un-synced content, the second half."""
    LAST = "last"
    """The content of the file that was written last."""


def lose(root: Path, log: tuple[Line, ...], loss: Loss) -> int:
    """Bring ``root`` into a state in which the power failure could have left it; return how much was lost."""
    names: list[tuple[str, str, str]] = []
    contents: dict[int, str] = {}
    for kind, *fields in log:
        if kind == "N":
            names.append((fields[0], fields[1], fields[2]))
        elif kind == "Y":
            names = [name for name in names if os.path.dirname(name[1]) != fields[1]]
        elif kind == "D":
            contents[int(fields[0])] = fields[2]
        elif kind == "S":
            contents.pop(int(fields[0]), None)
    if loss is Loss.LAST:
        contents = dict([*contents.items()][-1:])
    places = _places(root, contents)
    lost = [inode for inode in contents if places.get(inode)]
    for inode in lost:
        _revert(places[inode], contents[inode], loss)
    if loss is not Loss.ALL:
        return len(lost)
    for what, path, other in reversed(names):
        _undo(what, path, other)
    return len(lost) + len(names)


def _places(root: Path, inodes: dict[int, str]) -> dict[int, str]:
    """Return one path of every inode, also of those that were unlinked and are kept beside."""
    found: dict[int, str] = {}
    shadows = {os.path.dirname(shadow) for shadow in inodes.values() if shadow != "-"}
    for folder in (str(root), *shadows):
        for at, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(at, name)
                found.setdefault(os.lstat(path).st_ino, path)
    return found


def _revert(path: str, shadow: str, loss: Loss) -> None:
    synced = b"" if shadow == "-" else Path(shadow).read_bytes()
    if loss is Loss.HALVED:
        whole = Path(path).read_bytes()
        keep = (len(synced) + len(whole)) // 2 if len(whole) > len(synced) else len(synced)
        synced = synced if len(whole) <= len(synced) else whole[:keep]
    with open(path, "r+b") as file:
        file.truncate()
        file.write(synced)


def _undo(what: str, path: str, other: str) -> None:
    match what:
        case "create":
            if os.path.lexists(path):
                os.unlink(path)
        case "mkdir":
            shutil.rmtree(path, ignore_errors=True)
        case "rmdir":
            os.makedirs(path, exist_ok=True)
        case "unlink":
            if other != "-" and not os.path.lexists(path) and os.path.isdir(os.path.dirname(path)):
                os.link(other, path)
        case "rename":
            if os.path.lexists(path) and os.path.isdir(os.path.dirname(other)):
                os.rename(path, other)
