import gzip
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.errors import SourceRejected, SourceUnavailable
from remint.model.dataset import FileSource
from remint.sources.base import Fetched, SourceFile
from remint.sources.decoding import Decoder
from remint.sources.files import discover, fetch

LINE = b'{"id":1,"name":"caf\xc3\xa9"}\n'


def source(url: str, file_format: str = "jsonl") -> FileSource:
    return FileSource(url=url, format=file_format)


def uris(url: str, root: Path) -> list[str]:
    return [f.uri for f in discover(source(url), root)]


def write(path: Path, content: bytes = LINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def fetched(tmp_path: Path, content: bytes, file_format: str = "jsonl") -> Fetched:
    write(tmp_path / "in" / "x.data", content)
    (file,) = discover(source("in/*.data", file_format), tmp_path)
    folder = tmp_path / "spool"
    folder.mkdir(exist_ok=True)
    return fetch(file, folder)


def refusal(tmp_path: Path, content: bytes, file_format: str = "jsonl") -> str:
    with pytest.raises(SourceRejected) as caught:
        fetched(tmp_path, content, file_format)
    assert caught.value.hint
    assert caught.value.message.startswith("in/x.data: ")
    return caught.value.message


class TestDiscovery:
    def test_files_come_sorted_by_a_uri_relative_to_the_project(self, tmp_path: Path) -> None:
        for name in ("b/2.jsonl", "a/1.jsonl", "a/10.jsonl"):
            write(tmp_path / name)

        assert uris("**/*.jsonl", tmp_path) == ["a/1.jsonl", "a/10.jsonl", "b/2.jsonl"]

    @pytest.mark.parametrize(
        ("pattern", "name"),
        [
            ("in/{date}/*.jsonl", "in/2026-10-14/a.jsonl"),
            ("in/*/{date}.jsonl", "in/2026-01-01/2026-10-14.jsonl"),
            ("in/**/p-{date}-??.jsonl", "in/p-2026-10-14-01.jsonl"),
            ("in/**/p-{date}-[0-9].jsonl*", "in/2026-01-01/x/p-2026-10-14-1.jsonl.gz"),
            ("in/(1)+{date}", "in/(1)+2026-10-14"),
        ],
    )
    def test_the_day_of_a_file_stands_where_the_pattern_says(self, tmp_path: Path, pattern: str, name: str) -> None:
        write(tmp_path / name)

        for root in ("", f"{tmp_path}/", f"file://{tmp_path}/"):
            (found,) = discover(source(f"{root}{pattern}"), tmp_path)
            assert (found.day, found.uri) == ("2026-10-14", name)

    def test_a_name_without_a_date_does_not_match_one(self, tmp_path: Path) -> None:
        write(tmp_path / "in" / "latest" / "a.jsonl")

        assert uris("in/{date}/*.jsonl", tmp_path) == []

    def test_without_a_placeholder_a_date_in_a_name_means_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "in" / "2026-10-14.jsonl")

        (found,) = discover(source("in/*.jsonl"), tmp_path)
        assert found.day is None

    def test_a_day_that_is_not_in_the_calendar_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "in" / "2026-02-30.jsonl")

        with pytest.raises(SourceRejected, match=r"in/2026-02-30\.jsonl: expected a day of the calendar"):
            discover(source("in/{date}.jsonl"), tmp_path)

    def test_size_and_time_of_change_are_the_identity(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl")

        (file,) = discover(source("x.jsonl"), tmp_path)

        assert (file.size_bytes, file.mtime_ns) == (len(LINE), path.stat().st_mtime_ns)

    def test_a_file_outside_the_project_keeps_its_absolute_path(self, tmp_path: Path) -> None:
        path = write(tmp_path / "elsewhere" / "x.jsonl")
        (tmp_path / "project").mkdir()

        assert uris(f"{tmp_path}/elsewhere/*.jsonl", tmp_path / "project") == [str(path)]
        assert uris(f"file://{tmp_path}/elsewhere/*.jsonl", tmp_path / "project") == [str(path)]

    def test_a_project_folder_with_pattern_characters_is_taken_as_it_is(self, tmp_path: Path) -> None:
        write(tmp_path / "a[b]*" / "x.jsonl")

        assert uris("*.jsonl", tmp_path / "a[b]*") == ["x.jsonl"]

    def test_what_belongs_to_writers_is_left_out(self, tmp_path: Path) -> None:
        for name in ("x.jsonl", ".x.jsonl", "_SUCCESS", ".x.crc", "x.crc", "x.tmp", "_temporary/y.jsonl", ".z/y.jsonl"):
            write(tmp_path / "in" / name)

        assert uris("in/**", tmp_path) == ["in/x.jsonl"]

    def test_an_underscore_in_a_folder_that_the_url_names_is_no_reason(self, tmp_path: Path) -> None:
        write(tmp_path / "_in" / "x.jsonl")

        assert uris("_in/*.jsonl", tmp_path) == ["_in/x.jsonl"]

    def test_a_pattern_may_match_nothing_but_its_folder_and_a_name_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnavailable, match="in is not there"):
            uris("in/*.jsonl", tmp_path)
        (tmp_path / "in").mkdir()
        assert uris("in/*.jsonl", tmp_path) == []
        with pytest.raises(SourceRejected, match=r"in/x\.jsonl: expected a file, found nothing"):
            uris("in/x.jsonl", tmp_path)

    def test_a_directory_is_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").mkdir()

        with pytest.raises(SourceRejected, match=r"x\.parquet: expected a regular file, found a directory"):
            discover(source("*.parquet", "parquet"), tmp_path)

    def test_a_fifo_is_refused_without_being_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.jsonl")

        with pytest.raises(SourceRejected, match="found a FIFO"):
            uris("*.jsonl", tmp_path)

    def test_a_socket_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("x.jsonl")

            with pytest.raises(SourceRejected, match="found a socket"):
                uris("*.jsonl", tmp_path)

    def test_a_link_that_leaves_the_folder_of_the_source_is_refused(self, tmp_path: Path) -> None:
        secret = write(tmp_path / "secret")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.jsonl").symlink_to(secret)

        with pytest.raises(SourceRejected, match=r"in/x\.jsonl: expected a file below .*, found a link to .*secret"):
            uris("in/*.jsonl", tmp_path)

    def test_a_link_to_a_device_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.jsonl").symlink_to("/dev/zero")

        with pytest.raises(SourceRejected, match=r"x\.jsonl: expected a file below"):
            uris("*.jsonl", tmp_path)

    def test_a_link_that_leads_nowhere_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.jsonl").symlink_to("gone")

        with pytest.raises(SourceRejected, match="found a link that leads nowhere"):
            uris("*.jsonl", tmp_path)

    def test_a_link_within_the_folder_of_the_source_is_followed(self, tmp_path: Path) -> None:
        write(tmp_path / "in" / "real.data")
        (tmp_path / "in" / "x.jsonl").symlink_to("real.data")

        assert uris("in/*.jsonl", tmp_path) == ["in/x.jsonl"]

    def test_a_name_that_is_no_utf8_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        Path(os.fsdecode(bytes(tmp_path / "in") + b"/\xff.jsonl")).write_bytes(LINE)

        with pytest.raises(SourceRejected, match="expected a file name in UTF-8"):
            uris("in/*.jsonl", tmp_path)

    def test_a_url_of_an_unknown_store_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SourceRejected, match="cannot be listed"):
            uris("nosuch://bucket/*.jsonl", tmp_path)


class TestRemoteFiles:
    @pytest.fixture
    def memory(self) -> Iterator[fsspec.AbstractFileSystem]:
        system = fsspec.filesystem("memory")
        yield system
        system.rm("/bucket", recursive=True)

    def test_files_of_an_fsspec_store_are_listed_and_fetched(
        self, memory: fsspec.AbstractFileSystem, tmp_path: Path
    ) -> None:
        for name in ("b.jsonl", "a.jsonl", "_SUCCESS", "deep/c.jsonl"):
            memory.pipe(f"/bucket/in/{name}", LINE)

        files = discover(source("memory://bucket/in/**"), tmp_path)

        assert [f.uri for f in files] == [f"memory:///bucket/in/{n}" for n in ("a.jsonl", "b.jsonl", "deep/c.jsonl")]
        got = fetch(files[0], tmp_path)
        assert (got.path.read_bytes(), got.sha256) == (LINE, hashlib.sha256(LINE).hexdigest())

    def test_the_day_of_a_remote_file_is_read_from_its_url(
        self, memory: fsspec.AbstractFileSystem, tmp_path: Path
    ) -> None:
        memory.pipe("/bucket/2026-10-14/a.jsonl", LINE)

        (found,) = discover(source("memory://bucket/{date}/*.jsonl"), tmp_path)
        assert found.day == "2026-10-14"

    def test_a_remote_file_that_changes_is_refused(self, memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
        memory.pipe("/bucket/in/a.jsonl", LINE)
        (file,) = discover(source("memory://bucket/in/*.jsonl"), tmp_path)
        memory.pipe("/bucket/in/a.jsonl", LINE * 2)

        with pytest.raises(SourceRejected, match="still being written"):
            fetch(file, tmp_path)

    def test_a_remote_file_that_vanished_is_refused(self, memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
        memory.pipe("/bucket/in/a.jsonl", LINE)
        (file,) = discover(source("memory://bucket/in/*.jsonl"), tmp_path)
        memory.rm("/bucket/in/a.jsonl")
        memory.pipe("/bucket/in/b.jsonl", LINE)

        with pytest.raises(SourceRejected, match="cannot be copied"):
            fetch(file, tmp_path)


class TestText:
    def test_the_digest_is_of_the_bytes_as_the_source_holds_them(self, tmp_path: Path) -> None:
        content = gzip.compress(LINE)

        got = fetched(tmp_path, content)

        assert (got.sha256, got.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert got.path.read_bytes() == LINE

    def test_a_utf8_byte_order_mark_is_taken_off(self, tmp_path: Path) -> None:
        assert fetched(tmp_path, b"\xef\xbb\xbf" + LINE).path.read_bytes() == LINE
        assert fetched(tmp_path, gzip.compress(b"\xef\xbb\xbf" + LINE)).path.read_bytes() == LINE

    @pytest.mark.parametrize("content", [b"", b"1", LINE * 200_000, "é".encode() * 3_000_001])
    def test_text_of_any_length_comes_out_as_it_went_in(self, tmp_path: Path, content: bytes) -> None:
        assert fetched(tmp_path, content).path.read_bytes() == content

    def test_latin1_is_refused_with_byte_and_line(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, LINE * 3 + "café".encode("latin-1") + b"\n" + LINE)

        assert "found the byte 0xe9 at byte 75, line 4" in message

    def test_a_character_cut_by_the_end_of_the_file_is_refused(self, tmp_path: Path) -> None:
        assert f"found the byte 0xc3 at byte {len(LINE):,}, line 2" in refusal(tmp_path, LINE + b"\xc3")

    def test_a_surrogate_in_utf8_is_refused(self, tmp_path: Path) -> None:
        assert "expected UTF-8 text, found the byte 0xed" in refusal(tmp_path, b'{"a":"\xed\xa0\x80"}' + LINE)

    @pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32")])
    def test_other_unicode_encodings_are_refused_by_name(self, tmp_path: Path, encoding: str, name: str) -> None:
        assert f"found {name}" in refusal(tmp_path, LINE.decode().encode(encoding))

    def test_utf16_without_a_mark_is_refused_for_its_nuls(self, tmp_path: Path) -> None:
        assert "found a NUL at byte 1, line 1" in refusal(tmp_path, LINE.decode().encode("utf-16-le"))

    @pytest.mark.parametrize(
        ("magic", "name"),
        [
            (b"PK\x03\x04", "zip"),
            (b"7z\xbc\xaf\x27\x1c", "7z"),
            (b"\xfd7zXZ\x00", "xz"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"BZh91AY&SY", "bzip2"),
        ],
    )
    @pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
    def test_archives_are_refused_by_name(self, tmp_path: Path, magic: bytes, name: str, file_format: str) -> None:
        assert f"expected plain or gzip content, found {name}" in refusal(tmp_path, magic + b"x" * 20, file_format)


class TestGzip:
    def test_members_one_after_another_are_one_file(self, tmp_path: Path) -> None:
        content = b"".join(gzip.compress(LINE * n) for n in (1, 0, 50_000))

        assert fetched(tmp_path, content).path.read_bytes() == LINE * 50_001

    def test_a_wrong_crc_is_refused(self, tmp_path: Path) -> None:
        content = bytearray(gzip.compress(LINE))
        content[-8] ^= 1

        assert "damaged gzip: Error -3 while decompressing data: incorrect data check" in refusal(
            tmp_path, bytes(content)
        )

    def test_a_wrong_length_is_refused(self, tmp_path: Path) -> None:
        content = bytearray(gzip.compress(LINE))
        content[-1] ^= 1

        assert "incorrect length check" in refusal(tmp_path, bytes(content))

    def test_a_damaged_second_member_is_named_by_its_offset(self, tmp_path: Path) -> None:
        first, second = gzip.compress(LINE), bytearray(gzip.compress(LINE))
        second[-8] ^= 1

        assert f"in the member that begins at byte {len(first)}" in refusal(tmp_path, first + bytes(second))

    @pytest.mark.parametrize("kept", [2, 11, -9, -1])
    def test_a_truncated_file_is_refused(self, tmp_path: Path, kept: int) -> None:
        assert "truncated gzip: the file ends at byte" in refusal(tmp_path, gzip.compress(LINE)[:kept])

    @pytest.mark.parametrize("garbage", [b"garbage", b"\0\0", b"\x1f", b"\x1f\x8c"])
    def test_trailing_bytes_are_refused(self, tmp_path: Path, garbage: bytes) -> None:
        content = gzip.compress(LINE)

        message = refusal(tmp_path, content + garbage)

        assert f"at byte {len(content)}" in message or "truncated gzip" in message

    def test_gzip_within_gzip_is_refused(self, tmp_path: Path) -> None:
        assert "found gzip again" in refusal(tmp_path, gzip.compress(gzip.compress(LINE)))

    @given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=8))
    def test_blocks_may_be_cut_anywhere(self, content: bytes, cuts: list[int]) -> None:
        raw = gzip.compress(content) + gzip.compress(content)
        decoder = Decoder("x", "jsonl")
        decoder._content = _Kept()  # type: ignore[assignment]  # the bytes here are no text
        pieces: list[bytes] = []

        for size in [*cuts, len(raw)]:
            block, raw = raw[:size], raw[size:]
            pieces += decoder.feed(block) if block else []
        pieces += decoder.close()

        assert b"".join(pieces) == content * 2


class _Kept:
    def feed(self, block: bytes) -> Iterator[bytes]:
        yield block

    def close(self) -> Iterator[bytes]:
        return iter(())


class TestParquet:
    def test_its_bytes_are_kept(self, tmp_path: Path) -> None:
        content = b"PAR1" + b"x" * 20 + b"PAR1"

        assert fetched(tmp_path, content, "parquet").path.read_bytes() == content

    @pytest.mark.parametrize(
        "content", [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"x" * 20, b"x" * 20 + b"PAR1", LINE * 3, b"PAR1xPAR"]
    )
    def test_a_wrong_beginning_or_end_is_refused(self, tmp_path: Path, content: bytes) -> None:
        assert "expected Parquet's b'PAR1' at its" in refusal(tmp_path, content, "parquet")

    def test_encrypted_parquet_is_refused_by_name(self, tmp_path: Path) -> None:
        assert "found encrypted Parquet" in refusal(tmp_path, b"PARE" + b"x" * 20 + b"PARE", "parquet")


class TestFilesThatMove:
    def listed(self, tmp_path: Path) -> tuple[Path, SourceFile]:
        path = write(tmp_path / "in" / "x.jsonl", LINE * 100)
        return path, discover(source("in/*.jsonl"), tmp_path)[0]

    def test_a_file_that_grew_since_the_listing_is_still_being_written(self, tmp_path: Path) -> None:
        path, file = self.listed(tmp_path)
        path.write_bytes(LINE * 101)

        with pytest.raises(SourceRejected, match=r"still being written: 2,400 bytes when it was listed, 2,424"):
            fetch(file, tmp_path)

    def test_a_file_that_changes_while_it_is_read_is_still_being_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, file = self.listed(tmp_path)
        feed = Decoder.feed

        def feed_and_touch(self: Decoder, block: bytes) -> Iterator[bytes]:
            os.utime(path, ns=(0, 0))
            return feed(self, block)

        monkeypatch.setattr(Decoder, "feed", feed_and_touch)

        with pytest.raises(SourceRejected, match="still being written"):
            fetch(file, tmp_path)

    def test_a_file_that_vanished_is_refused(self, tmp_path: Path) -> None:
        path, file = self.listed(tmp_path)
        path.unlink()

        with pytest.raises(SourceRejected, match=r"in/x\.jsonl: cannot be copied"):
            fetch(file, tmp_path)

    def test_a_fifo_put_in_its_place_does_not_block(self, tmp_path: Path) -> None:
        path, file = self.listed(tmp_path)
        path.unlink()
        os.mkfifo(path)

        with pytest.raises(SourceRejected, match="found something else in its place"):
            fetch(file, tmp_path)

    def test_a_link_put_in_its_place_is_refused(self, tmp_path: Path) -> None:
        path, file = self.listed(tmp_path)
        path.unlink()
        path.symlink_to("/dev/zero")

        with pytest.raises(SourceRejected, match="cannot be copied"):
            fetch(file, tmp_path)
