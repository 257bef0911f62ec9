"""A real HTTP server on this machine whose every answer a test writes down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, byte for byte."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    reason: str | None = None
    missing: int = 0
    """Bytes at the end that Content-Length promises and the server never sends."""
    wait_s: float = 0.0
    """Before the first byte."""
    pause_s: float = 0.0
    """Between any two bytes of the body."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    number: int
    """From 1."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float
    """Monotonic seconds."""

    @property
    def cursor(self) -> str | None:
        """Value of ``cursor``."""
        return self.query.get("cursor")


def page(*records: Any, after: str | None = None, **more: Any) -> Answer:
    """Return a page of records, and the cursor behind it."""
    return Answer(body=json.dumps({"data": records, "meta": {"next_cursor": after, **more}}).encode())


def raw(body: str | bytes, content_type: str = "application/json", **more: Any) -> Answer:
    """Return a body as it is."""
    content = body.encode() if isinstance(body, str) else body
    return replace(Answer(body=content, headers={"Content-Type": content_type}), **more)


class Api(ThreadingHTTPServer):
    """Answers as ``tell`` says, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, tell: Callable[[Asked], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tell = tell
        self.asked: list[Asked] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Address of the one resource."""
        return f"http://127.0.0.1:{self.server_address[1]}/items"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Api

    def do_GET(self) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        with self.server.lock:
            number = len(self.server.asked) + 1
            asked = Asked(number=number, query=query, headers=dict(self.headers.items()), at=time.monotonic())
            self.server.asked.append(asked)
        answer = self.server.tell(asked)
        time.sleep(answer.wait_s)
        try:
            self._send(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked did not wait

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status, answer.reason)
        length = {"Content-Length": str(len(answer.body) + answer.missing)}
        headers = {**({} if "Transfer-Encoding" in answer.headers else length), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.pause_s:
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                time.sleep(answer.pause_s)
        else:
            self.wfile.write(answer.body)
        self.close_connection = bool(answer.missing)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def answering(tell: Callable[[Asked], Answer]) -> Iterator[Api]:
    """Serve until the block ends."""
    with Api(tell) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
