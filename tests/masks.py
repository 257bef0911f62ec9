"""Rows deleted beside their files, as merge-on-read writers do it: what no library here can write."""

from __future__ import annotations

import base64
import json
import string
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles

from remint.storage.base import Storage
from remint.storage.local import LOCAL

_B85 = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#"
_MAGIC, _NO_RUNS = 1681511377, 12346
_FEATURES = ["appendOnly", "deletionVectors", "invariants"]


def vector(positions: Sequence[int]) -> dict[str, Any]:
    """Return a deletion vector that lies in the log itself (Delta protocol, «Deletion Vector Format»)."""
    bitmap = struct.pack("<IIHHI", _NO_RUNS, 1, 0, len(positions) - 1, 16)
    bitmap += b"".join(struct.pack("<H", position) for position in positions)
    content = struct.pack("<IQI", _MAGIC, 1, 0) + bitmap
    assert len(content) % 4 == 0, "an even number of rows, which Z85 can spell"
    text = base64.b85encode(content).decode().translate(str.maketrans(_B85, _Z85))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(content), "cardinality": len(positions)}


def mask_delta(table: str, within: str, positions: Sequence[int], storage: Storage = LOCAL) -> None:
    """Delete rows of the one file of a Delta table whose path has ``within``."""
    log = f"{table}/_delta_log"
    entries = [name for name in storage.names(log) if name.endswith(".json")]
    live: dict[str, dict[str, Any]] = {}
    for action in (json.loads(line) for e in entries for line in storage.read(f"{log}/{e}").decode().splitlines()):
        if "remove" in action:
            live.pop(action["remove"]["path"], None)
        elif "add" in action:
            live[action["add"]["path"]] = action["add"]
    (add,) = [a for path, a in live.items() if within in path]
    gone = {key: add[key] for key in ("path", "partitionValues", "size")}
    actions = [
        {"commitInfo": {"operation": "DELETE", "engineInfo": "somebody"}},
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}},
        {"remove": {**gone, "deletionTimestamp": 0, "dataChange": True, "extendedFileMetadata": True}},
        {"add": {**add, "deletionVector": vector(positions)}},
    ]
    actions[1]["protocol"]["writerFeatures"] = _FEATURES
    content = "".join(f"{json.dumps(action)}\n" for action in actions)
    assert storage.create(f"{log}/{int(entries[-1].removesuffix('.json')) + 1:020d}.json", content.encode())


class _DeletesWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Deleting(_FastAppendFiles):
    def new_manifest_writer(self, spec: Any) -> Any:
        metadata = self._transaction.table_metadata
        return _DeletesWriter(spec, metadata.schema(), self.new_manifest_output(), self._snapshot_id, "null")


def mask_iceberg(
    loaded: Table,
    place: str,
    positions: Sequence[int],
    content: DataFileContent = DataFileContent.POSITION_DELETES,
) -> None:
    """Delete rows of a file of an Iceberg table."""
    ids = [{b"PARQUET:field_id": number} for number in (b"2147483546", b"2147483545")]
    schema = pa.schema([pa.field("file_path", pa.string(), False, ids[0]), pa.field("pos", pa.int64(), False, ids[1])])
    written = f"{loaded.location()}/deletes-{uuid.uuid4()}.parquet"
    rows = {"file_path": [place] * len(positions), "pos": list(positions)}
    pq.write_table(pa.table(rows, schema), written)
    (file,) = [t.file for t in loaded.scan().plan_files() if t.file.file_path == place]
    deletes = DataFile.from_args(
        content=content,
        file_path=written,
        file_format=FileFormat.PARQUET,
        partition=file.partition,
        record_count=len(positions),
        file_size_in_bytes=Path(written).stat().st_size,
        equality_ids=[1] if content is DataFileContent.EQUALITY_DELETES else None,
        spec_id=0,
    )
    transaction = Transaction(loaded)
    producer = _Deleting(Operation.DELETE, transaction, loaded.io)
    producer.append_data_file(deletes)
    producer.commit()
    transaction.commit_transaction()
