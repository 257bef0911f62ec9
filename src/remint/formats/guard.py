"""What every format does around a commit: compare the base, try again after a lost race, compare the columns."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence, Set

from remint.errors import PublishConflict, StorageUnavailable, TableBusy
from remint.failures import machine_failure
from remint.formats.base import Replacement, Table
from remint.model.partition import PartitionKey

_TRIES = 50
"""Commits lost to writers of other partitions before giving up; each try reads the table anew."""
_UNANSWERED = 5
"""Times that a commit is made again after no answer came; then the storage counts as unavailable."""
_PAUSE_S = 0.02
"""Longest wait after the first lost commit; it grows with each, so that of many writers none is always too late."""


def tries() -> Iterator[None]:
    """Yield once for each try to commit to a table."""
    for lost in range(_TRIES):
        if lost:
            time.sleep(random.uniform(0, _PAUSE_S * lost))  # noqa: S311 - spreads writers, keeps no secret
        yield


class Unanswered:
    """Commits of which nobody said whether they landed. Whoever made one looks for it before it is made again."""

    def __init__(self) -> None:
        """Begin to count."""
        self._left = _UNANSWERED

    def note(self, error: Exception) -> None:
        """Take note of a commit that failed.

        Raises:
            Exception: the error, where it says something else, or came too often.
        """
        self._left -= 1
        if self._left < 0 or not isinstance(machine_failure(error), StorageUnavailable):
            raise error


def busy(table: Table) -> TableBusy:
    """Return what is raised once all tries were lost."""
    return TableBusy(
        f"{table.name}: {_TRIES} commits in a row were lost to other writers of the table",
        hint="wait until the other writer is done, then: remint resume RUN",
    )


def column_differences(there: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return in words how the columns of a table, with their types, differ from those of its contract."""
    found = []
    for name in dict.fromkeys([*wanted, *there]):
        if name not in there:
            found.append(f"column {name}: the table has none")
        elif name not in wanted:
            found.append(f"column {name}: not in the contract")
        elif there[name] != wanted[name]:
            found.append(f"column {name}: expected {wanted[name]}, found {there[name]}")
    return found


def other_cut(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return in words that a table is cut by other columns than declared; nothing where it is not."""
    if list(there) == list(wanted):
        return []
    return [f"it is partitioned by {', '.join(there) or 'nothing'}, declared is {', '.join(wanted)}"]


def require_base(table: Table, live: Mapping[PartitionKey, Set[str]], replacement: Replacement) -> None:
    """Refuse a replacement of other files than those that are live.

    Raises:
        PublishConflict: a partition does not hold exactly the files that are to be taken out.
    """
    expected: dict[PartitionKey, set[str]] = {}
    for file in replacement.removes:
        expected.setdefault(file.key, set()).add(file.path)
    for key in sorted({f.key for f in replacement.removes} if table.append_only else replacement.keys):
        found = live.get(key, set())
        if found != expected.get(key, set()):
            raise PublishConflict(
                f"{table.name} {key}: expected {len(expected.get(key, set()))} file(s) as published by remint, found "
                f"{len(found)} that differ",
                hint="remint status    # shows who changed it; then plan again",
            )
