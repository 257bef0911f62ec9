"""Progress of long work, on stderr: a bar for a person, one line a step for a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from remint.model.event import Event, EventKind

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Announcer:
    """Shows events as they come."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._quiet or event.kind is EventKind.FAILED:
            return
        line = f"  {event.kind:<9} {event.dataset:<32} {event.detail}".rstrip()
        if not sys.stderr.isatty():
            click.echo(line, err=True)
            return
        if event.units_total:
            self._show(event)
        if self._bar:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            click.echo(line, err=True)

    def _show(self, event: Event) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self._bar is None:
            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("partitions", total=event.units_total)
        if self._task is not None:
            self._bar.update(self._task, completed=event.units_done, total=event.units_total)

    def close(self) -> None:
        """Take the bar down."""
        if self._bar:
            self._bar.stop()
            self._bar = None
