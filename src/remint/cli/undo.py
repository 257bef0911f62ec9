"""``resume``, ``rollback``, ``waive``, ``adopt``: end a run, take one back, let one be, take what others wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import (
    RangeType,
    engine_option,
    json_option,
    need_reason,
    open_workspace,
    print_json,
    reason_option,
    trigger_option,
)
from remint.cli.plans import show_applied
from remint.cli.priority import yield_to_production
from remint.errors import UsageError
from remint.model.dataset import Layer
from remint.model.request import Mode, Trigger
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.model.dataset import Dataset
    from remint.model.run import Run
    from remint.planner.undo import Move, Undo
take_over_option = click.option(
    "--take-over", is_flag=True, help="Also from a process that seems to be at work on it; that one can write no more."
)


@click.command()
@click.argument("run_id")
@take_over_option
@engine_option
@json_option
@click.pass_context
def resume(ctx: click.Context, run_id: str, *, take_over: bool, as_json: bool) -> None:
    """Continue a run that stopped, from the last finished step."""
    workspace = open_workspace(ctx, quiet=as_json)
    yield_to_production(workspace.store.run(run_id).mode, workspace.policy.priority)
    show_applied(workspace, workspace.resume(run_id, take_over=take_over), as_json=as_json)


@click.command()
@click.argument("run_id")
@click.option("--dataset", "selectors", multiple=True, help="Only this dataset of the run; may be repeated.")
@click.option("--range", "span", type=RangeType(), help="Only these partitions.")
@click.option(
    "--partition",
    "keys",
    multiple=True,
    help="Only 2026-10-14, or order_date=2026-10-14; may be repeated.",
)
@click.option("--cascade", is_flag=True, help="Take along what later runs wrote over it and what was made from it.")
@click.option("--dry-run", is_flag=True, help="List what would be touched; change nothing.")
@reason_option
@trigger_option
@take_over_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, /, run_id: str, *, as_json: bool, dry_run: bool, **asked: Any) -> None:
    """Put back what was there before a run, or a part of it, as a new run; later writes elsewhere stay.

    A run that published nothing is given up and its staged files are deleted.
    """
    from remint.model.request import Ask, UndoRequest

    if asked["span"] and asked["keys"]:
        raise UsageError("--range and --partition both say which partitions", hint="leave one of them out")
    workspace = open_workspace(ctx, quiet=as_json)
    request = UndoRequest(
        selectors=asked["selectors"], range=asked["span"], keys=asked["keys"], cascade=asked["cascade"]
    )
    if dry_run:
        _show_undo(None, workspace.rollbacks.preview(run_id, request), as_json=as_json)
        return
    ask = Ask(
        reason=need_reason(asked["reason"], "the new limit was agreed for next month only"),
        trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
        mode=Mode.BACKFILL,
    )
    _show_undo(*workspace.rollback(run_id, ask, request, take_over=asked["take_over"]), as_json=as_json)


def _show_undo(done: Run | None, found: Undo, *, as_json: bool) -> None:
    """Show what a rollback touched, or would touch where there is no run."""
    readers = sorted({m.made_by for m in found.stale})
    if as_json:
        units = [_move_json(m) for m in found.moves]
        stale = [_move_json(m) for m in found.stale]
        ended = list(found.ended)
        print_json("rollback", run=done, units=units, becomes_stale=stale, rolled_back=ended, read_by=readers)
        return
    if done and not done.of_run:
        click.echo(f"{render.run_line(done)}\nnext: remint status")
        return
    for line in render.undo(found):
        click.echo(line)
    if done is None:
        click.echo(f"nothing was changed; {counted(len(found.moves), 'partition')} would go back")
        return
    click.echo(render.run_line(done))
    held = "holds again what it held" if len(found.moves) == 1 else "hold again what they held"
    click.echo(f"{counted(len(found.moves), 'partition')} {held} before {done.of_run}")
    if readers:
        words = f"{counted(len(found.stale), 'partition')}, made by {', '.join(readers)}"
        click.echo(f"what was made from it is stale now: {words}")
    click.echo("next: remint status")


def _move_json(move: Move) -> dict[str, Any]:
    dataset, key = move.unit
    held = None if not move.now.record.fingerprint else move.now.record.digest
    back = move.back
    return {
        "dataset": dataset,
        "partition": key,
        "because": move.role,
        "holds": {"run": move.now.record.run_id, "made_by": move.made_by, "digest": held},
        "goes_back_to": {"run": back.record.run_id, "digest": back.record.digest} if back else None,
        "undoes": move.over,
    }


@click.command()
@click.argument("run_id")
@reason_option
@take_over_option
@json_option
@click.pass_context
def waive(ctx: click.Context, run_id: str, reason: str | None, *, take_over: bool, as_json: bool) -> None:
    """Let an outstanding run be: it is not finished and not undone, and status shows it no more.

    A run that was interrupted while it published can be waived only when it cannot be brought to its end: somebody else
    wrote over what it had committed, or files that it staged are gone. What it had committed is taken back; where that
    does not go, what is live of it is foreign, and a plan heals it.
    """
    workspace = open_workspace(ctx, quiet=as_json)
    words = need_reason(reason, "the vendor's job owns these days now")
    done = workspace.waive(run_id, words, take_over=take_over)
    if as_json:
        print_json("waive", run=done.run, taken_back=done.taken_back, live_in=done.live_in)
        return
    click.echo(render.run_line(done.run))
    if done.taken_back:
        click.echo(f"what it had committed was taken back: {', '.join(done.taken_back)}")
    if done.live_in:
        click.echo(f"some of it is live still, and foreign now: {', '.join(done.live_in)}")
    click.echo("next: remint status")


@click.command()
@click.argument("dataset")
@click.option("--range", "span", type=RangeType(), help="Only these partitions.")
@click.option(
    "--compact",
    is_flag=True,
    help="Write partitions anew of which rows are deleted outside of their files, or columns were renamed since.",
)
@reason_option
@trigger_option
@json_option
@click.pass_context
def adopt(ctx: click.Context, /, dataset: str, *, as_json: bool, **asked: Any) -> None:
    """Take what somebody else wrote to DATASET's table as it is: it counts as published from now on.

    The table may be one that remint never published. What is adopted is vouched for by whoever adopts it;
    `remint verify` recomputes it, but of Bronze, of which keys that occur twice are counted.
    """
    from remint.model.request import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    ask = Ask(
        reason=need_reason(asked["reason"], "the vendor's tool compacted the table"),
        trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
        mode=Mode.BACKFILL,
    )
    done = workspace.adopt(dataset, ask, asked["span"], compact=asked["compact"])
    found = json.loads(done.summary) if done else {}
    if as_json:
        print_json("adopt", run=done, **found)
    elif done is None:
        click.echo("nothing to adopt: every partition there is remint's")
    else:
        click.echo(render.run_line(done))
        click.echo(f"{counted(found['units'], 'partition')}, {counted(found['record_count'], 'row')} taken as they are")
        if anew := found.get("units_compacted"):
            click.echo(f"{counted(anew, 'partition')} of them written anew, without what was deleted, and committed")
        for line in _adopted_lines(workspace.graph.find(dataset), found.get("rows_repeated")):
            click.echo(line)


def _adopted_lines(dataset: Dataset, repeated: int | None) -> list[str]:
    """Return what an adoption checked, what it took on somebody's word, and what can be done about that."""
    checked = "checked: columns and types, that every file is there and lies in the folder of its partition"
    if dataset.layer is not Layer.BRONZE:
        return [
            checked,
            "not checked: that the logic makes these rows; the key and the checks of the contract",
            f"next: remint verify {dataset.name}    # recomputes them; remint plan shows what reads them",
        ]
    keys = f"; {counted(repeated, 'row')} with the key of another row of it" if repeated is not None else ""
    return [
        f"{checked}; that nothing ingested was lost{keys}",
        "not checked: that a source delivered these rows; the checks of the contract",
        "next: remint plan    # shows what reads them; there is nothing to recompute Bronze from",
    ]


COMMANDS = (resume, rollback, waive, adopt)
