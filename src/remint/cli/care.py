"""``doctor`` and ``audit``: whether everything is as it was published, and who did what."""

from __future__ import annotations

import click

from remint.cli import render
from remint.cli.options import json_option, limit_option, open_workspace, print_json


@click.command()
@click.argument("selectors", nargs=-1)
@click.option("--read-data", is_flag=True, help="Hash every published file; slower, and finds flipped bits.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, selectors: tuple[str, ...], *, read_data: bool, as_json: bool) -> None:
    """Compare ledger, table logs and files on disk; changes nothing. Exits with 1 when something is bad."""
    workspace = open_workspace(ctx, quiet=True)
    symptoms = workspace.upkeep.doctor(selectors, read_data=read_data)
    warnings = [f"{w}" for w in workspace.project.warnings]
    bad = sum(s.health == "bad" for s in symptoms)
    if as_json:
        print_json("doctor", symptoms=symptoms, warnings=warnings)
    else:
        for symptom in symptoms:
            click.echo(f"  {symptom.health.value:<5} {symptom.subject}: {symptom.detail}")
            if symptom.hint:
                click.echo(f"        {symptom.hint}")
        for warning in warnings:
            click.echo(f"  note  {warning}")
        click.echo(f"{len(symptoms)} looked at, {bad} bad")
    if bad:
        ctx.exit(1)


@click.command()
@limit_option(50)
@json_option
@click.pass_context
def audit(ctx: click.Context, limit: int, *, as_json: bool) -> None:
    """Show who did what to which data, when and why, newest first."""
    found = open_workspace(ctx, quiet=True).store.audit(limit)
    if as_json:
        print_json(
            "audit", entries=[{"seq": r.seq, "reprocessing_id": r.entry.run_id, "entry": r.entry} for r in found]
        )
        return
    headers = (
        "reprocessing_id",
        "action",
        "status",
        "start_time",
        "end_time",
        "layer",
        "affected [start, end)",
        "record_count",
        "by",
        "mode",
        "type",
        "override",
        "reason",
    )
    rows = [
        (
            e.run_id or "-",
            e.action,
            e.status,
            e.start_time or e.at,
            e.end_time or "-",
            e.layer or "-",
            f"[{e.affected_start}, {e.affected_end})" if e.affected_start else "-",
            e.record_count,
            e.actor,
            e.mode or "-",
            e.type or "-",
            e.override_state,
            e.reason,
        )
        for e in (r.entry for r in found)
    ]
    click.echo(render.table(headers, rows) if rows else "the audit log is empty")


COMMANDS = (doctor, audit)
