"""Say which files of an Iceberg table's metadata are needed: by its state, its earlier states, and lost later ones.

Rules: names are compared without their folders, which one writer spells otherwise than the next; every name holds a
UUID. A state that is numbered higher than the one that the catalog names is of a commit that was killed, or the catalog
was set back: what such a state names is kept, so that somebody can go on to it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from pyiceberg.io import FileIO
from pyiceberg.manifest import read_manifest_list
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata

_STATE = re.compile(r"(\d+)-.+\.metadata\.json")
_KINDS = (".metadata.json", ".avro")


def is_metadata(path: str) -> bool:
    """Return whether a name is one that writers of Iceberg give to a state, a list of manifests or a manifest."""
    return "/" not in path and path.endswith(_KINDS)


def named_by(loaded: IcebergTable, there: Iterable[str]) -> set[str]:
    """Return the names of all metadata files that a table needs, of those that are ``there`` in their folder.

    Raises:
        Exception: whatever a library makes of a file that cannot be read.
    """
    names = set(there)
    earlier = {_name(entry.metadata_file) for entry in loaded.metadata.metadata_log}
    current = _number(_name(loaded.metadata_location))
    later = {name for name in names if name.endswith(_KINDS[0]) and _number(name) > current}
    folder = posixpath.dirname(loaded.metadata_location)
    states = [_state(loaded.io, f"{folder}/{name}") for name in sorted((earlier | later) & names)]
    found = {_name(loaded.metadata_location)} | earlier | later
    seen: set[str] = set()
    for state in (loaded.metadata, *states):
        for snapshot in state.snapshots:
            if snapshot.manifest_list not in seen:
                seen.add(snapshot.manifest_list)
                found |= set(_named_by_list(loaded.io, snapshot.manifest_list, names))
    return found


def _state(io: FileIO, place: str) -> TableMetadata:
    return FromInputFile.table_metadata(io.new_input(place))


def _named_by_list(io: FileIO, place: str, names: set[str]) -> Iterator[str]:
    """Yield a list of manifests and what it names; of an earlier state's it may be gone with its snapshot."""
    yield _name(place)
    if _name(place) in names:
        yield from (_name(manifest.manifest_path) for manifest in read_manifest_list(io.new_input(place)))


def _number(name: str) -> float:
    """Return which state of its table a metadata file is; the highest of all where its name does not say so."""
    found = _STATE.fullmatch(name)
    return int(found[1]) if found else float("inf")


def _name(place: str) -> str:
    return posixpath.basename(place)
