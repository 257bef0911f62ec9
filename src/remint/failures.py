"""What the machine under remint refuses, in remint's words: a full disk, a file not permitted, no memory.

Python, DuckDB and delta-rs each say it in their own way, and each wraps what the system said; so the whole chain of
an error is looked through, by number where there is one, else by the words of the C library.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from remint.errors import DiskFailed, DiskFull, NotPermitted, OutOfMemory, RemintError

_OS_ERROR = re.compile(r"os error (\d+)")
_WORDS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Input/output error": errno.EIO,
    "Permission denied": errno.EACCES,
    "Operation not permitted": errno.EPERM,
    "Read-only file system": errno.EROFS,
    "Too many open files": errno.EMFILE,
    "Cannot allocate memory": errno.ENOMEM,
    "memory allocation of": errno.ENOMEM,
    "failed to map segment from shared object": errno.ENOMEM,
    "cannot allocate memory in static TLS block": errno.ENOMEM,
    "can't start new thread": errno.EAGAIN,
    "Resource temporarily unavailable": errno.EAGAIN,
    "Stale file handle": errno.ESTALE,
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_OUT_OF_MEMORY = frozenset({"MemoryError", "OutOfMemoryException", "ArrowMemoryError"})
_AGAIN = "remint status    # what is outstanding, and the command that goes on"
_LONGEST = 400


def machine_failure(error: BaseException, again: str = _AGAIN) -> RemintError | None:
    """Return the error that says what the machine refused; None where it refused nothing.

    Args:
        error: with its whole chain of causes.
        again: the next command, once the cause is mended.
    """
    for link in _chain(error):
        if type(link).__name__ in _OUT_OF_MEMORY:
            return _out_of_memory(link, again)
        number = _number(link)
        if number is not None:
            return _of_number(number, link, again)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return None if error.errno in _ABSENT else error.errno
    if isinstance(error, RemintError):
        return None
    text = str(error)
    if found := _OS_ERROR.search(text):
        number = int(found[1])
        return None if number in _ABSENT else number
    return next((number for words, number in _WORDS.items() if words in text), None)


def _of_number(number: int, error: BaseException, again: str) -> RemintError:
    said = _said(error)
    if number in _FULL:
        return DiskFull(f"no room left on the disk: {said}", hint=f"make room, then: {again}")
    if number in _DENIED:
        return NotPermitted(f"not permitted: {said}", hint=f"give this user the right to write there, then: {again}")
    if number in (errno.ENOMEM, errno.EAGAIN):
        return _out_of_memory(error, again)
    if number in (errno.EMFILE, errno.ENFILE):
        return DiskFailed(f"too many open files: {said}", hint=f"raise the limit (ulimit -n), then: {again}")
    return DiskFailed(f"the disk or the system refused: {said}", hint=f"mend the cause, then: {again}")


def _out_of_memory(error: BaseException, again: str) -> RemintError:
    return OutOfMemory(
        f"not enough memory: {_said(error)}",
        hint="lower [engine] batch_rows or threads, or raise memory_limit where the machine has more; then: " + again,
    )


def _said(error: BaseException) -> str:
    """Return what a library said, on one line and not too long."""
    text = " ".join(str(error).split("\n\n", 1)[0].split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
