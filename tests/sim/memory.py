"""A table format in memory: numbered versions, an exact base check, strangers, and commits that a power cut emptied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from remint.errors import PublishConflict
from remint.formats.base import Replacement, Table
from remint.model.partition import PartitionKey

Live = dict[PartitionKey, frozenset[str]]


@dataclass(frozen=True)
class Commit:
    """One version of a table."""

    live: Live
    run_id: str = ""
    """Empty: a stranger's, or the creation of the table."""
    attempt: int = 0
    is_torn: bool = False
    """Its log entry is empty: readers take it for a commit that changed nothing."""


@dataclass
class MemoryFormat:
    """Tables by location; every commit is one step, so two writers never meet within one."""

    name = "memory"
    tables: dict[str, list[Commit]] = field(default_factory=dict)

    def version(self, table: Table) -> int | None:
        return len(self.tables[table.location]) - 1 if table.location in self.tables else None

    def create(self, table: Table) -> int:
        return len(self.tables.setdefault(table.location, [Commit({})])) - 1

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        return self.tables[table.location][-1].live

    def live_at(self, table: Table, version: int) -> Live:
        """Return the live files of an earlier version."""
        return self.tables[table.location][version].live

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        for number, commit in enumerate(self.tables.get(table.location, ())):
            if (commit.run_id, commit.attempt, commit.is_torn) == (run_id, attempt, False):
                return number
        return None

    def check(self, table: Table, replacement: Replacement) -> None:
        live = self.live_files(table)
        keys = {f.key for f in replacement.removes} if table.append_only else replacement.keys
        for key in sorted(keys):
            expected = frozenset(f.path for f in replacement.removes if f.key == key)
            if live.get(key, frozenset()) != expected:
                raise PublishConflict(f"{table.name} {key}: its live files are not those that are replaced")

    def publish(self, table: Table, replacement: Replacement) -> int:
        self.check(table, replacement)
        live = dict(self.live_files(table))
        for file in replacement.removes:
            live[file.key] = live[file.key] - {file.path}
        for file in replacement.adds:
            live[file.key] = live.get(file.key, frozenset()) | {file.path}
        return self.commit(table.location, live, replacement.run_id, replacement.attempt)

    def commit(self, location: str, live: Live, run_id: str = "", attempt: int = 0) -> int:
        """Append a version; without a run, a stranger's."""
        held = {key: files for key, files in live.items() if files}
        self.tables[location].append(Commit(held, run_id, attempt))
        return len(self.tables[location]) - 1

    def tear(self, table: Table) -> None:
        """Append a version whose log entry lost its content."""
        self.tables[table.location].append(Commit(self.tables[table.location][-1].live, is_torn=True))

    def damaged_commits(self, table: Table) -> list[str]:
        return [f"log entry {n} is empty" for n, c in enumerate(self.tables[table.location]) if c.is_torn]

    def differences(self, table: Table) -> list[str]:
        del table
        return []

    def foreign_writer(self, table: Table) -> str:
        strangers = [n for n, c in enumerate(self.tables[table.location]) if n and not c.run_id]
        return f"version {strangers[-1]} by a stranger" if strangers else "nobody"


class WatchedFormat:
    """A table format that says what it is about to commit, and what it has committed."""

    def __init__(
        self, tables: object, before: Callable[[str, Replacement], None], after: Callable[[str, Replacement], None]
    ) -> None:
        self._tables, self._before, self._after = tables, before, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._tables, name)

    def publish(self, table: Table, replacement: Replacement) -> int:
        self._before(table.name, replacement)
        version: int = self._tables.publish(table, replacement)  # type: ignore[attr-defined]
        self._after(table.name, replacement)
        return version
