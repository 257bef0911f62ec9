"""``resume``, ``rollback``, ``waive``, ``adopt``: end a run, take one back, let one be, take what others wrote."""

from __future__ import annotations

import json
from typing import Any

import click

from remint.cli import render
from remint.cli.options import (
    RangeType,
    json_option,
    need_reason,
    open_workspace,
    print_json,
    reason_option,
    trigger_option,
)
from remint.cli.plans import show_applied
from remint.cli.priority import yield_to_production
from remint.model.request import Mode, Trigger
from remint.model.wording import counted

take_over_option = click.option(
    "--take-over", is_flag=True, help="Also from a process that seems to be at work on it; that one can write no more."
)


@click.command()
@click.argument("run_id")
@take_over_option
@json_option
@click.pass_context
def resume(ctx: click.Context, run_id: str, *, take_over: bool, as_json: bool) -> None:
    """Continue a run that stopped, from the last finished step."""
    workspace = open_workspace(ctx, quiet=as_json)
    yield_to_production(workspace.store.run(run_id).mode, workspace.policy.priority)
    show_applied(workspace, workspace.resume(run_id, take_over=take_over), as_json=as_json)


@click.command()
@click.argument("run_id")
@reason_option
@trigger_option
@take_over_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, /, run_id: str, *, take_over: bool, as_json: bool, **asked: str | None) -> None:
    """Put back what was there before a run, as a new run; later writes to other partitions stay.

    A run that published nothing is given up and its staged files are deleted.
    """
    from remint.model.request import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    ask = Ask(
        reason=need_reason(asked["reason"], "the new limit was agreed for next month only"),
        trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
        mode=Mode.BACKFILL,
    )
    done, readers = workspace.rollback(run_id, ask, take_over=take_over)
    if as_json:
        print_json("rollback", run=done, read_by=readers)
        return
    click.echo(render.run_line(done))
    if done.of_run:
        found = json.loads(done.summary)
        click.echo(f"{counted(found['units'], 'partition')} hold again what they held before {done.of_run}")
    if readers:
        click.echo(f"later runs read what was undone and are stale now: {', '.join(readers)}")
    click.echo("next: remint status")


@click.command()
@click.argument("run_id")
@reason_option
@take_over_option
@json_option
@click.pass_context
def waive(ctx: click.Context, run_id: str, reason: str | None, *, take_over: bool, as_json: bool) -> None:
    """Let an outstanding run be: it is not finished and not undone, and status shows it no more.

    A run that was interrupted while it published can be waived only when somebody else wrote over what it had
    committed; what is live of it is foreign then, and a plan heals it.
    """
    workspace = open_workspace(ctx, quiet=as_json)
    words = need_reason(reason, "the vendor's job owns these days now")
    done = workspace.waive(run_id, words, take_over=take_over)
    if as_json:
        print_json("waive", run=done)
        return
    click.echo(render.run_line(done))
    click.echo("next: remint status")


@click.command()
@click.argument("dataset")
@click.option("--range", "span", type=RangeType(), help="Only these partitions.")
@reason_option
@trigger_option
@json_option
@click.pass_context
def adopt(ctx: click.Context, /, dataset: str, *, as_json: bool, **asked: Any) -> None:
    """Take what somebody else wrote to DATASET's table as it is: it counts as published from now on.

    The table may be one that remint never published. What is adopted is vouched for by whoever adopts it;
    `remint verify` recomputes it.
    """
    from remint.model.request import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    ask = Ask(
        reason=need_reason(asked["reason"], "the vendor's tool compacted the table"),
        trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
        mode=Mode.BACKFILL,
    )
    done = workspace.adopt(dataset, ask, asked["span"])
    found = json.loads(done.summary) if done else {}
    if as_json:
        print_json("adopt", run=done, **found)
    elif done is None:
        click.echo("nothing to adopt: every partition there is remint's")
    else:
        click.echo(render.run_line(done))
        click.echo(f"{counted(found['units'], 'partition')}, {counted(found['record_count'], 'row')} taken as they are")
        click.echo(f"next: remint verify {dataset}    # recomputes them; remint plan shows what reads them")


COMMANDS = (resume, rollback, waive, adopt)
