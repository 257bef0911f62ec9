"""What keeps runs from writing to an Iceberg table as it is now, and files that may not be put back into it."""

from __future__ import annotations

from pyarrow import parquet
from pyiceberg.manifest import DataFileContent, ManifestContent
from pyiceberg.table import Table as IcebergTable

from remint.errors import PublishConflict
from remint.formats.base import Replacement, Table
from remint.storage.base import below

_FORMAT_VERSION = 2
_POSITION_DELETE = {"file_path", "pos"}
_UNMEASURED = ("", "{}")


def unsupported(loaded: IcebergTable) -> list[str]:
    """Return in words what of a table remint does not keep; whatever pyiceberg raises says that it cannot be read."""
    found = []
    if loaded.metadata.format_version != _FORMAT_VERSION:
        found.append(f"it has format version {loaded.metadata.format_version}, and remint writes {_FORMAT_VERSION}")
    snapshot = loaded.metadata.current_snapshot()
    for manifest in snapshot.manifests(loaded.io) if snapshot else ():
        if manifest.content == ManifestContent.DELETES:
            entries = manifest.fetch_manifest_entry(loaded.io, discard_deleted=True)
            if any(e.data_file.content == DataFileContent.EQUALITY_DELETES for e in entries):
                found.append("it uses equality deletes, which remint does not read")
                break
    return found


def lost_columns(loaded: IcebergTable, table: Table) -> list[str]:
    """Return in words which columns the table had once and lacks: added anew, they would lose their values."""
    wanted = {c.name for c in table.columns} - set(loaded.schema().column_names)
    lost = sorted(wanted & {name for schema in loaded.metadata.schemas for name in schema.column_names})
    if not lost or loaded.metadata.current_snapshot() is None:
        return []
    return [f"column {', '.join(lost)} was in the table, and somebody dropped or renamed it"]


def refuse_deletes(table: Table, loaded: IcebergTable, replacement: Replacement) -> None:
    """Refuse to put back files beside which position deletes were live: they would count for older files no more.

    What remint wrote carries its statistics; only of other files it has to be looked up what they are.
    """
    for file in replacement.adds:
        if file.stats in _UNMEASURED and _columns(loaded, below(table.location, file.path)) == _POSITION_DELETE:
            raise PublishConflict(
                f"{table.name} {file.key}: rows of its files were deleted by {file.path}, and would come back",
                hint=f"remint run {table.name} --rebuild    # makes it anew instead",
            )


def _columns(loaded: IcebergTable, place: str) -> set[str]:
    with loaded.io.new_input(place).open() as file:
        return set(parquet.read_schema(file).names)
