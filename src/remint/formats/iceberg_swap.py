"""One snapshot that takes files out by name and puts others in, delete files too, which pyiceberg leaves in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pyiceberg.manifest import (
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.table.update.snapshot import _OverwriteFiles


class _DeletesWriter(ManifestWriterV2):
    """Writes a manifest of delete files; pyiceberg has none."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


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
        data, deletes = self._gone(ManifestContent.DATA), self._gone(ManifestContent.DELETES)
        self._validate_required_deletes([*data, *deletes])
        return data

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        """Add the manifests that say which delete files go: they may not stand beside data files."""
        found = list(manifests)
        gone = self._gone(ManifestContent.DELETES)
        for number in sorted({entry.data_file.spec_id for entry in gone}):
            with self._writer(ManifestContent.DELETES, number) as writer:
                for entry in (e for e in gone if e.data_file.spec_id == number):
                    writer.add_entry(entry)
            found.append(writer.to_manifest_file())
        return found

    def _gone(self, content: ManifestContent) -> list[ManifestEntry]:
        """Return the entries of files that go, from the manifests of one kind, marked so."""
        listed = (m for m in self._parents() if m.content == content)
        entries = (entry for manifest in listed for entry in self._entries(manifest))
        return [self._marked(e, ManifestEntryStatus.DELETED) for e in entries if self._is_gone(e)]

    def _writer(self, content: ManifestContent, spec_id: int) -> ManifestWriter:
        if content == ManifestContent.DATA:
            return self.new_manifest_writer(self.spec(spec_id))
        schema = self._transaction.table_metadata.schema()
        return _DeletesWriter(
            self.spec(spec_id), schema, self.new_manifest_output(), self._snapshot_id, self._compression
        )

    def _parents(self) -> list[ManifestFile]:
        number = self._parent_snapshot_id
        parent = None if number is None else self._transaction.table_metadata.snapshot_by_id(number)
        return [] if parent is None else parent.manifests(self._io)

    def _without_gone(self, manifest: ManifestFile) -> Iterator[ManifestFile]:
        """Yield the manifest, anew without the files that go; one that names none that are live is dropped."""
        entries = self._entries(manifest)
        kept = [entry for entry in entries if not self._is_gone(entry)]
        if len(kept) == len(entries):
            if entries:
                yield manifest
        elif kept:
            with self._writer(manifest.content, manifest.partition_spec_id) as writer:
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
        return entry.data_file in self._deleted_data_files

    def _marked(self, entry: ManifestEntry, status: ManifestEntryStatus) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=self._snapshot_id if status is ManifestEntryStatus.DELETED else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )
