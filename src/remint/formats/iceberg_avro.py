"""Read manifests only when they are whole: pyiceberg takes a torn one for a shorter one, or dies of it.

Rules: every manifest and every list of manifests goes through ``CheckedIO``; its blocks must reach to its end, each
closed by the mark of the file. That finds what was cut off, emptied or overwritten. Who looks for damage asks for
``deep``: every value is decoded once with bounds that hold, so that no flipped bit reaches the fast decoder.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from pyiceberg.avro.decoder import StreamingBinaryDecoder
from pyiceberg.avro.file import META_SCHEMA, SYNC_SIZE, AvroFileHeader
from pyiceberg.avro.resolver import construct_reader
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

if TYPE_CHECKING:
    from pyiceberg.avro.reader import Reader

_MAGIC, _SCHEMA = b"Obj\x01", "avro.schema"


class TornFile(ValueError):
    """A file is no whole Avro file."""


class CheckedIO(FileIO):
    """Files as another one reads and writes them; of Avro files only whole ones are read."""

    def __init__(self, io: FileIO, *, deep: bool = False) -> None:
        """Stand before ``io``; with ``deep`` every value is decoded."""
        super().__init__(io.properties)
        self._io, self._deep = io, deep

    def new_input(self, location: str) -> InputFile:
        """Return a file to read."""
        found = self._io.new_input(location)
        return _Checked(found, deep=self._deep) if location.endswith(".avro") else found

    def new_output(self, location: str) -> OutputFile:
        """Return a file to write."""
        return self._io.new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        self._io.delete(location)


class _Checked(InputFile):
    def __init__(self, file: InputFile, *, deep: bool) -> None:
        super().__init__(file.location)
        self._file, self._deep = file, deep

    def __len__(self) -> int:
        return len(self._file)

    def exists(self) -> bool:
        return self._file.exists()

    def open(self, seekable: bool = True) -> InputStream:
        with self._file.open(seekable) as stream:
            content = stream.read()
        require_whole(content, deep=self._deep)
        return BytesIO(content)


def require_whole(content: bytes, *, deep: bool) -> None:
    """Refuse what is no Avro file from its first to its last byte.

    Raises:
        TornFile: what is wrong.
    """
    try:
        _walk(content, deep=deep)
    except TornFile:
        raise
    except Exception as error:
        raise TornFile(f"it is no whole Avro file: {type(error).__name__} {error}") from error


def _walk(content: bytes, *, deep: bool) -> None:
    if not content.startswith(_MAGIC):
        raise TornFile("it is empty" if not content else "it does not begin as an Avro file does")
    decoder = StreamingBinaryDecoder(content)
    header: AvroFileHeader = _header_reader().read(decoder)
    reader, codec = _reader(header.meta[_SCHEMA]), header.compression_codec()
    while decoder.tell() < len(content):
        count, block = decoder.read_int(), decoder.read_bytes()
        if decoder.read(SYNC_SIZE) != header.sync:
            raise TornFile("one of its blocks does not end with the mark of the file")
        if deep:
            _decode(reader, codec.decompress(block) if codec else block, count)


@cache
def _header_reader() -> Reader:
    return construct_reader(META_SCHEMA, {-1: AvroFileHeader})


@lru_cache(maxsize=100)
def _reader(schema: str) -> Reader:
    """Return the reader of files with a schema. pyiceberg keeps every reader for ever: one for each file adds up."""
    return construct_reader(AvroSchemaConversion().avro_to_iceberg(json.loads(schema)))


def _decode(reader: Reader, block: bytes, count: int) -> None:
    decoder = StreamingBinaryDecoder(block)
    for _ in range(count):
        reader.read(decoder)
    if decoder.tell() != len(block):
        raise TornFile("one of its blocks holds more than its entries")
