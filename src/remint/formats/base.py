"""The seam to table formats: observe a table, publish one replacement of files, read back what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remint.model.dataset import Column
from remint.model.partition import PartitionKey, PartitionSpec
from remint.model.provenance import DataFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as a format needs to know it."""

    name: str
    """Dataset name, for messages."""
    location: str
    """Absolute folder."""
    columns: tuple[Column, ...]
    partition: PartitionSpec
    append_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Files that take the place of others in one commit."""

    run_id: str
    attempt: int
    """Part of the idempotency key: a table takes one commit for each (run, attempt)."""
    adds: tuple[DataFile, ...]
    removes: tuple[DataFile, ...]
    """Exactly the live files of every partition that is replaced."""

    @property
    def keys(self) -> frozenset[PartitionKey]:
        """Partitions that the commit touches."""
        return frozenset(f.key for f in (*self.adds, *self.removes))


class TableFormat(Protocol):
    """One table format. Every method opens the table anew, so no handle goes stale."""

    name: str

    def version(self, table: Table) -> int | None:
        """Return the table's newest version, None when there is no table yet."""
        ...

    def create(self, table: Table) -> int:
        """Create the table, empty, and return its version; a table that exists is left as it is."""
        ...

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        """Return the paths of the live files by partition, relative to the table's folder, decoded."""
        ...

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        """Return the version that (run, attempt) committed, None when it did not: resolves an unknown outcome."""
        ...

    def check(self, table: Table, replacement: Replacement) -> None:
        """Refuse a replacement that ``publish`` would refuse now.

        Raises:
            PublishConflict: the live files of a touched partition are not ``replacement.removes``.
        """
        ...

    def mend(self, table: Table, expected: Sequence[Replacement], aside: Path) -> list[str]:
        """Move what a loss of power tore at the end of the table's log into ``aside``; return in words what it was.

        Only what a run that was publishing can have left: the newest commit, where it is empty or torn, or is one of
        the ``expected`` and does not hold all of it. It can be made again then.
        """
        ...

    def publish(self, table: Table, replacement: Replacement) -> int:
        """Commit the replacement, unless it is committed already, and return its version, read back and durable.

        Raises:
            PublishConflict: the live files of a touched partition are not ``replacement.removes``; nothing is
                committed.
            PublishUnverified: the commit went through but the table does not show it.
        """
        ...

    def damaged_commits(self, table: Table) -> list[str]:
        """Return in words every commit of the log that is not whole; readers may take it for an empty one."""
        ...

    def differences(self, table: Table) -> list[str]:
        """Return in words what keeps an existing table from being ``table``: columns, types, cut, unusable features."""
        ...

    def foreign_writer(self, table: Table) -> str:
        """Return in words who made the newest commit that is not remint's, for messages about foreign writes."""
        ...


def by_key(files: Sequence[DataFile]) -> dict[PartitionKey, list[DataFile]]:
    """Return files grouped by partition."""
    groups: dict[PartitionKey, list[DataFile]] = {}
    for file in files:
        groups.setdefault(file.key, []).append(file)
    return groups
