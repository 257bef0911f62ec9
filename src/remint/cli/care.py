"""``doctor``: whether everything is as it was published."""

from __future__ import annotations

import click

from remint.cli.options import json_option, open_workspace, print_json


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


COMMANDS = (doctor,)
