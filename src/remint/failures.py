"""What the machine under remint refuses, in remint's words: a full disk, a file not permitted, no memory.

Python, DuckDB and delta-rs each say it in their own way, and each wraps what the system said; so the whole chain of
an error is looked through, by number where there is one, else by the words of the C library.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence

from remint.errors import (
    DiskFailed,
    DiskFull,
    NotPermitted,
    OutOfMemory,
    RemintError,
    StorageRefused,
    StorageUnavailable,
)

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
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "unable to open database file": errno.EACCES,
    "attempt to write a readonly database": errno.EROFS,
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_OUT_OF_MEMORY = frozenset({"MemoryError", "OutOfMemoryException", "ArrowMemoryError"})
_UNREACHABLE = frozenset(
    {
        "ClientConnectorError",
        "ClientOSError",
        "ClientPayloadError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseParserError",
        "ResponseStreamingError",
        "SSLError",
        "ServerDisconnectedError",
        "ServerTimeoutError",
    }
)
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
_FORBIDDEN = 403
_BOTO_ANSWER = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation")
_BOTO_SILENCE = re.compile(rf"\b({'|'.join(sorted(_UNREACHABLE))})\b")
_STATUS = {
    "NoSuchKey": 404,
    "NotFound": 404,
    "PreconditionFailed": 412,
    "InternalError": 500,
    "NoSuchBucket": _FORBIDDEN,
    "RequestTimeout": 408,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
    "TooManyRequests": 429,
}
_S3FS_SAID = re.compile(r"/s3fs/core\.py\", line \d+, in \w+\s+(\w*Error)(?:: \[Errno (\d+)\])?")
"""The last lines of a traceback that an engine passes on as text: s3fs has its own error for each code of an answer."""
_RUST_REQUEST = re.compile(r"Error performing ([A-Z]+) (\S+)")
_RUST_BROKE_OFF = "error reading a body from connection"
_RUST_STATUS = re.compile(r"\b([345]\d\d) [A-Z]")
_ANSI = re.compile("\x1b\\[[0-9;]*m")
_NO_FAILURE = frozenset({404, 409, 412})
"""Answers that say what is there, and not that something went wrong."""
_LATER = frozenset({408, 429})
_OWN_FAULT = 500
_AGAIN = "remint status    # what is outstanding, and the command that goes on"
_LONGEST = 400


def machine_failure(error: BaseException, again: str = _AGAIN) -> RemintError | None:
    """Return the error that says what the machine refused; None where it refused nothing.

    Args:
        error: with its whole chain of causes.
        again: the next command, once the cause is mended.
    """
    said = _of_bucket(list(_chain(error)), again)
    if said is not None:
        return said
    for link in _chain(error):
        if type(link).__name__ in _OUT_OF_MEMORY:
            return _out_of_memory(link, again)
        number = _number(link)
        if number is not None:
            return _of_number(number, link, again)
    return None


def broke_off(error: BaseException) -> bool:
    """Return whether an answer of a bucket ended before its end: what was only read may be asked for again."""
    return any(_RUST_BROKE_OFF in str(link) for link in _chain(error))


def _of_bucket(links: Sequence[BaseException], again: str) -> RemintError | None:
    """Return what an object store refused, without what its answer holds: that may name an access key."""
    for link in links:
        status, words = None, ""
        if isinstance(answer := getattr(link, "response", None), dict) and "ResponseMetadata" in answer:
            status = answer["ResponseMetadata"].get("HTTPStatusCode", 0)
            code = answer["Error"].get("Code")
            words = f"{getattr(link, 'operation_name', 'request')} is answered {status} {code}"
            status = _FORBIDDEN if code == "NoSuchBucket" else status
        elif type(link).__name__ in _UNREACHABLE:
            words = f"it does not answer: {type(link).__name__}"
        elif type(link).__name__ in _NO_CREDENTIALS:
            status, words = _FORBIDDEN, f"no credentials: {type(link).__name__}"
        elif found := _BOTO_ANSWER.search(str(link)):  # an engine passes on what Python said as text
            status = int(found[1]) if found[1].isdecimal() else _STATUS.get(found[1], _FORBIDDEN)
            words = f"{found[2]} is answered {found[1]}"
        elif found := _S3FS_SAID.search(str(link)):
            status = {"FileNotFoundError": 404, "PermissionError": _FORBIDDEN}.get(found[1])
            is_busy = found[2] == str(errno.EBUSY)
            words = "it answers that it is busy" if is_busy else f"an answer is an error ({found[1]})"
        elif found := _BOTO_SILENCE.search(str(link)):
            words = f"it does not answer: {found[1]}"
        elif found := _RUST_REQUEST.search(_ANSI.sub("", str(link))):
            answered = _RUST_STATUS.search(_ANSI.sub("", str(link)))
            status = int(answered[1]) if answered else None
            words = f"{found[1]} of {found[2]} " + (f"is answered {status}" if status else "is not answered")
        elif _RUST_BROKE_OFF in str(link):
            words = "an answer broke off"
        if words and status in _NO_FAILURE:
            return None
        if words and (status is None or status >= _OWN_FAULT or status in _LATER):
            hint = f"nothing is lost; once it answers: {again}"
            return StorageUnavailable(f"the bucket of the tables failed at every try: {words}", hint=hint)
        if words:
            hint = f"give these credentials the right to read, write, list and delete there; then: {again}"
            return StorageRefused(f"the bucket of the tables refused: {words}", hint=hint)
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
