"""``init`` and ``status``: the project itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remint.cli import render
from remint.cli.options import json_option, open_workspace, print_json
from remint.errors import LogDamaged
from remint.model.dataset import DatasetName
from remint.model.digest import canonical
from remint.model.observation import behind
from remint.model.run import RunState
from remint.model.wording import counted, moved_on

if TYPE_CHECKING:
    from remint.model.run import Run
    from remint.workspace import Survey, Workspace


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
    try:
        found = workspace.survey(selectors)
    except LogDamaged as error:
        # Needed most now: resuming the run that was publishing mends what a loss of power left of it.
        outstanding = tuple(workspace.store.outstanding())
        halves = [run.run_id for run in outstanding if run.state is RunState.PUBLISHING]
        error.hint = f"remint resume {halves[0]}" if halves else error.hint
        if not as_json:
            _show_outstanding(workspace, outstanding)
        raise
    rows = [_status_row(found, name) for name in found.verdicts]
    outstanding = found.world.observed.outstanding
    if as_json:
        at_work = workspace.upkeep.at_work() if outstanding else {}
        absent = {name: days.as_ranges() for name, days in found.absent.items()}
        print_json(
            "status",
            project=workspace.project.name,
            datasets=rows,
            outstanding=[
                {**canonical(run), "at_work": at_work.get(run.run_id), "moved": workspace.moved_under(run)}
                for run in outstanding
            ],
            unrecorded=_unrecorded(found),
            source_absent=absent,
            deprecated=found.deprecated,
        )
        return
    headers = ("dataset", "partitions", "fresh", "stale", "may change", "missing", "foreign", "rows", "last run")
    click.echo(render.table(headers, [list(row.values()) for row in rows]))
    if found.absent:
        click.echo("\n" + "\n".join(render.absent(found.absent)))
    for note in render.deprecated(found.deprecated):
        click.echo(f"note: {note}")
    if lost := _unrecorded(found):
        for run in outstanding:
            click.echo(f"\noutstanding: {render.run_line(run)}")
        click.echo(f"\n{behind(lost)}\nnext: remint doctor    # says how to go on; nothing else can be trusted before")
        return
    _show_outstanding(workspace, outstanding)
    _conclude(rows, is_half=any(run.state is RunState.PUBLISHING for run in outstanding))


def _show_outstanding(workspace: Workspace, outstanding: Sequence[Run]) -> None:
    at_work = workspace.upkeep.at_work() if outstanding else {}
    for run in outstanding:
        if run.run_id in at_work:
            click.echo(f"\n{render.run_line(run)}: {at_work[run.run_id].describe(workspace.now())}")
            continue
        click.echo(f"\noutstanding: {render.run_line(run)}{': ' + render.error(run) if run.error else ''}")
        give_up = f'remint rollback {run.run_id} --reason "..." to give it up, or '
        give_up += f'remint waive {run.run_id} --reason "..." to let it be'
        if moved := workspace.moved_under(run):
            click.echo(f"  it cannot be resumed: {moved_on(moved)}\n  next: {give_up}")
            continue
        mended = " once what stopped it is mended" if run.state is RunState.FAILED else ""
        also = "" if run.state is RunState.PUBLISHING else f", {give_up}"
        click.echo(f"  next: remint resume {run.run_id}{mended}{also}")


def _unrecorded(found: Survey) -> dict[DatasetName, tuple[str, ...]]:
    """Return the runs that tables hold and the state database does not know."""
    return {name: foreign.unrecorded for name, foreign in found.world.observed.foreign.items() if foreign.unrecorded}


def _status_row(found: Survey, name: str) -> dict[str, object]:
    world, verdict = found.world, found.verdicts[name]
    standing, units = world.observed.standings[name], world.units[name]
    will, may_change = verdict.certain, len(verdict.possible)
    missing = len(units - standing.present)
    total = found.totals.get(name)
    return {
        "dataset": name,
        "partitions": len(units),
        "fresh": len(units) - len(will) - may_change,
        "stale": len(will & standing.present),
        "may_change": may_change,
        "missing": missing,
        "foreign": len(world.observed.foreign_keys(name)),
        "rows": total.rows if total else 0,
        "last_run": total.last_run if total else "-",
    }


def _conclude(rows: list[dict[str, object]], *, is_half: bool) -> None:
    if is_half:
        click.echo("\na run is half published: partitions are compared once it has ended")
        return
    total, fresh = (sum(int(str(row[key])) for row in rows) for key in ("partitions", "fresh"))
    foreign = sum(int(str(row["foreign"])) for row in rows)
    if foreign:
        words = (
            f"{counted(foreign, 'partition')} {'holds' if foreign == 1 else 'hold'} other files than remint published"
        )
        click.echo(f"\n{words}\nnext: remint doctor    # lists them")
    if not total:
        click.echo("\nnothing is published yet\nnext: remint ingest")
    elif total == fresh and foreign:
        return
    elif total == fresh:
        click.echo(f"\nnothing to do: all {total:,} partitions are fresh")
    else:
        click.echo(f"\n{counted(total - fresh, 'partition')} to bring up to date\nnext: remint plan    # says why")


COMMANDS = (init, status)
