"""A real server that speaks the S3 API, on ports of its own, with credentials that nobody else has."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import JSONFileLoader

_PARTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc"))
_PATIENCE_S = 60
BUCKET = "lake"


@dataclass
class Bucket:
    """A server with one bucket, and with an Iceberg REST catalog."""

    folder: Path
    port: int = 0
    ports: tuple[int, ...] = ()
    catalog_port: int = 0
    key: str = field(default_factory=lambda: f"AKID{secrets.token_hex(8).upper()}")
    secret: str = field(default_factory=lambda: secrets.token_hex(20))
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def endpoint(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which any client of AWS finds it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYICEBERG_CATALOG__REMINT__REST__SIGV4_ENABLED": "true",
            "PYICEBERG_CATALOG__REMINT__REST__SIGNING_NAME": "s3tables",
            "PYICEBERG_CATALOG__REMINT__REST__SIGNING_REGION": "us-east-1",
        }

    @property
    def catalog(self) -> str:
        """Return where its Iceberg catalog answers."""
        return f"http://127.0.0.1:{self.catalog_port}"

    def new_lake(self) -> str:
        """Return the URL of a lake that nobody has used."""
        return f"s3://{BUCKET}/l{next(self.numbers)}/tables"

    def new_warehouse(self) -> str:
        """Return the URL of a bucket whose tables the catalog names, and that nobody has used."""
        name = f"warehouse-{next(self.numbers)}"
        named = {"endpoint_url": self.endpoint, "region_name": "us-east-1"}
        known = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        botocore.session.Session().create_client("s3tables", **named, **known).create_table_bucket(name=name)
        return f"s3://{name}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.ports = ports = tuple(_free_ports(len(_PARTS) + 1))
        self.port, self.catalog_port = ports[0], ports[-1]
        named = [f"-{part}={port}" for part, port in zip(_PARTS, ports, strict=False)]
        command = [str(Path(sysconfig.get_path("scripts")) / "weed"), "mini", f"-dir={self.folder}", *named]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
        command += [f"-s3.port.iceberg={self.catalog_port}", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false"]
        command += ["-master.telemetry=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, "TMPDIR": str(self.folder)},
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call
            )
        began = time.monotonic()
        while not self._has_bucket():
            if self.process.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the S3 server does not start: {' '.join(command)}\n{said}")
            time.sleep(0.05)

    @cached_property
    def client(self) -> Any:
        """A client that is none of remint's."""
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5),
        )

    def _has_bucket(self) -> bool:
        try:
            self.client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
        except (BotoCoreError, ClientError):
            return False
        return True

    def objects(self, lake: str) -> dict[str, bytes]:
        """Return everything below a lake, by path."""
        bucket, _, folder = lake.removeprefix("s3://").partition("/")
        prefix = f"{folder}/" if folder else ""
        found, more = {}, {}
        while True:
            page = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
            for entry in page.get("Contents", ()):
                answer = self.client.get_object(Bucket=bucket, Key=entry["Key"])
                found[entry["Key"].removeprefix(prefix)] = answer["Body"].read()
            if not page["IsTruncated"]:
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def put(self, place: str, content: bytes | None) -> None:
        """Make ``content`` the object at a URL; None removes it."""
        key = place.removeprefix(f"s3://{BUCKET}/")
        if content is None:
            self.client.delete_object(Bucket=BUCKET, Key=key)
        else:
            self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def stop(self) -> None:
        """Stop the server."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_PATIENCE_S)
        for port in self.ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def _free_ports(number: int) -> list[int]:
    held = [socket.socket() for _ in range(number)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _end_with_parent() -> None:
    # A test process that is killed must not leave a server behind; only Linux can say so.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# Every session parses the descriptions of all services anew: a third of the time of a test in a bucket.
JSONFileLoader.load_file = staticmethod(cache(JSONFileLoader().load_file))


@contextmanager
def running() -> Iterator[Bucket]:
    """Give a server that is made, and thrown away at the end."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="remint-s3-", dir=memory if memory.is_dir() else None))
    try:
        bucket = Bucket(folder)
        bucket.start()
        try:
            yield bucket
        finally:
            bucket.stop()
    finally:
        shutil.rmtree(folder)
