"""Serve the TradeX feed as an API like X's: pages with explicit cursors, windows, and the moods of a real service.

    python server.py --port 8787 --outage 2026-11-03..2026-11-05

    GET  /2/posts?limit=500                                     the first page of everything told so far
    GET  /2/posts?limit=500&cursor=...                          the page of a cursor; the last one names no next
    GET  /2/posts?since=2026-11-01T00:00:00Z&until=...          versions of posts that were written in a window
    POST /admin/advance?to=2026-11-20                           time goes on: what was told before that day is served
    POST /admin/release?day=2026-11-03                          an outage ends: its posts come at the end of the feed

A page is ``{"data": [...], "meta": {"count": n, "next_cursor": "..." or null}}``. Cursors are opaque and stay valid: a
page that was the last one grows.

Rules: a request is refused by its number alone (429 with Retry-After, 500, a slow reply), so a demo plays the same way
every time. A day of an outage is not served at all: the feed leaves it out, and a window that touches it is answered
with 503 until it is released.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from generate import Entry, World

LIMIT, MOST = 100, 500
"""Posts of a page when nothing is asked for, and at most."""
_WINDOW_PARAMS = ("since", "until")


@dataclass(frozen=True)
class Moods:
    """Which requests meet trouble, by their number from 1; 0 leaves a trouble out."""

    limited_every: int = 29
    retry_after_s: int = 1
    error_every: int = 17
    """The request right after such a one fails as well: errors come in bursts."""
    slow_every: int = 13
    slow_s: float = 0.1


CALM = Moods(limited_every=0, error_every=0, slow_every=0)


class Refused(Exception):
    """An answer other than a page."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Feed:
    """What the API tells so far; safe to share between threads."""

    def __init__(self, world: World, *, told_until: date | None = None, outage: Sequence[date] = ()) -> None:
        """Tell what was learnt before ``told_until`` (everything without it), without the days of the outage."""
        self._world = world
        self._lock = threading.Lock()
        self._held: dict[date, list[Entry]] = {day: [] for day in outage}
        self._waiting = list(world.entries)
        self._told: list[Entry] = []
        self.advance(told_until or date.max)

    def advance(self, to: date) -> int:
        """Tell what was learnt before ``to``, and return how many entries came."""
        with self._lock:
            end = datetime(to.year, to.month, to.day, tzinfo=UTC)
            due = [e for e in self._waiting if e.at < end]
            self._waiting = self._waiting[len(due) :]
            for entry in due:
                self._held.get(entry.day, self._told).append(entry)
            return len(due)

    def release(self, day: date) -> int:
        """End the outage of a day: what was written on it is told now, and return how many entries came."""
        with self._lock:
            entries = self._held.pop(day, [])
            self._told += entries
            return len(entries)

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        """Return a page.

        Raises:
            Refused: the query cannot be answered.
        """
        limit = _limit(query.get("limit", str(LIMIT)))
        with self._lock:
            window, told = _window_of(query), self._told
            if window:
                told = self._within(*window)
            mark = "/".join(query.get(name, "") for name in _WINDOW_PARAMS)
            start = _position(query["cursor"], mark) if "cursor" in query else 0
            if start > len(told):
                raise Refused(400, "unknown cursor")
            end = start + limit
            shown = [entry.item for entry in told[start:end]]
            following = _cursor(end, mark) if end < len(told) else None
        return {"data": shown, "meta": {"count": len(shown), "next_cursor": following}}

    def _within(self, since: datetime, until: datetime) -> list[Entry]:
        down = [day for day in sorted(self._held) if since.date() <= day <= (until - timedelta(seconds=1)).date()]
        if down:
            raise Refused(503, f"posts of {down[0].isoformat()} are not available at the moment")
        return [e for e in self._told if since.date() <= e.day < until.date()]


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise Refused(400, f"limit must be 1 to {MOST}")
    return int(text)


def _window_of(query: dict[str, str]) -> tuple[datetime, datetime] | None:
    given = [query.get(name) for name in _WINDOW_PARAMS]
    if given == [None, None]:
        return None
    try:
        since, until = (datetime.fromisoformat(text or "") for text in given)
    except ValueError:
        raise Refused(400, "since and until come together, as RFC 3339 instants") from None
    if since.tzinfo is None or until.tzinfo is None or since >= until or (since.time(), until.time()) != (_NIL, _NIL):
        raise Refused(400, "since and until must be midnights in UTC, the earlier one first")
    return since, until


_NIL = datetime(2026, 1, 1, tzinfo=UTC).time()


def _cursor(position: int, mark: str) -> str:
    """Return the cursor of a position; it holds a check, so that a cursor is not mistaken for one of another window."""
    text = f"{position}:{hashlib.sha256(f'{position}:{mark}'.encode()).hexdigest()[:8]}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(cursor: str, mark: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        position = int(text.partition(":")[0])
    except ValueError:
        raise Refused(400, "unknown cursor") from None
    if position < 0 or _cursor(position, mark) != cursor:
        raise Refused(400, "unknown cursor, or one of another window")
    return position


class Server(ThreadingHTTPServer):
    """The API, listening on this machine alone."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, feed: Feed, *, moods: Moods = CALM, token: str | None = None, port: int = 0) -> None:
        """Listen; with ``token``, requests need ``Authorization: Bearer <token>``."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.feed, self.moods, self.token = feed, moods, token
        self.requests = 0
        """How many pages were asked for."""
        self._count = threading.Lock()

    @property
    def url(self) -> str:
        """Where the posts are."""
        return f"http://127.0.0.1:{self.server_address[1]}/2/posts"

    def trouble(self) -> None:
        """Count a request, and make the trouble that its number is due.

        Raises:
            Refused: it is one to be refused.
        """
        with self._count:
            self.requests += 1
            number = self.requests
        moods = self.moods
        if moods.limited_every and number % moods.limited_every == 0:
            raise Refused(429, "too many requests", {"Retry-After": str(moods.retry_after_s)})
        if moods.error_every and number > 1 and number % moods.error_every in (0, 1):
            raise Refused(500, "something went wrong")
        if moods.slow_every and number % moods.slow_every == 0:
            time.sleep(moods.slow_s)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._admin)

    def _answer(self, make: Any) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        try:
            status, content, headers = 200, make(address.path, query), {}
        except Refused as error:
            status, content, headers = error.status, {"error": str(error)}, error.headers
        self._send(status, json.dumps(content, ensure_ascii=False).encode(), headers)

    def _page(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path != "/2/posts":
            raise Refused(404, "no such resource")
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            raise Refused(401, "not authorized")
        self.server.trouble()
        return self.server.feed.page(query)

    def _admin(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        try:
            if path == "/admin/advance":
                return {"told": self.server.feed.advance(date.fromisoformat(query.get("to", "")))}
            if path == "/admin/release":
                return {"told": self.server.feed.release(date.fromisoformat(query.get("day", "")))}
        except ValueError:
            raise Refused(400, "expected a day, YYYY-MM-DD") from None
        raise Refused(404, "no such resource")

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers = gzip.compress(body, 1, mtime=0), {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a demo shows its own words."""


@contextmanager
def serving(feed: Feed, *, moods: Moods = CALM, token: str | None = None, port: int = 0) -> Iterator[Server]:
    """Serve from another thread until the block ends."""
    with Server(feed, moods=moods, token=token, port=port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def days_of(text: str) -> list[date]:
    """Return the days that ``2026-11-03`` or ``2026-11-03..2026-11-05`` names, both ends included."""
    first, _, last = text.partition("..")
    start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the TradeX feed on this machine.")
    parser.add_argument("--port", type=int, default=8787)
    parser.add_argument("--days", type=int, default=World.days)
    parser.add_argument("--posts-a-day", type=int, default=World.posts_a_day)
    parser.add_argument("--first-day", type=date.fromisoformat, default=World.first_day)
    parser.add_argument("--seed", type=int, default=World.seed)
    parser.add_argument("--told-until", type=date.fromisoformat, help="tell only what was learnt before this day")
    parser.add_argument("--outage", type=days_of, default=[], help="days that are absent until they are released")
    parser.add_argument("--calm", action="store_true", help="no rate limit, no errors, no slow replies")
    parser.add_argument("--token-env", help="environment variable that holds the token which requests need")
    asked = parser.parse_args()
    world = World(asked.days, asked.posts_a_day, asked.first_day, asked.seed)
    feed = Feed(world, told_until=asked.told_until, outage=asked.outage)
    token = os.environ[asked.token_env] if asked.token_env else None
    with Server(feed, moods=CALM if asked.calm else Moods(), token=token, port=asked.port) as server:
        print(f"{server.url} tells {len(world.entries):,} entries; interrupt to stop", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
