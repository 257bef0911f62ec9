"""Decoding of a source file's bytes: gzip undone and verified, text proven to be UTF-8, Parquet recognised."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator

from remint.errors import SourceRejected

_GZIP = b"\x1f\x8b"
_UTF8_BOM = codecs.BOM_UTF8
_PARQUET, _ENCRYPTED_PARQUET = b"PAR1", b"PARE"
_HEAD_BYTES = 10
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ARCHIVES = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
)


class Decoder:
    """The checks that one file's bytes pass through, block by block."""

    def __init__(self, uri: str, file_format: str) -> None:
        self._uri = uri
        self._gzip: _Gzip | None = None
        self._content = _Parquet(uri) if file_format == "parquet" else _Text(uri)
        self._head = b""
        self._is_open = False

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Give the content that ``block`` of the raw file continues.

        Raises:
            SourceRejected: names the file, the offset and what is wrong there.
        """
        if not self._is_open:
            self._head += block
            if len(self._head) < _HEAD_BYTES:
                return
            block = self._open()
        yield from self._decoded(block)

    def close(self) -> Iterator[bytes]:
        """Give what is left, and check that the file ends where it may."""
        if not self._is_open:
            yield from self._decoded(self._open())
        if self._gzip:
            self._gzip.close()
        yield from self._content.close()

    def _open(self) -> bytes:
        self._is_open = True
        if self._head.startswith(_GZIP):
            self._gzip = _Gzip(self._uri)
        return self._head

    def _decoded(self, block: bytes) -> Iterator[bytes]:
        for piece in self._gzip.feed(block) if self._gzip else (block,):
            yield from self._content.feed(piece)


class _Gzip:
    """Gzip members one after another, each with its CRC and length verified by zlib."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._member = zlib.decompressobj(wbits=31)
        self._fed = 0
        self._started = 0
        """Offset at which the current member begins."""
        self._between = b""
        """First byte of the next member, when a block ends right behind it."""

    def feed(self, block: bytes) -> Iterator[bytes]:
        self._fed += len(block)
        block = self._between + block
        self._between = b""
        while block:
            if self._member.eof and not self._starts_member(block):
                return
            try:
                piece = self._member.decompress(block)
            except zlib.error as error:
                raise SourceRejected(
                    f"{self._uri}: damaged gzip: {error}, in the member that begins at byte {self._started:,}",
                    hint="fetch the file again from where it was made",
                ) from None
            block = self._member.unused_data
            if piece:
                yield piece

    def _starts_member(self, block: bytes) -> bool:
        """True when a member begins here; False when more bytes must tell."""
        offset = self._fed - len(block)
        if len(block) < len(_GZIP) and _GZIP.startswith(block):
            self._between = block
            return False
        if not block.startswith(_GZIP):
            raise SourceRejected(
                f"{self._uri}: expected the end of the gzip file or another member at byte {offset:,}, found "
                f"{block[:8]!r}",
                hint="cut the trailing bytes off, or fetch the file again",
            )
        self._member, self._started = zlib.decompressobj(wbits=31), offset
        return True

    def close(self) -> None:
        if not self._member.eof or self._between:
            raise SourceRejected(
                f"{self._uri}: truncated gzip: the file ends at byte {self._fed:,} within the member that begins at "
                f"byte {self._started:,}",
                hint="fetch the file again from where it was made",
            )


class _Text:
    """UTF-8 text; a byte order mark is taken off."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._head = b""
        self._fed = 0
        self._lines = 0
        self._is_open = False

    def feed(self, block: bytes) -> Iterator[bytes]:
        if not self._is_open:
            self._head += block
            if len(self._head) < _HEAD_BYTES:
                return
            block = self._open()
        yield self._checked(block)

    def close(self) -> Iterator[bytes]:
        if not self._is_open:
            yield self._checked(self._open())
        self._validate(b"", is_last=True)

    def _open(self) -> bytes:
        self._is_open = True
        _refuse_archive(self._uri, self._head)
        for mark, name in _OTHER_ENCODINGS:
            if self._head.startswith(mark):
                raise SourceRejected(
                    f"{self._uri}: expected UTF-8 text, found {name}", hint=f"iconv -f {name} -t UTF-8"
                )
        return self._head

    def _checked(self, block: bytes) -> bytes:
        at = block.find(0)
        if at >= 0:
            raise SourceRejected(
                f"{self._uri}: expected UTF-8 text, found a NUL at byte {self._fed + at:,}, "
                f"line {self._line(block[:at]):,}",
                hint="UTF-16 without a byte order mark looks so: iconv -f UTF-16LE -t UTF-8",
            )
        self._validate(block, is_last=False)
        content = block.removeprefix(_UTF8_BOM) if self._fed == 0 else block
        self._fed += len(block)
        self._lines += block.count(b"\n")
        return content

    def _validate(self, block: bytes, *, is_last: bool) -> None:
        pending = len(self._utf8.getstate()[0])
        try:
            self._utf8.decode(block, is_last)
        except UnicodeDecodeError as error:
            at = self._fed - pending + error.start
            line = self._line(block[: max(error.start - pending, 0)])
            raise SourceRejected(
                f"{self._uri}: expected UTF-8 text, found the byte 0x{error.object[error.start]:02x} at byte {at:,}, "
                f"line {line:,}",
                hint="a file in Latin-1 looks so: iconv -f LATIN1 -t UTF-8",
            ) from None

    def _line(self, before: bytes) -> int:
        return self._lines + before.count(b"\n") + 1


class _Parquet:
    """Parquet by its first and last bytes; the engine opens the rest."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._head = b""
        self._tail = b""
        self._fed = 0

    def feed(self, block: bytes) -> Iterator[bytes]:
        if len(self._head) < _HEAD_BYTES:
            self._head += block[:_HEAD_BYTES]
        self._tail = (self._tail + block)[-len(_PARQUET) :]
        self._fed += len(block)
        yield block

    def close(self) -> Iterator[bytes]:
        _refuse_archive(self._uri, self._head)
        if _ENCRYPTED_PARQUET in (self._head[:4], self._tail):
            raise SourceRejected(f"{self._uri}: expected Parquet, found encrypted Parquet", hint="decrypt it first")
        for place, found in (("beginning", self._head[:4]), ("end", self._tail)):
            if found != _PARQUET or self._fed < 3 * len(_PARQUET):
                raise SourceRejected(
                    f"{self._uri}: expected Parquet's {_PARQUET!r} at its {place}, found {found!r} in a file of "
                    f"{self._fed:,} bytes",
                    hint="the file is cut or of another format; fetch it again",
                )
        return iter(())


def _refuse_archive(uri: str, head: bytes) -> None:
    if head.startswith(_GZIP):
        raise SourceRejected(f"{uri}: expected plain content within the gzip file, found gzip again", hint="gunzip it")
    for magic, name in _ARCHIVES:
        if head.startswith(magic):
            raise SourceRejected(f"{uri}: expected plain or gzip content, found {name}", hint="unpack it, or use gzip")
