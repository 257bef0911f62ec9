"""The seam to table formats: observe a table, publish one replacement of files, read back what was published."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from remint.errors import TableUnusable
from remint.model.dataset import Column
from remint.model.partition import PartitionKey, PartitionSpec
from remint.model.provenance import DataFile, Layout, TableState
from remint.storage.base import Stored


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """A replacement that is committed."""

    version: int
    after: int | None
    """Version of the table that it was committed on; None where an earlier try made it."""
    table_id: str
    """What the format calls this very table by: one that is made in its place has another."""


class LogFlaw(StrEnum):
    """What is wrong with an entry of a table's log."""

    EMPTY = "empty"
    """Readers take it for a commit that changed nothing."""
    TORN = "torn"
    """A line of it is no JSON."""
    CUT = "cut"
    """It says nothing of who made it: its end or its beginning is gone."""
    GAP = "gap"
    """There is none of that version."""
    DUPLICATE = "duplicate"
    """It says what an earlier one says."""
    CHECKPOINT = "checkpoint"
    """A summary of the log, which readers trust more than its entries, cannot be read or says something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFault:
    """One entry of a log that is not as it was written."""

    flaw: LogFlaw
    file: str
    """Name of the entry, below the table's log."""
    version: int
    detail: str
    is_newest: bool = False
    """No version comes after it, so that it can be taken out of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedFile:
    """A data file as the log names it."""

    path: str
    key: PartitionKey
    """Empty where the partition value is none that the table can have."""
    size_bytes: int
    stats: str | None
    """None where the log does not hold them as they were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One entry of a log that can be read."""

    version: int
    file: str
    run_id: str
    """Empty for a commit that is not remint's."""
    attempt: int
    adds: tuple[LoggedFile, ...]
    removes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReading:
    """All that a table's log says, entry by entry, read without the format's library."""

    newest: int
    """Newest version; -1 where there is none."""
    commits: tuple[Commit, ...]
    """In order of version; entries before the oldest checkpoint may have been cleaned up."""
    faults: tuple[LogFault, ...]
    live: Mapping[str, LoggedFile] | None
    """Live files by path, as the entries add up; None where a fault leaves that open."""
    named: frozenset[str]
    """Every path that any version which the log can still give names."""
    table_id: str = ""
    """As ``Landed`` has it; empty where nothing says it."""
    is_lost: bool = False
    """No version of the table can be read, not even an earlier one, and something names it still."""


class TableFormat(Protocol):
    """One table format. Every method opens the table anew, so no handle goes stale."""

    name: str
    log_folder: str
    """Folder below that of the table which is the format's own."""
    entries_build_up: bool
    """An entry of the log is named by the one after it, so that one which is written anew takes along all after it."""

    files_are_whole: bool
    """Files hold every column, also those by whose values the table is cut."""

    @property
    def absent(self) -> str:
        """In words what shows that a table is not there."""
        ...

    def commits_together(self, tables: Sequence[Table]) -> bool:
        """Return whether ``publish`` commits to all of these tables or to none of them."""
        ...

    def version(self, table: Table) -> int | None:
        """Return the table's newest version, None when there is no table yet."""
        ...

    def state(self, table: Table, version: int | None = None) -> TableState | None:
        """Return the newest version, or the one that is asked for, as nothing else is that has its number.

        None where there is no table, or nothing is left of that version.
        """
        ...

    def create(self, table: Table) -> int:
        """Create the table, empty, or add the columns that it lacks; return its version."""
        ...

    def prepare(self, table: Table) -> None:
        """Make what must be there before files of the table are written; nothing that readers of tables see.

        Raises:
            TableUnusable: see ``unusable``.
        """
        ...

    def unusable(self, table: Table) -> list[str]:
        """Return in words why runs cannot write to a table that is there: features, columns that it lost, its cut."""
        ...

    def layout(self, table: Table) -> Layout:
        """Return where the table wants its files and how they name the columns, once ``create`` ran."""
        ...

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        """Return the paths of the live files by partition, relative to the table's folder, decoded.

        Among them is what deletes rows of other files, so that a partition with other rows has other paths. There are
        none where there is no table.
        """
        ...

    def renamed(self, table: Table, files: Iterable[DataFile]) -> Mapping[str, Mapping[str, str]]:
        """Return by the path of a file the columns that it holds under another name than the table: that name, by name.

        The name is empty where the file has no such column, but another one that is called so. Files that hold all of
        their columns by name are left out.
        """
        ...

    def not_plain(self, table: Table, keys: Collection[PartitionKey]) -> Mapping[PartitionKey, str]:
        """Return those of ``keys`` whose live files do not hold just the partition's rows by the columns' names.

        With each goes in words why: rows of its files are deleted in another file, or columns are told by ids.
        """
        ...

    def rows(self, table: Table, key: PartitionKey) -> Any:
        """Return the rows of a partition as the format's own rules give them: a stream of Arrow record batches."""
        ...

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        """Return the version that (run, attempt) committed, None when it did not: resolves an unknown outcome."""
        ...

    def bar(self, table: Table, run_id: str, attempt: int) -> bool:
        """Keep (run, attempt) from being committed from now on; return whether its commit is there to be taken back.

        One that did not commit gets the place of (run, attempt + 1), without files: a process that was paused right
        before the commit finds it when it wakes.

        Raises:
            TableBusy: other writers were faster at every try; nothing is committed.
        """
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

    def publish(self, changes: Sequence[tuple[Table, Replacement]]) -> list[Landed]:
        """Commit replacements, read back and durable; one that is there is not repeated.

        Args:
            changes: one, or several that ``commits_together`` allows.

        Raises:
            PublishConflict: the live files of a touched partition are not ``replacement.removes``; nothing is
                committed.
            TableBusy: other writers were faster at every try; nothing is committed.
            PublishUnverified: a commit went through but the table does not show it.
        """
        ...

    def runs_after(self, table: Table, version: int | None) -> list[str]:
        """Return the runs that committed after a version, or ever, as the table's log names them, oldest first."""
        ...

    def remove(self, table: Table, paths: Collection[str]) -> list[str]:
        """Delete files that the newest version does not name, durably; those that it names stay.

        Returns:
            The paths that stayed.
        """
        ...

    def unnamed(self, table: Table) -> list[Stored]:
        """Return the files of the format's own that no state which the table can still give names, by place.

        Some of them may be of commits that are being made.

        Raises:
            LogDamaged: what a state names cannot be read.
        """
        ...

    def damaged_commits(self, table: Table) -> list[str]:
        """Return in words every commit of the log that is not whole; readers may take it for an empty one."""
        ...

    def read_log(self, table: Table) -> LogReading:
        """Return what the log says and what is wrong with it; never raises for a log that is damaged."""
        ...

    def said_otherwise(self, table: Table, files: Sequence[DataFile]) -> Mapping[str, str]:
        """Return in words what the newest version says of files otherwise than a commit of them says, by path.

        What ``read_log`` gives already is left out.
        """
        ...

    def take_out_entry(self, table: Table, file: str) -> None:
        """Remove an entry of the log, or a checkpoint of it with what points to it.

        An entry on which all others stand takes the table along: there is none afterwards, and its files stay.
        """
        ...

    def put_back_commit(self, table: Table, version: int, replacement: Replacement) -> None:
        """Write one of remint's commits anew, as it was journalled, in the place of what the log holds there."""
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


def require_usable(table: Table, flaws: Sequence[str]) -> None:
    """Refuse a table that runs cannot write to.

    Raises:
        TableUnusable: says why.
    """
    if flaws:
        raise TableUnusable(
            f"{table.name}: {'; '.join(flaws)}",
            hint="take that back, in the declaration or with the tool that changed the table; of a column, "
            f"contracts/{table.name}.yaml may say the same; another cut needs another table",
        )
