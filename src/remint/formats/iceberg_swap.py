"""The snapshot of an Iceberg table that takes files out, and puts others in, by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pyiceberg.manifest import DataFileContent, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table.update.snapshot import _OverwriteFiles


class FileSwap(_OverwriteFiles):
    """Takes files out by name, wherever they lie: no predicate, which takes pyiceberg seconds for many partitions."""

    @cached_property
    def _decoded(self) -> dict[str, list[ManifestEntry]]:
        return {}

    def _build_delete_files_partition_predicate(self) -> None:
        return

    def _existing_manifests(self) -> list[ManifestFile]:
        return [kept for manifest in self._parents() for kept in self._without_gone(manifest)]

    def _deleted_entries(self) -> list[ManifestEntry]:
        found = []
        for manifest in self._parents():
            if manifest.content is ManifestContent.DATA:
                entries = self._entries(manifest)
                found += [self._marked(e, ManifestEntryStatus.DELETED) for e in entries if self._is_gone(e)]
        self._validate_required_deletes(found)
        return found

    def _parents(self) -> list[ManifestFile]:
        number = self._parent_snapshot_id
        parent = None if number is None else self._transaction.table_metadata.snapshot_by_id(number)
        return [] if parent is None else parent.manifests(self._io)

    def _without_gone(self, manifest: ManifestFile) -> Iterator[ManifestFile]:
        """Yield the manifest, anew without the files that go; one that names none that are live is dropped."""
        if manifest.content is ManifestContent.DELETES:
            yield manifest
            return
        entries = self._entries(manifest)
        kept = [entry for entry in entries if not self._is_gone(entry)]
        if len(kept) == len(entries):
            if entries:
                yield manifest
        elif kept:
            with self.new_manifest_writer(self.spec(manifest.partition_spec_id)) as writer:
                for entry in kept:
                    writer.add_entry(self._marked(entry, ManifestEntryStatus.EXISTING))
            yield writer.to_manifest_file()

    def _entries(self, manifest: ManifestFile) -> list[ManifestEntry]:
        """Return what a manifest names that is live; each is asked for twice, and decoding one takes long."""
        place = manifest.manifest_path
        if place not in self._decoded:
            self._decoded[place] = manifest.fetch_manifest_entry(self._io, discard_deleted=True)
        return self._decoded[place]

    def _is_gone(self, entry: ManifestEntry) -> bool:
        return entry.data_file.content is DataFileContent.DATA and entry.data_file in self._deleted_data_files

    def _marked(self, entry: ManifestEntry, status: ManifestEntryStatus) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=self._snapshot_id if status is ManifestEntryStatus.DELETED else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )
