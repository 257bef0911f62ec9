"""What several commands share: opening the project, ranges, who asks and why, and JSON output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remint.errors import UsageError
from remint.model.digest import canonical
from remint.model.partition import DateRange
from remint.model.request import BackfillType, Mode, Trigger

if TYPE_CHECKING:
    from remint.workspace import Workspace

_ENGINE = "remint.engine"
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
reason_option = click.option("--reason", help="Why, in words; kept in the audit log.")
trigger_option = click.option(
    "--trigger",
    type=click.Choice([t.value for t in Trigger]),
    help="What brought this about; a fixed list, so that the audit log can be counted.",
)
as_of_option = click.option("--as-of", metavar="RELEASE|RUN", help="The cut of this release, or that this run left.")


mode_option = click.option(
    "--mode",
    type=click.Choice([m.value for m in Mode]),
    help="Default: backfill with --range, --lookback, --rebuild or --type.",
)
type_option = click.option(
    "--type",
    "type_",
    type=click.Choice([t.value for t in BackfillType]),
    help="Type of the backfill. Default: temporal with a range, dataset without one.",
)
override_option = click.option(
    "--override-state/--no-override-state",
    default=None,
    help="Whether a backfill moves watermarks; it must say one of them, and --override-state needs --type forced.",
)


class RangeType(click.ParamType[DateRange]):
    """``A..B``, both ends included; ``A`` alone is one partition; a month stands for its days."""

    name = "A..B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> DateRange:
        """Return the range; errors carry the next command."""
        del param, ctx
        return value if isinstance(value, DateRange) else DateRange.parse(value)


class DurationType(click.ParamType[timedelta]):
    """A length of time: ``90m``, ``24h`` or ``7d``."""

    name = "24h"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the length."""
        del param, ctx
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([mhd])", "0m" if value == "0" else value)
        if not found:
            raise UsageError(f"{value!r} is no length of time", hint="write it as 90m, 24h or 7d")
        return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


def _say_engine(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Note the engine for ``open_workspace``."""
    del param
    ctx.meta[_ENGINE] = value or ""


engine_option = click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    callback=_say_engine,
    expose_value=False,
    help="Engine of every dataset in this command, whatever is declared.",
)


def open_workspace(ctx: click.Context, *, quiet: bool = False) -> Workspace:
    """Open the project that the command was called in."""
    from remint.cli.progress import Announcer
    from remint.workspace import Workspace

    announcer = Announcer(quiet=quiet)
    ctx.call_on_close(announcer.close)
    workspace = Workspace.find(Path(ctx.obj), emit=announcer)
    workspace.only_engine = ctx.meta.get(_ENGINE, "")
    return workspace


def open_to_read(ctx: click.Context) -> Workspace:
    """Open the project that the command was called in, for reading alone."""
    from remint.workspace import ReadingWorkspace

    return ReadingWorkspace.find(Path(ctx.obj))


def print_json(kind: str, **fields: Any) -> None:
    """Print one JSON document with its versioned format name."""
    click.echo(
        json.dumps({"format": f"remint.{kind}/1", **canonical(fields)}, indent=2, ensure_ascii=False, default=str)
    )


def need_reason(reason: str | None, example: str) -> str:
    """Return the reason, or refuse to start a formal run without one."""
    if not reason or not reason.strip():
        raise UsageError("this run needs a reason in words", hint=f'add --reason "{example}"')
    return reason


def limit_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that limits how many entries are shown."""
    return click.option(
        "--limit", type=click.IntRange(min=1), default=default, show_default=True, help="At most so many."
    )
