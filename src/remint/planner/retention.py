"""Which replaced files may go, and what holds the others. Pure.

Rule: a file goes only when nothing holds it; every hold is named, so that what is kept can be looked at and given up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate

from remint.model.dataset import DatasetName
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile, Release
from remint.planner.undo import Written


class Hold(StrEnum):
    """What keeps a file of the ledger on disk."""

    PUBLISHED = "published"
    """The newest record of a unit names it."""
    LIVE = "live"
    """The newest version of its table names it, whatever the ledger says."""
    PINNED = "pinned"
    """A pinned release names it."""
    UNDO = "undo"
    """It is needed to undo a run that is young, or one that is being undone now."""
    OUTSTANDING = "outstanding"
    """A run that has not ended may read it or put it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Everything that holds files."""

    live: Mapping[DatasetName, frozenset[str]] = field(default_factory=dict)
    pinned: tuple[int, ...] = ()
    """Last ledger record of every release that is pinned."""
    cuts: tuple[int, ...] = ()
    """First ledger record of every run that must stay undoable, with whatever was built on it."""
    read_since: int | None = None
    """Ledger record as of which an outstanding run began to read; None: none reads."""
    named: Mapping[DatasetName, frozenset[str]] = field(default_factory=dict)
    """Files that the journals of outstanding runs name."""
    expired: Mapping[DatasetName, frozenset[str]] = field(default_factory=dict)
    """Files that were removed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How many files, and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(files=self.files + other.files, size_bytes=self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What would go and what it costs, and what stays and why."""

    gone: Mapping[DatasetName, tuple[DataFile, ...]]
    """Files that nothing holds, by dataset; only datasets that have some."""
    held: Mapping[Hold, Amount]
    """What each hold keeps; a file that several hold counts for each."""
    no_undo: tuple[str, ...]
    """Runs that cannot be undone as a whole any more."""
    no_diff: tuple[str, ...]
    """Runs of which before and after cannot be compared any more."""
    no_as_of: tuple[str, ...]
    """Releases that cannot be read as they were any more."""

    @property
    def amount(self) -> Amount:
        """All that would go."""
        files = [f for found in self.gone.values() for f in found]
        return Amount(files=len(files), size_bytes=sum(f.size_bytes for f in files))


def choose(records: Mapping[DatasetName, Sequence[Written]], releases: Sequence[Release], holds: Holds) -> Choice:
    """Return which files may go.

    Args:
        records: the whole ledger of every dataset that may lose files, in ledger order.
        releases: every release, oldest first.
        holds: what must stay.
    """
    gone: dict[DatasetName, tuple[DataFile, ...]] = {}
    held = dict.fromkeys(Hold, Amount())
    undo: set[str] = set()
    diff: set[str] = set()
    as_of: set[str] = set()
    ends = [r.last_seq for r in releases]
    for name, written in sorted(records.items()):
        free, by_path = _free(name, written, holds)
        for path, (file, found) in by_path.items():
            for hold in found:
                held[hold] += Amount(files=1, size_bytes=file.size_bytes)
            if path in free:
                gone[name] = (*gone.get(name, ()), file)
        for entry, later in _succeeded(written):
            if later is None or not any(f.path in free for f in entry.record.files):
                continue
            undo.add(later.record.run_id)
            diff |= {later.record.run_id, entry.record.run_id}
            as_of |= {r.release_id for r in releases[bisect_left(ends, entry.seq) : bisect_left(ends, later.seq)]}
    order = {r.release_id: n for n, r in enumerate(releases)}
    return Choice(
        gone={name: tuple(sorted(files, key=lambda f: f.path)) for name, files in gone.items()},
        held=held,
        no_undo=tuple(sorted(undo)),
        no_diff=tuple(sorted(diff)),
        no_as_of=tuple(sorted(as_of, key=lambda r: order[r])),
    )


def _free(
    name: DatasetName, written: Sequence[Written], holds: Holds
) -> tuple[set[str], dict[str, tuple[DataFile, set[Hold]]]]:
    """Return the files that nothing holds, and every file that is there with what holds it."""
    cuts, pinned = sorted(holds.cuts), sorted(holds.pinned)
    live, named = holds.live.get(name, frozenset()), holds.named.get(name, frozenset())
    expired = holds.expired.get(name, frozenset())
    by_path: dict[str, tuple[DataFile, set[Hold]]] = {}
    for entry, later in _succeeded(written):
        found = set()
        if later is None:
            found.add(Hold.PUBLISHED)
        else:
            # Undoing a run goes back to the newest record before it, of whatever was recorded since.
            if bisect_right(cuts, entry.seq) < bisect_right(cuts, later.seq):
                found.add(Hold.UNDO)
            if holds.read_since is not None and later.seq > holds.read_since:
                found.add(Hold.OUTSTANDING)
        ends = bisect_left(pinned, later.seq) if later else len(pinned)
        if bisect_left(pinned, entry.seq) < ends:
            found.add(Hold.PINNED)
        for file in entry.record.files:
            more = {Hold.LIVE} if file.path in live else set()
            more |= {Hold.OUTSTANDING} if file.path in named else set()
            if file.path not in expired or more:
                by_path.setdefault(file.path, (file, set()))[1].update(found | more)
    return {path for path, (_, found) in by_path.items() if not found}, by_path


def _succeeded(written: Sequence[Written]) -> list[tuple[Written, Written | None]]:
    """Return every record with the next one of its unit; None for the newest."""
    later: dict[PartitionKey, Written] = {}
    found: list[tuple[Written, Written | None]] = []
    for entry in reversed(written):
        found.append((entry, later.get(entry.record.key)))
        later[entry.record.key] = entry
    return found[::-1]


def replaced_files(records: Mapping[DatasetName, Sequence[Written]], releases: Sequence[Release]) -> dict[str, int]:
    """Return, by release, how many files of its cut were replaced since."""
    ends = [r.last_seq for r in releases]
    steps = [0] * (len(releases) + 1)
    for written in records.values():
        for entry, later in _succeeded(written):
            if later is not None:
                steps[bisect_left(ends, entry.seq)] += len(entry.record.files)
                steps[bisect_left(ends, later.seq)] -= len(entry.record.files)
    return dict(zip((r.release_id for r in releases), accumulate(steps), strict=False))


def moved_tables(releases: Iterable[Release]) -> dict[str, dict[DatasetName, int]]:
    """Return, by release, the tables whose version is another than in the release before."""
    found: dict[str, dict[DatasetName, int]] = {}
    before: Mapping[DatasetName, int] = {}
    for release in releases:
        found[release.release_id] = {n: v for n, v in release.versions.items() if before.get(n) != v}
        before = release.versions
    return found
