"""One contract, held on every format, on a disk and in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.storage.places import storage_of
from tests.buckets import Bucket
from tests.formats.kinds import KINDS, SERVER, Kind, iceberg_by_rest, iceberg_by_server
from tests.proof import proof, size

BY_REST = "iceberg in a bucket by REST"
IN_BUCKETS = [
    pytest.param(name, marks=pytest.mark.slow) for name in (*(f"{name} in a bucket" for name in sorted(KINDS)), BY_REST)
]
BY_SERVER = "iceberg by a server of yours"
EVERY = size(4, 1)
"""Of the tests in a bucket; the rest are taken at full size."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most of what a bucket would repeat."""
    remote = [item for item in items if "in a bucket" in item.name]
    for item in remote:
        item.add_marker(proof)  # or make test-faults would take none of them
    spared = {item.nodeid for n, item in enumerate(remote) if n % EVERY}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in spared])
    items[:] = [item for item in items if item.nodeid not in spared]


@pytest.fixture(params=[*sorted(KINDS), *IN_BUCKETS, *([BY_SERVER] if SERVER else [])])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """One format in a folder of its own, or in a bucket."""
    if request.param == BY_SERVER:
        return iceberg_by_server(tmp_path)
    name, _, remote = request.param.partition(" in ")
    if not remote:
        return KINDS[name](tmp_path)
    bucket: Bucket = request.getfixturevalue("at_bucket")
    if request.param == BY_REST:
        return iceberg_by_rest(tmp_path, bucket)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # for those who use delta-rs alone
    return KINDS[name](tmp_path, bucket.new_lake(), storage_of("s3://", lambda _: None))
