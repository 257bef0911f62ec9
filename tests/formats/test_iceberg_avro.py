"""A manifest that was cut off, emptied or changed anywhere is refused, and kills nobody who looks for damage."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.utils.singleton import Singleton

from remint.errors import LogDamaged
from remint.formats.base import Replacement
from remint.formats.iceberg_avro import TornFile, require_whole
from tests.formats.kinds import iceberg_in


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A manifest of two files."""
    kind = iceberg_in(tmp_path_factory.mktemp("avro"))
    table = kind.created()
    adds = tuple(kind.staged(table, [(1, "a"), (2, "b")], "r1-0"))
    kind.format.publish([(table, Replacement(run_id="r1", attempt=1, adds=adds, removes=()))])
    (path,) = (Path(table.location) / "metadata").glob("*-m0.avro")
    return path.read_bytes()


def test_a_whole_file_is_read(manifest: bytes) -> None:
    require_whole(manifest, deep=False)
    require_whole(manifest, deep=True)


def test_what_is_needed_to_read_files_of_one_kind_is_made_once(manifest: bytes) -> None:
    """pyiceberg keeps all of it until the process ends: a megabyte for every few files."""
    require_whole(manifest, deep=True)
    kept = len(Singleton._instances)
    for _ in range(3):
        require_whole(manifest, deep=True)

    assert len(Singleton._instances) == kept


def test_a_file_that_ends_early_is_refused_wherever_it_ends(manifest: bytes) -> None:
    whole = [end for end in range(len(manifest)) if is_whole(manifest[:end])]
    # Each entry is a block: what ends between two of them is a shorter file, which the list of manifests gives away.
    assert len(whole) == 2


def test_a_manifest_that_names_fewer_files_than_its_list_says_is_refused(tmp_path: Path) -> None:
    kind = iceberg_in(tmp_path)
    table = kind.created()
    adds = tuple(kind.staged(table, [(1, "a"), (2, "b")], "r1-0"))
    kind.format.publish([(table, Replacement(run_id="r1", attempt=1, adds=adds, removes=()))])
    (path,) = (Path(table.location) / "metadata").glob("*-m0.avro")
    content = path.read_bytes()
    end = max(n for n in range(len(content)) if is_whole(content[:n]))
    path.write_bytes(content[:end])

    with pytest.raises(LogDamaged, match="names 1 files, and the list of manifests says 2"):
        iceberg_in(tmp_path).format.live_files(table)


def is_whole(content: bytes) -> bool:
    try:
        require_whole(content, deep=False)
    except TornFile:
        return False
    return True


@pytest.mark.parametrize("content", [b"", b"Obj\x01", b"\x00" * 300, random.Random(1).randbytes(2000)])
def test_what_is_no_file_of_this_kind_is_refused(content: bytes) -> None:
    with pytest.raises(TornFile):
        require_whole(content, deep=False)


def test_any_flipped_bit_is_refused_or_leaves_a_file_that_the_library_can_read(manifest: bytes, tmp_path: Path) -> None:
    draw, path, refused = random.Random(2), tmp_path / "m.avro", 0
    for _ in range(400):
        content = bytearray(manifest)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        try:
            require_whole(bytes(content), deep=True)
        except TornFile:
            refused += 1
            continue
        path.write_bytes(content)
        with AvroFile(PyArrowFileIO().new_input(str(path))) as entries:
            assert list(entries)
    assert 0 < refused < 400
