"""Adapters that die: before or after the n-th call that changes anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from remint.workspace import Workspace
from tests.e2e.projects import Project

MUTATING = frozenset(
    {
        "create_run",
        "journal_append",
        "grant",
        "log",
        "claim",
        "intend",
        "set_state",
        "finish",
        "abandon",
        "create",
        "publish",
        "bar",
        "stage",
        "write",
        "ingest",
        "pin",
        "unpin",
        "expire",
        "remove",
        "mend",
        "take_out_entry",
        "put_back_commit",
    }
)


class Killed(BaseException):
    """The process is gone: no handler of the program sees it coming."""


class When(StrEnum):
    """On which side of the call it dies."""

    BEFORE = "before"
    AFTER = "after"


@dataclass
class Fuse:
    """Burns down by one at every call that changes something."""

    at: int
    """Which call is the last one; a number that is never reached lets everything through."""
    when: When
    calls: list[str] = field(default_factory=list)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, deadly when it is the ``at``-th one."""

        def burning(*args: Any, **kwargs: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number == self.at and self.when is When.BEFORE:
                raise Killed(f"before {name}")
            try:
                return call(*args, **kwargs)
            finally:
                if number == self.at:
                    raise Killed(f"after {name}")

        return burning


class Exploding:
    """An adapter whose mutating methods burn a fuse; everything else is passed on."""

    def __init__(self, adapter: Any, fuse: Fuse | Barrier | Meddled) -> None:
        self._adapter = adapter
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        return self._fuse.around(name, found) if name in MUTATING else found


def meddling(workspace: Workspace, meddler: Meddled) -> Workspace:
    """Return the workspace in the middle of whose run somebody else acts."""
    return armed(workspace, meddler)


def armed(workspace: Workspace, fuse: Fuse | Barrier | Meddled) -> Workspace:
    """Return the workspace with every adapter wired to ``fuse``."""
    tools = workspace._tools
    engine: list[Exploding] = []

    def start_engine() -> Any:
        if not engine:
            engine.append(Exploding(tools.engine, fuse))
        return engine[0]

    workspace.__dict__["_tools"] = replace(
        tools,
        store=Exploding(tools.store, fuse),
        tables=Exploding(tools.tables, fuse),
        start_engine=start_engine,
    )
    return workspace


def killed_then_given_up(project: Project, at: int) -> None:
    """Leave behind what a run that was killed leaves, and end it without its clean-up."""
    workspace = armed(project.open(), Fuse(at, When.AFTER))
    with suppress(Killed):
        workspace.apply(project.plan())
    parts = {p: (project.root / "lake" / p[1:]).read_bytes() for p in project.parts()}
    project.give_up()
    for path, content in parts.items():
        place = project.root / "lake" / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_bytes(content)


@dataclass
class Barrier:
    """Somebody else acts right before the ``at``-th call that changes anything, once."""

    at: int
    act: Callable[[], object]
    calls: list[str] = field(default_factory=list)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with the barrier in front of it."""

        def stopped(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.at + 1:
                self.act()
            return call(*args, **kwargs)

        return stopped


@dataclass
class Meddled:
    """Somebody else acts right before the ``number``-th call (from 0) of a method, once."""

    before: str
    act: Callable[[], object]
    number: int = 0
    seen: int = 0

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with the meddling in front of it."""

        def interrupted(*args: Any, **kwargs: Any) -> Any:
            if name == self.before:
                self.seen += 1
                if self.seen == self.number + 1:
                    self.act()
            return call(*args, **kwargs)

        return interrupted
