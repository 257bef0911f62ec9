"""A proxy in front of PostgreSQL that loses one COMMIT, on its way there or on its way back."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Loses(StrEnum):
    """What gets lost, and with it the connection."""

    REQUEST = "request"
    """The server never hears of the COMMIT."""
    REPLY = "reply"
    """The server commits and nobody hears of it."""


_COMMIT = b"COMMIT\x00"
_NEVER = 1_000_000


@dataclass
class LossyProxy:
    """Passes everything on, counts commits, and cuts the connection at one of them."""

    server: Path
    """Unix socket of the server."""
    listener: socket.socket
    loses: Loses = Loses.REPLY
    at: int = _NEVER
    """Which commit is lost, from 0."""
    stays_away: bool = False
    """Nobody is let in any more once a commit was lost."""
    commits: int = 0
    is_away: bool = False
    threads: list[threading.Thread] = field(default_factory=list)

    def url(self, database: str) -> str:
        """Return the URL of a database behind the proxy."""
        host, port = self.listener.getsockname()
        return f"postgresql+psycopg://remint@{host}:{port}/{database}"

    def arm(self, at: int, loses: Loses, *, stays_away: bool = False) -> None:
        """Lose the ``at``-th commit from now."""
        self.at, self.loses, self.stays_away, self.commits, self.is_away = at, loses, stays_away, 0, False

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.is_away:
                    client.close()
                    continue
                thread = threading.Thread(target=self._pass_on, args=(client,), daemon=True)
                thread.start()
                self.threads.append(thread)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(str(self.server))
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client and _COMMIT in data:
                        self.commits += 1
                        if self.commits == self.at + 1:
                            self._lose(server, data)
                            return
                    (server if source is client else client).sendall(data)

    def _lose(self, server: socket.socket, data: bytes) -> None:
        if self.loses is Loses.REPLY:
            server.sendall(data)
            assert b"COMMIT" in server.recv(1 << 16)
        self.is_away = self.stays_away


@contextmanager
def lossy(server: Path) -> Iterator[LossyProxy]:
    """Give a proxy in front of the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = LossyProxy(server, listener)
        accepting = threading.Thread(target=proxy.serve, daemon=True)
        accepting.start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join()
