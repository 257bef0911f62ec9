"""What a storage promises, on a disk and in a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from remint.errors import StorageUnavailable
from remint.storage import s3
from remint.storage.base import Sealed, Storage, Stored, below
from remint.storage.places import storage_of
from tests.buckets import BUCKET, Bucket


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where tables lie."""
    return request.getfixturevalue("at_bucket").new_lake() if request.param == "s3" else str(tmp_path / "lake")


@pytest.fixture
def storage(lake: str) -> Storage:
    """The storage of that lake, with a file in each of two folders."""
    found = storage_of(lake, lambda _: None)
    for path in ("t/a=1/x", "t/y"):
        found.prepare(below(lake, path).rpartition("/")[0])
        found.write(below(lake, path), path.encode())
    return found


def test_what_is_written_is_found_by_place_and_by_folder(storage: Storage, lake: str) -> None:
    assert storage.read(below(lake, "t/a=1/x")) == b"t/a=1/x"
    assert sorted((f.path, f.size_bytes) for f in storage.files(below(lake, "t"))) == [("a=1/x", 7), ("y", 3)]
    assert storage.names(below(lake, "t")) == ["a=1", "y"]
    found = storage.stat(below(lake, "t/y"))
    assert isinstance(found, Stored)
    assert found.size_bytes == 3


def test_what_is_not_there_is_none_or_nothing(storage: Storage, lake: str) -> None:
    assert storage.stat(below(lake, "t/z")) is None
    assert storage.stat(below(lake, "t/a=1")) is None
    assert list(storage.files(below(lake, "u"))) == storage.names(below(lake, "u")) == []
    for look in (storage.read, storage.sha256):
        with pytest.raises(FileNotFoundError):
            look(below(lake, "t/z"))
    storage.delete([below(lake, "t/z")], durably=True)


def test_a_file_is_put_whole_in_the_place_of_another_and_copied_and_deleted(
    storage: Storage, lake: str, tmp_path: Path
) -> None:
    place = below(lake, "t/y")
    storage.write(place, b"again")
    out, back = str(tmp_path / "kept" / "y"), below(lake, "t/b=2/y")
    storage.copy(place, out)
    storage.copy(out, back)
    storage.copy(back, below(lake, "t/c"))
    assert Path(out).read_bytes() == storage.read(back) == storage.read(below(lake, "t/c")) == b"again"

    storage.delete([place, back], durably=True)

    assert sorted(f.path for f in storage.files(below(lake, "t"))) == ["a=1/x", "c"]
    assert Path(out).exists()


def test_a_file_is_created_where_none_is_and_no_other_is_replaced(storage: Storage, lake: str) -> None:
    place = below(lake, "t/new")

    assert storage.create(place, b"first")
    assert not storage.create(place, b"second")

    assert storage.read(place) == b"first"
    assert storage.names(below(lake, "t")) == ["a=1", "new", "y"]


def test_files_are_moved_and_a_folder_is_cleared(storage: Storage, lake: str) -> None:
    storage.move([(below(lake, "t/a=1/x"), below(lake, "u/b=1/x"))])
    assert storage.read(below(lake, "u/b=1/x")) == b"t/a=1/x"
    assert [f.path for f in storage.files(below(lake, "t"))] == ["y"]

    storage.clear(below(lake, "u"))
    storage.clear(below(lake, "never"))

    assert list(storage.files(below(lake, "u"))) == []


def test_what_is_sealed_is_named_by_its_bytes(storage: Storage, lake: str) -> None:
    place = below(lake, "t/y")
    sha256 = hashlib.sha256(b"t/y").hexdigest()
    held = storage.stat(place)
    assert held is not None

    assert storage.seal([place], below(lake, "t")) == [Sealed(sha256=sha256, etag=held.etag)]
    assert storage.sha256(place) == sha256
    assert bool(held.etag) == lake.startswith("s3://")


# -- only a bucket -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_more_objects_than_one_answer_lists_are_listed_and_deleted(at_bucket: Bucket) -> None:
    lake, number = at_bucket.new_lake(), 1_100
    storage = storage_of(lake, lambda _: None)
    prefix = lake.removeprefix(f"s3://{BUCKET}/")
    for n in range(number):
        at_bucket.client.put_object(Bucket=BUCKET, Key=f"{prefix}/t/{n}", Body=b"")

    assert len(list(storage.files(below(lake, "t")))) == len(storage.names(below(lake, "t"))) == number
    storage.delete([below(lake, f"t/{n}") for n in range(number)])
    assert list(storage.files(lake)) == []


def test_a_weak_etag_proves_nothing() -> None:
    assert [s3._etag({"ETag": tag}) for tag in ('"abc"', 'W/"abc"', "")] == ["abc", "", ""]


def test_a_bucket_that_does_not_answer_is_unavailable_after_a_bounded_number_of_tries(
    at_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "TRIES", 2)
    monkeypatch.setattr(s3, "_SETTINGS", {**s3._SETTINGS, "retries": {"total_max_attempts": 2, "mode": "standard"}})
    said: list[str] = []
    storage = storage_of("s3://lake", said.append)
    looks: list[Callable[[], object]] = [
        lambda: storage.stat("s3://lake/x"),
        lambda: list(storage.files("s3://lake/x")),
        lambda: storage.read("s3://lake/x"),
        lambda: storage.write("s3://lake/x", b""),
        lambda: storage.delete(["s3://lake/x"]),
    ]

    for number, look in enumerate(looks, 1):
        with pytest.raises(StorageUnavailable, match="does not answer: EndpointConnectionError"):
            look()
        assert len(said) == number
    operations = [text.partition(":")[0] for text in said]
    assert operations == [
        f"S3 {name}" for name in ("HeadObject", "ListObjectsV2", "GetObject", "PutObject", "DeleteObjects")
    ]
    assert all(text.endswith("try 2 of 2 follows") for text in said)


def test_urls_are_split_into_bucket_and_key() -> None:
    found = [s3.split(url) for url in ("s3://b/p/t", "s3://b", "s3://b/")]
    assert found == [("b", "p/t"), ("b", ""), ("b", "")]
