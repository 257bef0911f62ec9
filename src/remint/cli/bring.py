"""``ingest``: source files into Bronze."""

from __future__ import annotations

import json

import click

from remint.cli import render
from remint.cli.options import json_option, open_workspace, print_json, reason_option, trigger_option
from remint.model.request import Trigger
from remint.model.wording import counted


@click.command()
@click.argument("datasets", nargs=-1)
@reason_option
@trigger_option
@json_option
@click.pass_context
def ingest(
    ctx: click.Context, datasets: tuple[str, ...], reason: str | None, trigger: str | None, *, as_json: bool
) -> None:
    """Append every new source file to Bronze; bad rows go to quarantine with the reason, known keys are skipped."""
    from remint.workspace import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    ask = Ask(reason=reason or "new source files", trigger=Trigger(trigger or Trigger.SCHEDULE))
    run = workspace.ingest(datasets, ask)
    if run is None:
        if as_json:
            print_json("ingest", run=None)
        else:
            click.echo("nothing to ingest: every source file is in Bronze already")
        return
    found = json.loads(run.summary)
    if as_json:
        print_json("ingest", run=run, **found)
        return
    click.echo(render.run_line(run))
    click.echo(
        f"{counted(found['files'], 'file')}: {found['rows_read']:,} rows read = {found['rows_added']:,} added + "
        f"{found['rows_duplicate']:,} already there + {found['rows_rejected']:,} quarantined"
    )
    click.echo("next: remint plan    # what these rows made stale")


COMMANDS = (ingest,)
