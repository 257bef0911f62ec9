"""``ingest``: source files and pages into Bronze."""

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
from remint.model.partition import DateRange
from remint.model.request import Extraction, Mode, Trigger
from remint.model.wording import counted


@click.command()
@click.argument("datasets", nargs=-1)
@click.option("--range", "span", type=RangeType(), help="Days to ask for by name, both ends included.")
@click.option("--from-cursor", help="Begin at the page of this cursor.")
@click.option("--to-cursor", help="Stop at this cursor, without its page.")
@click.option("--from-state", is_flag=True, help="Let a backfill begin where the watermark stands.")
@click.option("--mode", type=click.Choice([m.value for m in Mode]), help="Default: backfill with --range or a cursor.")
@click.option(
    "--override-state/--no-override-state",
    default=False,
    show_default=True,
    help="Let a backfill set the watermark where it ends.",
)
@reason_option
@trigger_option
@json_option
@click.pass_context
def ingest(ctx: click.Context, /, datasets: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Append new source files and pages to Bronze; bad rows go to quarantine with the reason, known keys are skipped.

    An incremental run reads pages on from the watermark, and its success moves it. A backfill reads the days or cursors
    that it names, and moves nothing unless --override-state is given.
    """
    from remint.model.request import Ask

    extraction = _extraction(asked)
    if extraction.mode is Mode.BACKFILL:
        reason = need_reason(asked["reason"], "the API was down from 3 to 5 December")
        trigger = Trigger(asked["trigger"] or Trigger.HISTORICAL_BACKFILL)
    else:
        reason, trigger = asked["reason"] or "new source data", Trigger(asked["trigger"] or Trigger.SCHEDULE)
    workspace = open_workspace(ctx, quiet=as_json)
    run = workspace.ingest(datasets, Ask(reason=reason, trigger=trigger), extraction)
    absent = workspace.survey(datasets).absent
    if run is None:
        if as_json:
            print_json("ingest", run=None, source_absent={n: d.as_ranges() for n, d in absent.items()})
        else:
            words = "nothing to ingest: no source has a file that is not in Bronze already"
            click.echo("\n".join([words, *render.absent(absent)]))
        return
    found = json.loads(run.summary)
    if as_json:
        print_json("ingest", run=run, source_absent={n: d.as_ranges() for n, d in absent.items()}, **found)
        return
    pieces = " and ".join(counted(found[n], n.removesuffix("s")) for n in ("files", "pages") if found[n])
    click.echo(render.run_line(run))
    click.echo(
        f"{pieces}: {found['rows_read']:,} rows read = {found['rows_added']:,} added + "
        f"{found['rows_duplicate']:,} already there + {found['rows_rejected']:,} quarantined"
    )
    for line in render.absent(absent):
        click.echo(line)
    click.echo("next: remint plan    # what these rows made stale")


def _extraction(asked: dict[str, Any]) -> Extraction:
    span: DateRange | None = asked["span"]
    is_named = span is not None or asked["from_state"] or asked["from_cursor"] or asked["to_cursor"]
    return Extraction(
        range=span,
        from_cursor=asked["from_cursor"],
        to_cursor=asked["to_cursor"],
        from_state=asked["from_state"],
        mode=Mode(asked["mode"] or (Mode.BACKFILL if is_named else Mode.INCREMENTAL)),
        override_state=asked["override_state"],
    )


COMMANDS = (ingest,)
