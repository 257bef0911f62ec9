"""``init``, ``status`` and ``doctor``: the project itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from remint.cli import render
from remint.cli.options import json_option, open_workspace, print_json
from remint.model.request import Request

if TYPE_CHECKING:
    from remint.model.plan import Plan
    from remint.workspace import Workspace


@click.command()
@click.argument("folder", type=click.Path(file_okay=False), default=".")
@click.option("--name", help="Name of the project; the folder's name without it.")
@json_option
def init(folder: str, name: str | None, *, as_json: bool) -> None:
    """Write a small working project into FOLDER: CSV orders to Bronze, Silver and two Gold tables."""
    from remint.loading.scaffold import init_project

    files = init_project(Path(folder), name)
    if as_json:
        print_json("init", folder=folder, files=[str(f) for f in files])
        return
    for file in files:
        click.echo(f"  wrote {file}")
    step = "" if folder == "." else f"cd {folder} && "
    click.echo(f"next: {step}remint ingest && remint run")


@click.command()
@click.argument("selectors", nargs=-1)
@json_option
@click.pass_context
def status(ctx: click.Context, selectors: tuple[str, ...], *, as_json: bool) -> None:
    """Say which partitions are fresh, stale or missing, and what is outstanding."""
    workspace = open_workspace(ctx, quiet=True)
    plan = workspace.make_plan(Request(selectors=selectors, requested_by=workspace.project.settings.user))
    rows = [_status_row(workspace, plan, name) for name in workspace.graph.select(selectors)]
    outstanding = workspace.store.outstanding()
    if as_json:
        print_json("status", project=workspace.project.name, datasets=rows, outstanding=outstanding)
        return
    headers = ("dataset", "partitions", "fresh", "stale", "may change", "missing", "rows", "last run")
    keys = ("dataset", "partitions", "fresh", "stale", "may_change", "missing", "rows", "last_run")
    click.echo(render.table(headers, [[row[k] for k in keys] for row in rows]))
    for run in outstanding:
        click.echo(f"\noutstanding: {render.run_line(run)}{': ' + run.error if run.error else ''}")
        click.echo(f"  next: remint resume {run.run_id}, or remint rollback {run.run_id} to give it up")
    _conclude(plan, rows)


def _status_row(workspace: Workspace, plan: Plan, name: str) -> dict[str, object]:
    heads = workspace.store.heads([name])[name]
    held = [h for h in heads.values() if not h.is_missing]
    will = [a for a in plan.actions if a.dataset == name and a.certain]
    may = sum(a.units for a in plan.actions if a.dataset == name and not a.certain)
    missing = sum(len([k for k in a.keys if k not in heads or heads[k].is_missing]) for a in will)
    newest = max(held, key=lambda h: h.seq, default=None)
    stale = sum(a.units for a in will) - missing
    return {
        "dataset": name,
        "partitions": len(held) + missing,
        "fresh": len(held) - stale - may,
        "stale": stale,
        "may_change": may,
        "missing": missing,
        "rows": sum(h.rows for h in held),
        "bytes": sum(h.size_bytes for h in held),
        "last_run": newest.run_id if newest else "-",
    }


def _conclude(plan: Plan, rows: list[dict[str, object]]) -> None:
    total = sum(int(str(row["partitions"])) for row in rows)
    if plan.is_empty and total:
        click.echo(f"\nnothing to do: all {total:,} partitions are fresh")
    elif plan.is_empty:
        click.echo("\nnothing is published yet\nnext: remint ingest")
    else:
        units = sum(a.units for a in plan.actions)
        click.echo(f"\n{render.count(units, 'partition')} to bring up to date\nnext: remint plan    # says why")


@click.command()
@click.argument("selectors", nargs=-1)
@click.option("--read-data", is_flag=True, help="Hash every published file; slower, and finds flipped bits.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, selectors: tuple[str, ...], *, read_data: bool, as_json: bool) -> None:
    """Compare ledger, table logs and files on disk; changes nothing. Exits with 1 when something is bad."""
    workspace = open_workspace(ctx, quiet=True)
    symptoms = workspace.doctor(selectors, read_data=read_data)
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


COMMANDS = (init, status, doctor)
