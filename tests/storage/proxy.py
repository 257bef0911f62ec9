"""A proxy between a client and an S3 server that fails at chosen requests, in the ways that networks and stores do."""

from __future__ import annotations

import http.client
import multiprocessing
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.managers import BaseManager

_ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>on purpose</Message></Error>'
_GIVES_UP_S = 20
_OWN = ("content-length", "transfer-encoding", "connection")


class Way(StrEnum):
    """How a request fails."""

    ERROR = "500"
    """The server says InternalError, and does nothing."""
    SLOW_DOWN = "503"
    """The server says SlowDown, and does nothing."""
    THROTTLED = "429"
    RESET = "reset"
    """The connection is gone before the request arrives."""
    LOST = "lost"
    """What was asked for is done, and nobody hears of it."""
    CUT = "cut"
    """What was asked for is done, and half of the answer arrives."""
    HANG = "hang"
    """Nothing happens for longer than anybody waits."""


@dataclass
class Trouble:
    """Which requests fail, and how."""

    way: Way
    at: int
    """Number of the first request that fails, from 1."""
    times: int = 1
    """How many fail, one after another."""
    among: str = ""
    """Pattern of the requests, method and path, that are counted."""

    def hits(self, seen: Sequence[str]) -> bool:
        """Return whether the last of the requests fails."""
        if not re.search(self.among, seen[-1]):
            return False
        return self.at <= sum(bool(re.search(self.among, line)) for line in seen) < self.at + self.times


class Proxy:
    """Passes requests on, and notes them."""

    def __init__(self, server: int) -> None:
        """Begin to pass requests on to the S3 server at a port."""
        self.server, self.lock, self.healed = server, threading.Lock(), threading.Event()
        self.troubles: tuple[Trouble, ...] = ()
        self.seen: list[str] = []
        self.failed: list[str] = []
        self._listener = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()

    def port(self) -> int:
        """Return where it listens."""
        return int(self._listener.server_address[1])

    def begin(self, *troubles: Trouble) -> None:
        """Count from one again."""
        with self.lock:
            self.healed.set()  # whoever hangs still is let go
            self.healed = threading.Event()
            self.troubles, self.seen, self.failed = troubles, [], []

    def noted(self) -> tuple[list[str], list[str]]:
        """Return method and path of each request since ``begin``, and of those that failed, after how they did."""
        with self.lock:
            return list(self.seen), list(self.failed)

    def next_way(self, line: str) -> Way | None:
        """Note a request, and return how it is to fail."""
        with self.lock:
            self.seen.append(line)
            for trouble in self.troubles:
                if trouble.hits(self.seen):
                    self.failed.append(f"{trouble.way} {line}")
                    return trouble.way
            return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.proxy
        match proxy.next_way(f"{self.command} {self.path}"):
            case None:
                self._answer(*self._forward(body))
            case (Way.ERROR | Way.SLOW_DOWN | Way.THROTTLED) as way:
                code = {Way.ERROR: "InternalError", Way.SLOW_DOWN: "SlowDown"}.get(way, "TooManyRequests")
                self._answer(int(way), {"Content-Type": "application/xml"}, _ERROR.format(code).encode())
            case Way.RESET:
                self._break()
            case Way.LOST:
                self._forward(body)
                self._break()
            case Way.CUT:
                status, headers, content = self._forward(body)
                self._answer(status, headers, content, half=True)
                self._break()
            case Way.HANG:
                proxy.healed.wait(_GIVES_UP_S)
                self._break()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.server, timeout=60)
        try:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")
            }
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, half: bool = False) -> None:
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
        kept = {
            n: v for n, v in headers.items() if n.lower() not in ("content-length", "transfer-encoding", "connection")
        }
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in kept.items()]
        lines += [f"Content-Length: {length or 0}", "", ""]
        whole = "\r\n".join(lines).encode("latin-1") + (b"" if self.command == "HEAD" else content)
        with suppress(OSError):
            self.wfile.write(whole[: len(whole) // 2] if half else whole)
            self.wfile.flush()

    def _break(self) -> None:
        """Reset the connection: what is not read yet is lost."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that hangs up is what is tried here."""


class _Apart(BaseManager):
    """Another process: some calls of delta-rs keep the interpreter to themselves until they are answered."""


_Apart.register("Proxy", Proxy)


@contextmanager
def proxying(server: int) -> Iterator[Proxy]:
    """Give a proxy to the server at a port."""
    with _Apart(ctx=multiprocessing.get_context("spawn")) as apart:
        yield apart.Proxy(server)
