"""What somebody can do to the metadata of an Iceberg table and to the catalog that names it: one change, drawn."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, ManifestEntryStatus, ManifestFile, write_manifest
from pyiceberg.table import Table

from tests.e2e.lakehouses import Iceberg
from tests.e2e.projects import Project


def opened(project: Project, table: str) -> Table:
    """Return the table as pyiceberg sees it."""
    assert isinstance(project.lakehouse, Iceberg)
    return project.lakehouse.table(table)


def replaced(path: Path, content: bytes) -> None:
    """Give a file other content."""
    path.unlink()
    path.write_bytes(content)


def damaged(path: Path, draw: random.Random) -> None:
    """Empty a file, cut its end off, put other bytes in its place, or remove it."""
    content = path.read_bytes()
    match draw.randrange(4):
        case 0:
            replaced(path, b"")
        case 1:
            replaced(path, content[: draw.randrange(1, len(content) - 1)])
        case 2:
            replaced(path, draw.randbytes(len(content)))
        case _:
            path.unlink()


def metadata(project: Project, table: str, draw: random.Random) -> None:
    """Damage the file that the catalog names."""
    damaged(Path(opened(project, table).metadata_location), draw)


def manifest_list(project: Project, table: str, draw: random.Random) -> None:
    """Damage the list of manifests of any snapshot."""
    damaged(Path(draw.choice(opened(project, table).metadata.snapshots).manifest_list), draw)


def manifests(project: Project, table: str) -> list[ManifestFile]:
    """Return the manifests of the newest snapshot that name live files."""
    held = opened(project, table)
    snapshot = held.current_snapshot()
    assert snapshot
    return [m for m in snapshot.manifests(held.io) if m.has_added_files() or m.has_existing_files()]


def manifest(project: Project, table: str, draw: random.Random) -> None:
    """Damage a manifest."""
    damaged(Path(draw.choice(manifests(project, table)).manifest_path), draw)


def edit_manifest(project: Project, table: str, draw: random.Random) -> None:
    """Change what a manifest says of a file: path, partition, size, number of rows, bounds, or that it is there."""
    held, chosen = opened(project, table), draw.choice(manifests(project, table))
    place = Path(chosen.manifest_path)
    entries = chosen.fetch_manifest_entry(held.io, discard_deleted=False)
    victim = draw.choice([e for e in entries if e.status is not ManifestEntryStatus.DELETED])
    what = draw.choice(["path", "partition", "size", "rows", "bounds", *["gone"][: len(entries) - 1]])
    _change(victim.data_file, what)
    place.unlink()
    spec, output = held.metadata.specs()[chosen.partition_spec_id], PyArrowFileIO().new_output(str(place))
    with write_manifest(2, spec, held.schema(), output, chosen.added_snapshot_id, "null") as writer:
        for entry in entries:
            if what != "gone" or entry is not victim:
                writer.add_entry(entry)


def _change(file: DataFile, what: str) -> None:
    names = {"path": 1, "partition": 3, "rows": 4, "size": 5, "bounds": 10}
    match what:
        case "path":
            file[names[what]] = file.file_path.replace("part-", "port-")
        case "partition":
            file.partition[0] -= 1
        case "size" | "rows":
            file[names[what]] += 3
        case "bounds":
            file[names[what]] = {number: bytes(len(held)) for number, held in file.lower_bounds.items()}
        case _:
            return


def drop_snapshot(project: Project, table: str, draw: random.Random) -> None:
    """Make the table forget its newest snapshot, in the very file that the catalog names."""
    del draw
    path = Path(opened(project, table).metadata_location)
    said = json.loads(path.read_text())
    gone = said["current-snapshot-id"]
    said["snapshots"] = [s for s in said["snapshots"] if s["snapshot-id"] != gone]
    said["current-snapshot-id"] = said["snapshots"][-1]["snapshot-id"]
    said["refs"]["main"]["snapshot-id"] = said["current-snapshot-id"]
    said["snapshot-log"] = [s for s in said["snapshot-log"] if s["snapshot-id"] != gone]
    replaced(path, json.dumps(said).encode())


def set_back(project: Project, table: str, draw: random.Random) -> None:
    """Make the catalog name an earlier state of the table, or a copy of one."""
    earlier = [Path(e.metadata_file) for e in opened(project, table).metadata.metadata_log]
    with_snapshots = [p for p in earlier if json.loads(p.read_text())["snapshots"]]
    place = draw.choice(with_snapshots)
    if draw.random() < 0.5:
        copy = place.with_name(f"00099-{uuid.UUID(int=draw.getrandbits(128))}.metadata.json")
        shutil.copyfile(place, copy)
        place = copy
    _in_catalog(project, table, "UPDATE iceberg_tables SET metadata_location = ?", str(place))


def drop_row(project: Project, table: str, draw: random.Random) -> None:
    """Make the catalog forget the table."""
    del draw
    _in_catalog(project, table, "DELETE FROM iceberg_tables")


def point_nowhere(project: Project, table: str, draw: random.Random) -> None:
    """Make the catalog name a file that is not there."""
    place = f"{opened(project, table).location()}/metadata/00099-{draw.getrandbits(64)}.metadata.json"
    _in_catalog(project, table, "UPDATE iceberg_tables SET metadata_location = ?", place)


def _in_catalog(project: Project, table: str, statement: str, *values: str) -> None:
    assert isinstance(project.lakehouse, Iceberg)
    namespace, name = table.split(".")
    with closing(sqlite3.connect(project.lakehouse.database)) as catalog:
        where = " WHERE table_namespace = ? AND table_name = ?"
        assert catalog.execute(statement + where, (*values, namespace, name)).rowcount == 1
        catalog.commit()


def add_foreign(project: Project, table: str, draw: random.Random) -> None:
    """Make a copy of a file live, by a commit of somebody else's."""
    held = opened(project, table)
    victim = draw.choice([task.file for task in held.scan().plan_files()])
    copy = Path(victim.file_path).with_name(f"part-{draw.getrandbits(30)}.parquet")
    shutil.copyfile(victim.file_path, copy)
    with held.transaction() as change, change.update_snapshot().fast_append() as adding:
        victim[1] = str(copy)
        adding.append_data_file(victim)


METADATA: Mapping[str, Callable[[Project, str, random.Random], Any]] = {
    "foreign add": add_foreign,
    "metadata": metadata,
    "manifest list": manifest_list,
    "manifest": manifest,
    "manifest edited": edit_manifest,
    "snapshot dropped": drop_snapshot,
    "catalog set back": set_back,
    "catalog row gone": drop_row,
    "catalog points nowhere": point_nowhere,
}
