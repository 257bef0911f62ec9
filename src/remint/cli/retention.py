"""``releases``, ``pin``, ``pins``, ``unpin`` and ``expire``: which earlier states are kept, why, and until when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import (
    json_option,
    limit_option,
    need_reason,
    open_workspace,
    print_json,
    reason_option,
    trigger_option,
)
from remint.model.request import Mode, Trigger
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.planner.retention import Choice

_SHOWN = 5


@click.command()
@limit_option(20)
@json_option
@click.pass_context
def releases(ctx: click.Context, limit: int, *, as_json: bool) -> None:
    """List releases, newest first: the cut over all tables that each run left, and what keeps its files."""
    found = open_workspace(ctx, quiet=True).retention.releases(limit)
    if as_json:
        print_json("releases", releases=found)
        return
    if not found:
        click.echo("no releases yet\nnext: remint ingest")
        return
    headers = ("release", "run", "when", "tables moved", "pinned", "files replaced since", "of these expired")
    rows = [
        (
            e.release.release_id,
            e.release.run_id,
            e.release.created_at,
            ", ".join(f"{n} v{v}" for n, v in e.moved.items()) or "-",
            ", ".join(p.pin_id for p in e.pins) or "-",
            e.files_replaced,
            e.files_expired,
        )
        for e in found
    ]
    click.echo(render.table(headers, rows))


@click.command()
@click.argument("release", metavar="RELEASE|RUN")
@reason_option
@json_option
@click.pass_context
def pin(ctx: click.Context, release: str, reason: str | None, *, as_json: bool) -> None:
    """Keep every file of a release until the pin is given up: it stays readable, whatever `expire` removes."""
    words = need_reason(reason, "figures of the annual report")
    made = open_workspace(ctx, quiet=True).retention.pin(release, words)
    if as_json:
        print_json("pin", pin=made)
    else:
        click.echo(f"{made.pin_id} keeps {made.release_id}\nnext: remint unpin {made.pin_id} --reason ...")


@click.command()
@click.option("--all", "is_all", is_flag=True, help="Also those that were given up.")
@json_option
@click.pass_context
def pins(ctx: click.Context, *, is_all: bool, as_json: bool) -> None:
    """List pins: which release each keeps, since when, by whom and why."""
    found = [p for p in open_workspace(ctx, quiet=True).store.pins() if is_all or p.is_open]
    if as_json:
        print_json("pins", pins=found)
        return
    headers = ("pin", "release", "since", "by", "given up", "reason")
    rows = [(p.pin_id, p.release_id, p.pinned_at, p.pinned_by, p.unpinned_at or "-", p.reason) for p in found]
    click.echo(render.table(headers, rows) if rows else "nothing is pinned")


@click.command()
@click.argument("name", metavar="PIN|RELEASE|RUN")
@reason_option
@json_option
@click.pass_context
def unpin(ctx: click.Context, name: str, reason: str | None, *, as_json: bool) -> None:
    """Give a pin up; the files that it kept stay until the next `expire`."""
    words = need_reason(reason, "the report was published")
    made = open_workspace(ctx, quiet=True).retention.unpin(name, words)
    if as_json:
        print_json("unpin", pin=made)
    else:
        click.echo(f"{made.pin_id} keeps {made.release_id} no more\nnext: remint expire")


@click.command()
@click.argument("selectors", nargs=-1)
@click.option(
    "--keep-days",
    type=click.IntRange(min=0),
    help="Runs younger than so many days stay undoable. Default: [retention] keep_days.",
)
@click.option("--apply", "is_applied", is_flag=True, help="Remove the files; without it, only show what would go.")
@reason_option
@trigger_option
@json_option
@click.pass_context
def expire(ctx: click.Context, /, selectors: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Show which replaced files nothing holds any more, or remove them with --apply, as a run.

    Never removed: what is published or live, pinned, needed to undo a young run or by a run that has not ended; Bronze.
    Readers that travel to old versions of a Delta table lose those whose files go.
    """
    from remint.model.request import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    found = workspace.retention.choose(selectors, asked["keep_days"])
    done = None
    if asked["is_applied"]:
        ask = Ask(
            reason=need_reason(asked["reason"], "the lake is to hold a month of history"),
            trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
            mode=Mode.BACKFILL,
        )
        done = workspace.retention.expire(selectors, ask, asked["keep_days"])
    if as_json:
        removed = json.loads(done.summary) if done else None
        print_json("expire", run=done, removed=removed, total=found.amount, choice=found)
        return
    for line in _choice_lines(found):
        click.echo(line)
    if done:
        summary = json.loads(done.summary)
        click.echo(render.run_line(done))
        click.echo(f"removed {counted(summary['files'], 'file')}, {render.size(summary['size_bytes'])}")
    elif found.gone:
        words = [*selectors, *([] if asked["keep_days"] is None else [f"--keep-days {asked['keep_days']}"])]
        click.echo(f'nothing was changed\nnext: remint expire {" ".join([*words, "--apply", "--reason"])} "..."')


def _choice_lines(found: Choice) -> list[str]:
    """Return what goes, what that makes impossible, and what stays and why."""
    rows = [(n, len(files), render.size(sum(f.size_bytes for f in files))) for n, files in found.gone.items()]
    lines = [render.table(("nothing holds", "files", "bytes"), rows)] if rows else ["nothing to remove"]
    for words, names in (
        ("cannot be undone afterwards", found.no_undo),
        ("cannot be compared with before or after", found.no_diff),
        ("cannot be read as they were", found.no_as_of),
    ):
        if names:
            more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
            lines.append(f"{words}: {', '.join(names[:_SHOWN])}{more}")
    if rows:
        lines.append("readers of the tables that travel in time lose the versions that name these files")
    kept = [(hold.value, a.files, render.size(a.size_bytes)) for hold, a in found.held.items() if a.files]
    return [*lines, render.table(("stays because it is", "files", "bytes"), kept)] if kept else lines


COMMANDS = (releases, pin, pins, unpin, expire)
