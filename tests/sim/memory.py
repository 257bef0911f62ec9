"""A table format in memory: numbered versions, an exact base check, strangers, and commits that a power cut emptied."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remint.errors import PublishConflict
from remint.formats.base import (
    Commit,
    Landed,
    LogFault,
    LogFlaw,
    LoggedFile,
    LogReading,
    Replacement,
    Table,
    TableFormat,
)
from remint.model.partition import PartitionKey
from remint.model.provenance import PLAIN, DataFile, Layout, TableState
from remint.storage.base import Stored

Live = dict[PartitionKey, frozenset[str]]


@dataclass(frozen=True)
class Version:
    """One version of a table."""

    live: Live
    run_id: str = ""
    """Empty: a stranger's, or the creation of the table."""
    attempt: int = 0
    adds: tuple[LoggedFile, ...] = ()
    removes: tuple[str, ...] = ()
    is_torn: bool = False
    """Its log entry is empty: readers take it for a commit that changed nothing."""


@dataclass
class MemoryFormat:
    """Tables by location; every commit is one step, so two writers never meet within one."""

    name = "memory"
    log_folder = "_log"
    entries_build_up = False
    files_are_whole = False
    absent = "there is no such table"
    tables: dict[str, list[Version]] = field(default_factory=dict)

    def version(self, table: Table) -> int | None:
        return len(self.tables[table.location]) - 1 if table.location in self.tables else None

    def state(self, table: Table, version: int | None = None) -> TableState | None:
        of = self.version(table) if version is None else version
        if of is None:
            return None
        found = self.tables[table.location][of]
        return TableState(version=of, table_id="", mark=f"{found.run_id}/{found.attempt}/{found.is_torn}")

    def create(self, table: Table) -> int:
        return len(self.tables.setdefault(table.location, [Version({})])) - 1

    def live_files(self, table: Table) -> Mapping[PartitionKey, frozenset[str]]:
        versions = self.tables.get(table.location)
        return versions[-1].live if versions else {}

    def published_version(self, table: Table, run_id: str, attempt: int) -> int | None:
        if self._reached(table, run_id) < attempt:
            return None
        for number, version in enumerate(self.tables[table.location]):
            if (version.run_id, version.attempt) == (run_id, attempt):
                return number
        return self.version(table)

    def _reached(self, table: Table, run_id: str) -> int:
        return max((v.attempt for v in self.tables.get(table.location, ()) if v.run_id == run_id), default=0)

    def check(self, table: Table, replacement: Replacement) -> None:
        live = self.live_files(table)
        keys = {f.key for f in replacement.removes} if table.append_only else replacement.keys
        for key in sorted(keys):
            expected = frozenset(f.path for f in replacement.removes if f.key == key)
            if live.get(key, frozenset()) != expected:
                raise PublishConflict(f"{table.name} {key}: its live files are not those that are replaced")

    def commits_together(self, tables: Sequence[Table]) -> bool:
        return len(tables) <= 1

    def prepare(self, table: Table) -> None:
        del table

    def unusable(self, table: Table) -> list[str]:
        del table
        return []

    def renamed(self, table: Table, files: Iterable[DataFile]) -> Mapping[str, Mapping[str, str]]:
        del table, files
        return {}

    def layout(self, table: Table) -> Layout:
        del table
        return PLAIN

    def publish(self, changes: Sequence[tuple[Table, Replacement]]) -> list[Landed]:
        return [self._published(table, replacement) for table, replacement in changes]

    def _published(self, table: Table, replacement: Replacement) -> Landed:
        landed = self.published_version(table, replacement.run_id, replacement.attempt)
        if landed is not None:
            return Landed(version=landed, after=None, table_id="")
        self.check(table, replacement)
        before = self.version(table)
        live = dict(self.live_files(table))
        for file in replacement.removes:
            live[file.key] = live[file.key] - {file.path}
        for file in replacement.adds:
            live[file.key] = live.get(file.key, frozenset()) | {file.path}
        return Landed(version=self._append(table.location, live, replacement), after=before, table_id="")

    def _append(self, location: str, live: Live, made: Replacement) -> int:
        adds = tuple(LoggedFile(path=f.path, key=f.key, size_bytes=f.size_bytes, stats=f.stats) for f in made.adds)
        held = {key: files for key, files in live.items() if files}
        version = Version(held, made.run_id, made.attempt, adds, tuple(f.path for f in made.removes))
        self.tables[location].append(version)
        return len(self.tables[location]) - 1

    def bar(self, table: Table, run_id: str, attempt: int) -> bool:
        self.create(table)
        reached = self._reached(table, run_id)
        if reached >= attempt:
            return reached == attempt
        nothing = Replacement(run_id=run_id, attempt=attempt + 1, adds=(), removes=())
        self._append(table.location, dict(self.live_files(table)), nothing)
        return False

    def mend(self, table: Table, expected: Sequence[Replacement], aside: Path) -> list[str]:
        del expected, aside
        versions = self.tables.get(table.location, [])
        if not versions or not versions[-1].is_torn:
            return []
        versions.pop()
        return [f"log entry {len(versions)} is empty"]

    def runs_after(self, table: Table, version: int | None) -> list[str]:
        later = self.tables[table.location][0 if version is None else version + 1 :]
        return list(dict.fromkeys(v.run_id for v in later if v.run_id))

    def remove(self, table: Table, paths: Collection[str]) -> list[str]:
        live = {path for paths in self.live_files(table).values() for path in paths}
        for path in set(paths) - live:
            (Path(table.location) / path).unlink(missing_ok=True)
        return sorted(live & set(paths))

    def read_log(self, table: Table) -> LogReading:
        versions = self.tables.get(table.location, [])
        newest = len(versions) - 1
        faults = tuple(
            LogFault(flaw=LogFlaw.EMPTY, file=f"{n}", version=n, detail="is empty", is_newest=n == newest)
            for n, v in enumerate(versions)
            if v.is_torn
        )
        commits = tuple(
            Commit(version=n, file=f"{n}", run_id=v.run_id, attempt=v.attempt, adds=v.adds, removes=v.removes)
            for n, v in enumerate(versions)
            if not v.is_torn
        )
        logged = {f.path: f for c in commits for f in c.adds}
        live = {path: logged[path] for paths in (versions[-1].live if versions else {}).values() for path in paths}
        named = frozenset({*logged, *(path for c in commits for path in c.removes)})
        return LogReading(newest=newest, commits=commits, faults=faults, live=None if faults else live, named=named)

    def unnamed(self, table: Table) -> list[Stored]:
        del table
        return []

    def said_otherwise(self, table: Table, files: Sequence[DataFile]) -> Mapping[str, str]:
        del table, files
        return {}

    def damaged_commits(self, table: Table) -> list[str]:
        return [f"log entry {fault.file} {fault.detail}" for fault in self.read_log(table).faults]

    def differences(self, table: Table) -> list[str]:
        del table
        return []

    def foreign_writer(self, table: Table) -> str:
        strangers = [n for n, v in enumerate(self.tables[table.location]) if n and not v.run_id]
        return f"version {strangers[-1]} by a stranger" if strangers else "nobody"

    # -- what remint never does ----------------------------------------------------------------------------------------

    def overwrite(self, location: str, key: PartitionKey, files: frozenset[str], written: int) -> None:
        """Make ``files``, of which each new one has ``written`` bytes, the content of a partition, as a stranger."""
        before = self.tables[location][-1].live
        had = before.get(key, frozenset())
        adds = tuple(LoggedFile(path=p, key=key, size_bytes=written, stats="{}") for p in sorted(files - had))
        held = {k: paths for k, paths in {**before, key: files}.items() if paths}
        self.tables[location].append(Version(held, adds=adds, removes=tuple(sorted(had - files))))

    def tear(self, table: Table) -> None:
        """Append a version whose log entry lost its content."""
        self.tables[table.location].append(Version(self.tables[table.location][-1].live, is_torn=True))


class WatchedFormat:
    """A table format that says what it is about to commit, and what it has committed.

    A commit that the table took before is not made again, so there is nothing to say of it.
    """

    def __init__(
        self, tables: TableFormat, before: Callable[[str, Replacement], None], after: Callable[[str, Replacement], None]
    ) -> None:
        self._tables, self._before, self._after = tables, before, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._tables, name)

    def publish(self, changes: Sequence[tuple[Table, Replacement]]) -> list[Landed]:
        open_ = [
            (table.name, replacement)
            for table, replacement in changes
            if self._tables.published_version(table, replacement.run_id, replacement.attempt) is None
        ]
        for name, replacement in open_:
            self._before(name, replacement)
        landed = self._tables.publish(changes)
        for name, replacement in open_:
            self._after(name, replacement)
        return landed
