"""GET over HTTP with patience and limits: repeated attempts, waiting as asked, one budget of time, no redirects.

Rules: a reply is taken only when it arrived whole; credentials are sent as headers and repeated nowhere: what a server
says of itself reaches a message only through ``_Masked``.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError, ResponseError

from remint.errors import RunError, SourceRejected, SourceUnavailable
from remint.model.dataset import PageSource

_TRANSIENT = (429, 500, 502, 503, 504)
_BACKOFF_FACTOR, _BACKOFF_MAX_S, _JITTER_S = 0.25, 30.0, 0.25
_CONNECT_S = 10.0
_BLOCK_BYTES = 64 * 1024
REPLY_BYTES = 64 * 1024 * 1024
"""A longer reply is refused."""
_SHOWN_CHARACTERS = 60
_SHORTEST_SECRET = 4
"""A shorter value is found in ordinary words, and replacing it would hide the words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered with status 200, whole."""

    body: bytes
    """As it came: compressed where the server compressed it."""
    content_type: str
    """Without parameters, in lower case."""


class _OutOfTime(Exception):
    """The wait that is due would outlast the budget."""


class _Patience(urllib3.Retry):
    """urllib3's rule of repetition, which gives up early rather than sleep past the deadline."""

    deadline = float("inf")

    def new(self, **changes: object) -> Self:
        made = super().new(**changes)
        made.deadline = self.deadline
        return made

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        asked = None if response is None else self.get_retry_after(response)
        wait, left = asked or self.get_backoff_time(), self.deadline - time.monotonic()
        if wait > left:
            who = "the server asks to wait" if asked else "the next attempt is due in"
            raise _OutOfTime(f"{who} {wait:,.1f} s, and {max(left, 0):,.1f} s are left")
        time.sleep(wait)


class Transport:
    """Requests to one source in one run."""

    def __init__(self, source: PageSource, headers: Mapping[str, str], secrets: tuple[str, ...]) -> None:
        """Start the clock of the budget; nothing is sent yet."""
        self._source = source
        self._secrets = secrets
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "remint", **headers}
        self._pool = urllib3.PoolManager(
            maxsize=1, timeout=urllib3.Timeout(connect=min(_CONNECT_S, source.timeout_s), read=source.timeout_s)
        )
        self._deadline = time.monotonic() + source.budget_s

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def get(self, uri: str) -> Reply:
        """Return the reply to one GET.

        Raises:
            SourceUnavailable: no attempt brought a whole reply, or the budget of time is spent.
            SourceRejected: a final answer that is no page: another status, a redirect, too many bytes.
        """
        try:
            return self._attempts(uri)
        except _OutOfTime as error:
            raise self._unavailable(uri, f"{error} of budget_s={self._source.budget_s:g}") from None
        except MaxRetryError as error:
            reason = error.reason
            found = str(reason) if isinstance(reason, ResponseError) else _in_words(reason or error)
            raise self._unavailable(uri, f"{found}, after {self._source.retries + 1} attempts") from None
        except HTTPError as error:
            raise self._unavailable(uri, _in_words(error)) from None

    def _attempts(self, uri: str) -> Reply:
        patience = _Patience(
            total=self._source.retries,
            redirect=0,
            status_forcelist=_TRANSIENT,
            backoff_factor=_BACKOFF_FACTOR,
            backoff_max=_BACKOFF_MAX_S,
            backoff_jitter=_JITTER_S,
        )
        patience.deadline = self._deadline
        while True:
            self._require_time(uri)
            response = self._pool.request(
                "GET", uri, headers=self._headers, retries=patience, redirect=False, preload_content=False
            )
            try:
                self._require_page(uri, response)
                return Reply(body=self._body(uri, response), content_type=_content_type(response))
            except (ProtocolError, ReadTimeoutError) as error:
                # What is left of the attempts after those that the request itself took.
                left = response.retries if isinstance(response.retries, _Patience) else patience
                patience = left.increment("GET", uri, error=error)
                patience.sleep()
            finally:
                response.close()

    def _body(self, uri: str, response: urllib3.BaseHTTPResponse) -> bytes:
        found = bytearray()
        # read1 gives what has come, so a trickle cannot outlast the budget. urllib3 compares with Content-Length; gzip
        # is undone, and verified, where files are.
        while block := response.read1(_BLOCK_BYTES, decode_content=False):
            found += block
            self._require_time(uri)
            if len(found) > REPLY_BYTES:
                raise SourceRejected(
                    f"{uri}: expected a page of at most {REPLY_BYTES:,} bytes, found more", hint="lower page_size="
                )
        return bytes(found)

    def _require_time(self, uri: str) -> None:
        if time.monotonic() > self._deadline:
            raise self._unavailable(uri, f"the budget_s={self._source.budget_s:g} of this source is spent")

    def _require_page(self, uri: str, response: urllib3.BaseHTTPResponse) -> None:
        status = response.status
        if 300 <= status < 400:
            raise self._redirected(uri, response)
        if status != HTTPStatus.OK:
            raise SourceRejected(f"{uri}: expected a page, found status {_status(status)}", hint=_hint(status))
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise SourceRejected(
                f"{uri}: expected plain content or gzip, found the encoding {self.masked(encoding)}",
                hint="the server ignores Accept-Encoding; have that mended",
            )

    def _redirected(self, uri: str, response: urllib3.BaseHTTPResponse) -> RunError:
        target = urlsplit(response.headers.get("Location", ""))
        to = self.masked(target.netloc.rpartition("@")[2])
        elsewhere = to and to != urlsplit(uri).netloc
        return SourceRejected(
            f"{uri}: expected a page, found a redirect ({_status(response.status)}) to "
            + (f"another host, {to}" if elsewhere else "another address of the same host"),
            hint="redirects are not followed, because credentials would follow them; write the right address in url=",
        )

    def _unavailable(self, uri: str, found: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"{uri}: {self.masked(found, shorten=False)}", hint="when it answers again: remint resume RUN"
        )

    def repeats_secret(self, text: str) -> bool:
        """True when ``text`` holds a credential."""
        return any(form in text for secret in self._secrets for form in _forms(secret))

    def masked(self, text: str, *, shorten: bool = True) -> str:
        """Return what a server said with every credential replaced, then shortened: never the other way round."""
        for form in sorted({f for secret in self._secrets for f in _forms(secret)}, key=len, reverse=True):
            text = text.replace(form, "***")
        return text[:_SHOWN_CHARACTERS] if shorten else text


def _forms(secret: str) -> tuple[str, ...]:
    """Return the spellings under which a credential could come back."""
    if len(secret) < _SHORTEST_SECRET:
        return ()
    encoded = base64.b64encode(secret.encode()).decode()
    return secret, quote(secret, safe=""), encoded, encoded.rstrip("=")


def _in_words(error: BaseException) -> str:
    """Return what happened, without urllib3's address of an object in memory."""
    text = str(error)
    return text.rpartition(": ")[2] if " object at 0x" in text else text


def _status(status: int) -> str:
    """Return a status with its standard name; the server's own words are not shown."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _hint(status: int) -> str:
    match status:
        case 401 | 403:
            return "check the environment variables that headers_env= names, then: remint resume RUN"
        case 400 | 404 | 410 | 422:
            return "check url= and params=; a cursor may be unknown or too old: --mode backfill --range reads by date"
        case _:
            return "check url= against the description of the API"


def _content_type(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
