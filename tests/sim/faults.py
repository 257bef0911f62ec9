"""What can go wrong at a call that changes something: a kill, a lost answer, a busy store, a full disk, a stranger."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from remint.errors import StoreBusy, StoreError
from tests.e2e.crashes import Killed

STORE = frozenset(
    {"create_run", "claim", "journal_append", "intend", "grant", "log", "set_state", "finish", "abandon"}
    | {"pin", "unpin", "expire"}
)
TABLES = frozenset({"create", "publish"})
WIDTH = 3
"""Calls in a row that a window of faults hits."""


class Kind(StrEnum):
    """What happens at a call. To add one: name it here and act on it in ``Fault.around``."""

    KILL_BEFORE = "kill_before"
    KILL_AFTER = "kill_after"
    TORN = "torn"
    """Power is cut during a commit, whose log entry is left empty; at other calls, a kill before it."""
    LOST = "lost"
    """The call takes effect and an error is raised: an unknown outcome."""
    BUSY = "busy"
    """Somebody else holds the store for some calls."""
    FULL = "full"
    """The disk is full for some calls."""
    STRANGER = "stranger"
    """Somebody who is not remint writes to a table right before the call."""
    OTHER_RUN = "other_run"
    """Another process of remint brings rows and runs right before the call."""


KILLS = frozenset({Kind.KILL_BEFORE, Kind.KILL_AFTER, Kind.TORN})


@dataclass
class Fault:
    """One fault at the ``at``-th call (from 0) that changes something; a window covers the next calls, too."""

    kind: Kind
    at: int
    tear: Callable[..., None] = lambda *_: None
    """Leaves an empty commit in the table of a ``publish``."""
    meddle: Callable[[], None] = lambda: None
    """What strangers and other runs do."""
    calls: list[str] = field(default_factory=list)
    hit: list[str] = field(default_factory=list)
    """Names of the calls that it struck."""

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with the fault at its place."""

        def faulty(*args: Any, **kwargs: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            width = WIDTH if self.kind in (Kind.BUSY, Kind.FULL) else 1
            if not self.at <= number < self.at + width or (self.kind is Kind.BUSY and name not in STORE):
                return call(*args, **kwargs)
            self.hit.append(name)
            return self._strike(name, call, args, kwargs)

        return faulty

    def _strike(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        match self.kind:
            case Kind.KILL_BEFORE:
                raise Killed(f"before {name}")
            case Kind.KILL_AFTER:
                call(*args, **kwargs)
                raise Killed(f"after {name}")
            case Kind.TORN:
                if name == "publish":
                    table, _ = args[0][0]
                    self.tear(table)
                raise Killed(f"during {name}")
            case Kind.LOST:
                call(*args, **kwargs)
                raise _error(name, "its answer was lost")
            case Kind.BUSY:
                raise StoreBusy("another process is writing to the state database")
            case Kind.FULL:
                raise _error(name, "no space left")
            case Kind.STRANGER | Kind.OTHER_RUN:
                self.meddle()
                return call(*args, **kwargs)


def _error(name: str, words: str) -> Exception:
    return StoreError(f"the state database refused: {words}") if name in STORE else OSError(errno.ENOSPC, words)
