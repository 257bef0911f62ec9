"""Settings and databases that every test shares."""

import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.proof import FULL

if TYPE_CHECKING:
    from tests.buckets import Bucket
    from tests.databases import Server

# Shared machines stall for seconds; a slow draw says nothing about the code.
settings.register_profile("remint", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("remint")

# Tests call the command line in their own process, which a backfill would slow down for good.
os.environ.setdefault("REMINT_POLICY__PRIORITY", "normal")


_ON_SPARK = {"test_portability.py", "test_session.py", "test_engines.py"}
"""Tests that need Spark, beside those that are named for it: every process would start one of its own."""

_IN_BUCKET = re.compile(r"s3|bucket|\brest\b")
"""Tests that need the S3 server, which takes time from all others as long as it runs."""


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the full size alone, and give what one process should do to one."""
    left = [item for item in items if item.get_closest_marker("full_size") and not FULL]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("full_size")]
    for item in items:
        if "spark" in item.nodeid.lower().rpartition("/")[2] or item.path.name in _ON_SPARK:
            item.add_marker(pytest.mark.xdist_group("spark"))
        elif _IN_BUCKET.search(item.nodeid.lower()):
            item.add_marker(pytest.mark.xdist_group("bucket"))
        elif _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what is there by now: it stays, and takes long to look through."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let libraries that count what is left at the end find it gone."""
    gc.unfreeze()


def _shares_with_its_module(item: pytest.Item) -> bool:
    """Return whether it uses what is made once for its module, which two processes would make twice."""
    assert isinstance(item, pytest.Function)
    used = item._fixtureinfo.name2fixturedefs.values()
    return any(definition.scope == "module" for definitions in used for definition in definitions)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped and why, once for each reason, however many tests share it."""
    found = Counter(str(report.longrepr[2]) for report in terminalreporter.getreports("skipped"))
    for reason, number in sorted(found.items()):
        terminalreporter.write_line(f"skipped {number} tests: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """A running PostgreSQL, the same one for every test of this process."""
    from tests.databases import running

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def bucket() -> "Iterator[Bucket]":
    """A running S3 server, the same one for every test of this process."""
    from tests.buckets import running

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def glue() -> "Iterator[str]":
    """The address of a server that answers as Glue does."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def at_bucket(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """The S3 server, found by every client of AWS in this test."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def at_glue(glue: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the server that answers as Glue does, without tables, and let in by every client of AWS."""
    from urllib.request import urlopen

    urlopen(f"{glue}/moto-api/reset", b"").close()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return glue
