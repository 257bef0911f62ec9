"""Where projects keep their state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import proof
from tests.buckets import Bucket
from tests.databases import Server
from tests.e2e import projects


@pytest.fixture(scope="module")
def on_iceberg() -> Iterator[None]:
    """Projects that are written in this module keep their tables in Iceberg."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "tables_in", "iceberg")
        patch.setattr(proof, "of", "-iceberg")
        yield


@pytest.fixture
def on_postgres(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Projects that are written in this test keep their state on PostgreSQL."""
    before = set(postgres.databases())
    monkeypatch.setattr(projects, "state_on", postgres)
    yield postgres
    for name in set(postgres.databases()) - before:
        postgres.drop(name)


@pytest.fixture
def on_s3(at_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Projects that are written in this test keep their tables in a bucket."""
    monkeypatch.setattr(projects, "lake_on", at_bucket)
    return at_bucket
