"""Files of a source: which there are, and a checked local copy of one.

Rules: every byte is read once, hashed and checked on the way; a file is refused as a whole, by name, before any of its
rows exists; nothing but a regular file is ever opened.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

import fsspec

from remint.errors import SourceRejected, SourceUnavailable
from remint.model.dataset import DATE_PLACEHOLDER, FileSource
from remint.sources.base import Fetched, SourceFile
from remint.sources.decoding import Decoder

_BLOCK_BYTES = 1 << 20
_DATE_GLOB = "-".join("[0-9]" * digits for digits in (4, 2, 2))
_IGNORED_ENDINGS = (".crc", ".tmp")
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def discover(source: FileSource, project_root: Path) -> tuple[SourceFile, ...]:
    """Return the files that the source's URL matches, by uri.

    Names that start with ``.`` or ``_`` and names that end in ``.crc`` or ``.tmp`` belong to writers and are left out.

    Raises:
        SourceRejected: something that matches is no regular file, lies outside through a link, is named for a day
            that is not in the calendar, or cannot be listed.
        SourceUnavailable: the folder in which the files are expected is gone.
    """
    url = source.url.removeprefix("file://")
    found = _remote_files(source) if "://" in url else _local_files(source, url, project_root)
    files = tuple(sorted(found, key=lambda f: f.uri))
    if not files and not glob.has_magic(url) and not source.says_days:
        raise SourceRejected(
            f"{source.url}: expected a file, found nothing", hint="correct the URL of the source, or bring the file"
        )
    return files


def _local_files(source: FileSource, pattern: str, project_root: Path) -> Iterator[SourceFile]:
    root = project_root.resolve()
    fixed = Path(*_fixed_parts(pattern))
    base = (root / fixed).resolve()
    if not base.is_dir() and glob.has_magic(pattern):
        raise SourceUnavailable(
            f"{source.url}: the folder {base} is not there",
            hint="bring it back (is its disk mounted?), or correct the URL of the source; then: remint ingest",
        )
    for match in glob.glob(pattern.replace(DATE_PLACEHOLDER, _DATE_GLOB), root_dir=root, recursive=True):
        path = root / match
        if _is_ignored(Path(match).relative_to(fixed).parts):
            continue
        uri = _local_uri(path, root)
        resolved = _resolved(path, base, uri)
        status = resolved.stat()
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "")
        if kind == "a directory" and pattern.endswith("**"):
            continue
        if kind:
            raise SourceRejected(
                f"{uri}: expected a regular file, found {kind}",
                hint="move it away, or narrow the URL of the source, for example to *.jsonl",
            )
        yield SourceFile(
            uri=uri,
            location=str(resolved),
            format=source.format,
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            day=_day_of(pattern, match, uri),
        )


def _fixed_parts(pattern: str) -> list[str]:
    """Return the leading folders of a pattern that match nothing but themselves."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part) or DATE_PLACEHOLDER in part:
            break
        fixed.append(part)
    return fixed


def _is_ignored(parts: tuple[str, ...]) -> bool:
    return any(p.startswith((".", "_")) for p in parts) or (bool(parts) and parts[-1].endswith(_IGNORED_ENDINGS))


def _local_uri(path: Path, root: Path) -> str:
    uri = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise SourceRejected(
            f"{uri!r}: expected a file name in UTF-8, found other bytes", hint="rename the file"
        ) from None
    return uri


def _resolved(path: Path, base: Path, uri: str) -> Path:
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise SourceRejected(
            f"{uri}: expected a file, found a link that leads nowhere ({error})", hint="remove or correct the link"
        ) from None
    if not resolved.is_relative_to(base):
        raise SourceRejected(
            f"{uri}: expected a file below {base}, found a link to {resolved}",
            hint="copy the file into the source's folder, or name its real folder in the source's URL",
        )
    return resolved


def _remote_files(source: FileSource) -> Iterator[SourceFile]:
    try:
        system, pattern = fsspec.core.url_to_fs(source.url)
        system.invalidate_cache()
        found: Mapping[str, Mapping[str, Any]] = system.glob(pattern.replace(DATE_PLACEHOLDER, _DATE_GLOB), detail=True)
    except (OSError, ImportError, ValueError) as error:
        raise SourceRejected(
            f"{source.url}: cannot be listed: {error}", hint="check the URL, and that its fsspec driver is installed"
        ) from error
    fixed = "/".join(_fixed_parts(pattern))
    for name, info in found.items():
        below = tuple(p for p in name.removeprefix(fixed).split("/") if p)
        if info.get("type") != "file" or _is_ignored(below):
            continue
        url = str(system.unstrip_protocol(name))
        yield SourceFile(
            uri=url,
            location=url,
            format=source.format,
            size_bytes=int(info.get("size") or 0),
            mtime_ns=_changed_ns(info),
            day=_day_of(pattern, name, url),
        )


def _day_of(pattern: str, name: str, uri: str) -> str | None:
    """Return the day that a file is for, by the place of ``{date}`` in the pattern that its name matches."""
    if DATE_PLACEHOLDER not in pattern:
        return None
    found = re.fullmatch(_name_pattern(pattern), name)
    day = found[1] if found else ""
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        raise SourceRejected(
            f"{uri}: expected a day of the calendar in place of {DATE_PLACEHOLDER}, found {day!r}",
            hint="rename the file to the day that it is for",
        ) from None


def _name_pattern(pattern: str) -> str:
    """Return the regular expression of the names that a pattern matches, the day as its only group."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", DATE_PLACEHOLDER: r"(\d{4}-\d{2}-\d{2})"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{date\})", pattern)
    return "".join(known.get(p) or (p if p.startswith("[") else re.escape(p)) for p in parts)


def _changed_ns(info: Mapping[str, Any]) -> int:
    for name in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1_000_000) * 1000
        if isinstance(value, int | float):
            return int(value * 1_000_000) * 1000
    return 0


def fetch(file: SourceFile, folder: Path) -> Fetched:
    """Return a checked copy of the file in ``folder``.

    Gzip is recognised by the file's first bytes, every member's CRC and length are verified. Text is checked to be
    UTF-8; Parquet to begin and end as Parquet does.

    Raises:
        SourceRejected: damaged, not of its format, or changed since it was listed; the copy is not to be used.
    """
    path = folder / f"{hashlib.sha256(file.uri.encode()).hexdigest()[:16]}.{file.format}"
    digest = hashlib.sha256()
    size = 0
    with _opened(file) as raw, path.open("wb") as copy:
        decoder = Decoder(file.uri, file.format)
        while block := raw.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            for piece in decoder.feed(block):
                copy.write(piece)
        for piece in decoder.close():
            copy.write(piece)
    if size != file.size_bytes:
        raise _unsettled(file, f"{size:,} bytes")
    return Fetched(path=path, sha256=digest.hexdigest(), size_bytes=size)


@contextmanager
def _opened(file: SourceFile) -> Iterator[IO[bytes]]:
    """Open the file, and refuse it when it is not, before and after, what was listed."""
    try:
        with _opened_remote(file) if "://" in file.location else _opened_local(file) as raw:
            yield raw
    except OSError as error:
        raise SourceRejected(
            f"{file.uri}: cannot be copied: {error}",
            hint="check that it still exists and may be read, and that there is room for a copy",
        ) from error


@contextmanager
def _opened_local(file: SourceFile) -> Iterator[IO[bytes]]:
    # A FIFO put in the file's place since the listing must not block the open.
    handle = os.open(file.location, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with open(handle, "rb", buffering=0) as raw:
        _require_settled(file, handle)
        yield raw
        _require_settled(file, handle)


def _require_settled(file: SourceFile, handle: int) -> None:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise SourceRejected(
            f"{file.uri}: expected a regular file, found something else in its place",
            hint="put the file back that was there when the source was listed",
        )
    if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
        raise _unsettled(file, f"{status.st_size:,} bytes")


@contextmanager
def _opened_remote(file: SourceFile) -> Iterator[IO[bytes]]:
    system, name = fsspec.core.url_to_fs(file.location)
    with system.open(name, "rb") as raw:
        yield raw
    system.invalidate_cache()
    info = system.info(name)
    if (int(info.get("size") or 0), _changed_ns(info)) != (file.size_bytes, file.mtime_ns):
        raise _unsettled(file, f"{info.get('size')} bytes")


def _unsettled(file: SourceFile, found: str) -> SourceRejected:
    return SourceRejected(
        f"{file.uri}: still being written: {file.size_bytes:,} bytes when it was listed, {found} now or another time "
        "of change",
        hint="ingest again when its writer is done; writers should write under another name and rename",
    )
