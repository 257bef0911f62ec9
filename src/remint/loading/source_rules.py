"""Rules that the declaration of a source must meet by itself: addresses, parameters, headers, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, assert_never
from urllib.parse import urlsplit

from remint.model.dataset import DATE_PLACEHOLDER, FileSource, PageSource, Source

_FORMATS = ("jsonl", "csv", "parquet")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"(?:[A-Za-z][A-Za-z0-9+-]* )?\{[A-Za-z_][A-Za-z0-9_]*\}")
_OURS = {"host", "content-length", "accept-encoding", "connection", "transfer-encoding"}
_CREDENTIAL = re.compile(r"(api|access|auth|bearer|client|private|secret)?[_-]?(key|token|secret|password|passwd|auth)")
_LOCAL = {"localhost", "127.0.0.1", "::1"}

Problem = tuple[str, str | None]
"""What is wrong, and what to write instead."""


def source_problems(source: Source) -> Iterator[Problem]:
    """Yield all that is wrong with a source, without its contract."""
    match source:
        case FileSource():
            yield from _file_problems(source)
        case PageSource():
            yield from _page_problems(source)
        case _:
            assert_never(source)


def _file_problems(source: FileSource) -> Iterator[Problem]:
    if source.format not in _FORMATS:
        yield f"format {source.format!r} is none of {', '.join(_FORMATS)}", None
    unknown = [p for p in _PLACEHOLDER.findall(source.url) if p != DATE_PLACEHOLDER]
    if unknown or source.url.count(DATE_PLACEHOLDER) > 1:
        found = ", ".join(unknown) or f"{DATE_PLACEHOLDER} more than once"
        yield f"the URL of files(...) knows {DATE_PLACEHOLDER}, once; found {found}", 'files("landing/{date}/*.jsonl")'


def _page_problems(source: PageSource) -> Iterator[Problem]:
    mistyped = list(_types(source))
    yield from mistyped
    if mistyped:
        return
    yield from _address(source)
    yield from _parameters(source)
    yield from _headers(source)
    for name in ("records", "next_cursor", "has_more"):
        path = getattr(source, name)
        if path is not None and not _PATH.fullmatch(path):
            yield f"{name}={path!r} is no dotted path", f'{name}="meta.{name}"'


def _types(source: PageSource) -> Iterator[Problem]:
    for name in ("url", "records", "next_cursor", "cursor_param", "page_size_param"):
        if not isinstance(getattr(source, name), str):
            yield f"{name}={getattr(source, name)!r} must be text", None
    for name in ("has_more", "since_param", "until_param"):
        if not isinstance(getattr(source, name), str | None):
            yield f"{name}={getattr(source, name)!r} must be text", None
    for name, least in (("window_days", 1), ("page_size", 1), ("retries", 0)):
        value = getattr(source, name)
        if not (_is_number(value, int) and value >= least) and not (name == "page_size" and value is None):
            yield f"{name}={value!r} must be a whole number of at least {least}", None
    for name in ("timeout_s", "budget_s"):
        value = getattr(source, name)
        if not (_is_number(value, int | float) and 0 < value < float("inf")):
            yield f"{name}={value!r} must be a number of seconds above 0", None


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _address(source: PageSource) -> Iterator[Problem]:
    example = 'http_pages("https://api.example.com/2/posts", ...)'
    try:
        parts = urlsplit(source.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", source.url):
        yield "the URL of http_pages(...) must be an http or https address", example
        return
    if "@" in parts.netloc:
        yield "the URL holds a user name or password, which would be stored and shown", "use headers_env="
    elif parts.query or parts.fragment:
        yield "the URL holds a query or fragment", "write it as params={...}"
    elif source.headers and parts.scheme == "http" and parts.hostname not in _LOCAL:
        yield f"credentials would go over plain http to {parts.hostname}", "use https"


def _parameters(source: PageSource) -> Iterator[Problem]:
    if (source.since_param is None) is not (source.until_param is None):
        yield "since_param= and until_param= come together: a window has two ends", None
    names = [source.cursor_param, source.since_param, source.until_param, *(name for name, _ in source.params)]
    names += [source.page_size_param] if source.page_size else []
    given = [n for n in names if n is not None]
    if "" in given:
        yield "a query parameter has no name", None
    twice = sorted({n for n in given if given.count(n) > 1})
    if twice:
        yield f"the query parameter {', '.join(twice)} is given twice", None
    for name in (n for n, _ in source.params if _CREDENTIAL.fullmatch(n.lower())):
        yield f"params={{{name!r}: ...}} looks like a credential, which would be stored and shown", "use headers_env="


def _headers(source: PageSource) -> Iterator[Problem]:
    names = [name.lower() for name, _ in source.headers]
    for name, text in source.headers:
        if not _HEADER.fullmatch(name) or name.lower() in _OURS or names.count(name.lower()) > 1:
            yield f"headers_env: {name!r} cannot be sent, is remint's own, or is given twice", None
        if not _HEADER_VALUE.fullmatch(text):
            # The value is not shown: it may be the credential itself.
            yield (
                f"headers_env: {name!r} must name an environment variable, with one word before it at most",
                'headers_env={"Authorization": "Bearer {X_TOKEN}"}',
            )
