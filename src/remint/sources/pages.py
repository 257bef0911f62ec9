"""Pages of a JSON API: one cursor after another, each page checked as a whole before any of its records exists.

Rules: a page that is not what the declaration says is refused, never taken for the end of the data; records are handed
on as they were written, numbers to the digit, so that one place decides what a row may hold.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

from remint.errors import MissingCredential, SourceRejected, UsageError
from remint.model.dataset import PageSource
from remint.sources.base import Page
from remint.sources.decoding import Decoder

if TYPE_CHECKING:
    from remint.sources.transport import Reply, Transport

EMPTY_PAGES = 100
"""So many pages without a record, one after another, are no progress."""
_CONTENT_BYTES = 256 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_CURSOR_CHARACTERS = 4096
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_ENVIRONMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A run of pages: where it begins and ends."""

    start: str | None = None
    """Cursor of the first page; None: the first page that there is."""
    end: str | None = None
    """Cursor at which to stop; its page is not read. None: the end of the data."""
    since: str | None = None
    """First instant, for APIs that take windows."""
    until: str | None = None
    """The instant at which the window ends."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its members in order, repeated ones too."""

    __slots__ = ()


class PageReader:
    """The pages of one source, for one run."""

    def __init__(self, source: PageSource, transport: Transport) -> None:
        self._source = source
        self._transport = transport

    def __enter__(self) -> PageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def pages(self, stretch: Stretch, *, at: str | None, seen: Iterable[str | None] = ()) -> Iterator[Page]:
        """Give the pages from the cursor ``at`` to the end of ``stretch``; each is read when it is asked for.

        Args:
            stretch: where to stop, and in which window.
            at: cursor of the first page to read: the stretch's own, or where an earlier attempt stood.
            seen: cursors whose pages an earlier attempt read.

        Raises:
            SourceUnavailable: a page could not be had.
            SourceRejected: a page is not one, leads nowhere new, or the data ends before ``stretch.end``.
        """
        known, empty = set(seen), 0
        while True:
            known.add(at)
            page = self._read(stretch, at)
            empty = 0 if page.rows else empty + 1
            self._require_progress(page, known, empty)
            reached = stretch.end is not None and page.next_cursor == stretch.end
            if page.is_last and stretch.end is not None and not reached:
                raise SourceRejected(
                    f"{page.uri}: expected the cursor {stretch.end!r} to come, found the end of the data",
                    hint="check --to-cursor; without it, everything to the end is read",
                )
            if reached or page.is_last:
                yield page.as_last()
                return
            yield page
            at = page.next_cursor

    def _require_progress(self, page: Page, known: set[str | None], empty: int) -> None:
        if page.is_last:
            return
        if page.next_cursor == page.cursor:
            found = "it names itself as the next one"
        elif page.next_cursor in known:
            found = f"it leads back to the cursor {page.next_cursor!r}, which was read before"
        elif empty >= EMPTY_PAGES:
            found = f"{empty} pages in a row hold no record and name a next one"
        else:
            return
        raise SourceRejected(
            f"{page.uri}: expected a page that leads on, found no progress: {found}",
            hint="check next_cursor= and cursor_param= against the description of the API",
        )

    # -- One page ------------------------------------------------------------------------------------------------

    def _uri(self, stretch: Stretch, cursor: str | None) -> str:
        source = self._source
        query = list(source.params)
        query += [(source.since_param, stretch.since)] if source.since_param and stretch.since else []
        query += [(source.until_param, stretch.until)] if source.until_param and stretch.until else []
        query += [(source.page_size_param, str(source.page_size))] if source.page_size else []
        query += [(source.cursor_param, cursor)] if cursor is not None else []
        return f"{source.url}?{urlencode(query)}" if query else source.url

    def _read(self, stretch: Stretch, cursor: str | None) -> Page:
        uri = self._uri(stretch, cursor)
        reply = self._transport.get(uri)
        text = _text(uri, reply)
        if self._transport.repeats_secret(text):
            raise SourceRejected(
                f"{uri}: the page repeats a credential that was sent with the request",
                hint="nothing of it is kept; have the API mended, then change the credential",
            )
        envelope = _parsed(uri, text, reply.content_type)
        records = self._records(uri, envelope)
        next_cursor, is_last = self._next(uri, envelope, len(records), is_first=cursor is None)
        return Page(
            uri=uri,
            cursor=cursor,
            next_cursor=next_cursor,
            is_last=is_last,
            rows=len(records),
            content="".join(f"{_written(record)}\n" for record in records).encode(),
            sha256=hashlib.sha256(reply.body).hexdigest(),
            size_bytes=len(reply.body),
        )

    def _records(self, uri: str, envelope: _Object) -> list[Any]:
        found, is_there, beside = _at(uri, envelope, self._source.records)
        if not is_there:
            raise SourceRejected(
                f"{uri}: expected records at {self._source.records}, found nothing there, but {beside}",
                hint="correct records= in the declaration",
            )
        if not isinstance(found, list) or isinstance(found, _Object):
            raise SourceRejected(
                f"{uri}: expected a list of records at {self._source.records}, found {_kind(found)}",
                hint="correct records= in the declaration",
            )
        return found

    def _next(self, uri: str, envelope: _Object, rows: int, *, is_first: bool) -> tuple[str | None, bool]:
        """Return the cursor of the next page, and whether this is the last one."""
        path, size = self._source.next_cursor, self._source.page_size
        found, is_there, beside = _at(uri, envelope, path)
        cursor = self._cursor(uri, path, found)
        if self._source.has_more is not None:
            more, _, _ = _at(uri, envelope, self._source.has_more)
            if not isinstance(more, bool):
                raise SourceRejected(
                    f"{uri}: expected true or false at {self._source.has_more}, found {_kind(more)}",
                    hint="correct has_more= in the declaration",
                )
            if more and cursor is None:
                raise SourceRejected(
                    f"{uri}: expected a cursor at {path}, because {self._source.has_more} is true, found none",
                    hint="correct next_cursor= in the declaration",
                )
            return cursor, not more
        if is_first and not is_there and size is not None and rows >= size:
            # A misspelt path would look like this, and all pages but the first would silently be missing.
            raise SourceRejected(
                f"{uri}: expected a cursor at {path}, because the page is full ({rows:,} records), found nothing "
                f"there, but {beside}",
                hint="correct next_cursor= in the declaration",
            )
        return cursor, cursor is None

    def _cursor(self, uri: str, path: str, found: Any) -> str | None:
        if found is None or found == "":
            return None
        is_text = isinstance(found, str) and found.isprintable() and len(found) <= _CURSOR_CHARACTERS
        if not is_text or self._transport.repeats_secret(found):
            raise SourceRejected(
                f"{uri}: expected a cursor at {path}: printable text, or a number; found {_kind(found)} that is none",
                hint="correct next_cursor= in the declaration",
            )
        return str(found)


def open_pages(source: PageSource, credential: Callable[[str], str | None]) -> PageReader:
    """Return a reader of the source's pages; nothing is sent yet.

    Args:
        source: as declared.
        credential: gives the value of an environment variable, None where it is not set.

    Raises:
        MissingCredential: a variable that the declaration names is not set or cannot be sent.
        UsageError: urllib3 is not installed.
    """
    try:
        from remint.sources.transport import Transport  # noqa: PLC0415 - an extra: most projects read files
    except ModuleNotFoundError as error:
        if error.name != "urllib3":
            raise
        raise UsageError(
            "http_pages(...) needs urllib3, which is not installed", hint='pip install "remint[http]"'
        ) from None
    values = {name: _credential(name, credential) for name in credential_names(source)}
    headers = {h: _ENVIRONMENT.sub(lambda m: values[m[1]], text) for h, text in source.headers}
    return PageReader(source, Transport(source, headers, tuple(values.values())))


def credential_names(source: PageSource) -> tuple[str, ...]:
    """Return the environment variables that the source's headers name, sorted."""
    return tuple(sorted({name for _, text in source.headers for name in _ENVIRONMENT.findall(text)}))


def _credential(name: str, credential: Callable[[str], str | None]) -> str:
    value = credential(name)
    if not value:
        raise MissingCredential(
            f"the environment variable {name}, which headers_env= names, is {'not set' if value is None else 'empty'}",
            hint=f"set {name}, then run the command again",
        )
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise MissingCredential(
            f"the value of the environment variable {name} cannot be sent in a header: expected printable ASCII "
            "without spaces around it or line ends",
            hint=f'a newline at its end is the likeliest: export {name}="$(cat file)"',
        )
    return value


def _text(uri: str, reply: Reply) -> str:
    """Return the body as text: gzip undone and verified, proven to be UTF-8."""
    decoder, found, size = Decoder(uri, "json"), [], 0
    body = reply.body
    for start in range(0, len(body), _BLOCK_BYTES):
        for piece in decoder.feed(body[start : start + _BLOCK_BYTES]):
            found.append(piece)
            size += len(piece)
            if size > _CONTENT_BYTES:
                raise SourceRejected(
                    f"{uri}: expected a page of at most {_CONTENT_BYTES:,} bytes unpacked, found more",
                    hint="lower page_size=",
                )
    found += decoder.close()
    return b"".join(found).decode()


def _parsed(uri: str, text: str, content_type: str) -> _Object:
    start = text.lstrip()[:1]
    if content_type in ("text/html", "application/xhtml+xml") or start == "<":
        raise SourceRejected(
            f"{uri}: expected JSON, found a page of HTML",
            hint="an error page or a login form answers so with status 200; open the URL as the program does",
        )
    try:
        parsed = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        cut = "; the body seems cut" if is_cut else ""
        raise SourceRejected(
            f"{uri}: expected JSON, found none: {error.msg} at character {error.pos + 1:,} of {len(text):,}{cut}",
            hint="open the URL as the program does; what is there now is read by: remint resume RUN",
        ) from None
    except (_BareWord, RecursionError) as error:
        found = f"the bare word {error}" if isinstance(error, _BareWord) else "one nested too deeply"
        raise SourceRejected(f"{uri}: expected JSON, found none: {found}", hint="have the API mended") from None
    if not isinstance(parsed, _Object):
        raise SourceRejected(
            f"{uri}: expected a JSON object around the records, found {_kind(parsed)}",
            hint="http_pages needs an object that holds the records and the next cursor",
        )
    return parsed


class _BareWord(ValueError):
    """NaN or Infinity, which Python would read and JSON does not know."""


def _refuse_constant(text: str) -> NoReturn:
    raise _BareWord(text)


def _at(uri: str, envelope: _Object, path: str) -> tuple[Any, bool, str]:
    """Return what stands at a dotted path, whether anything does, and the names beside the step that failed."""
    found: Any = envelope
    for step in path.split("."):
        if not isinstance(found, _Object):
            return None, False, _kind(found)
        members = [value for name, value in found if name == step]
        if len(members) > 1:
            raise SourceRejected(
                f"{uri}: expected every key once, found {step!r} {len(members)} times on the way to {path}",
                hint="readers disagree on which one counts; have the API mended",
            )
        if not members:
            names = sorted({name for name, _ in found if name.isprintable()})
            return None, False, ", ".join(names[:10]) or "an empty object"
        found = members[0]
    return found, True, ""


def _kind(value: Any) -> str:
    match value:
        case _Object():
            return "an object"
        case list():
            return "a list"
        case _Number():
            return "a number"
        case str():
            return "text"
        case bool():
            return "true or false"
        case _:
            return "null"


def _written(value: Any) -> str:
    """Return a parsed value as JSON on one line: numbers, order and repeated keys as they were."""
    match value:
        case _Object():
            return "{" + ",".join(f"{_quoted(name)}:{_written(v)}" for name, v in value) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _Number():
            return str(value)
        case str():
            return _quoted(value)
        case _:
            return "null" if value is None else "true" if value else "false"


def _quoted(text: str) -> str:
    """Return a JSON string; one with half a surrogate pair stays escaped, because UTF-8 cannot hold it."""
    quoted = _ENCODER.encode(text)
    return quoted if quoted.isascii() or not any("\ud800" <= c <= "\udfff" for c in quoted) else json.dumps(text)
