"""``plan``, ``apply``, ``run``, ``resume``, ``rollback`` and ``adopt``: what changes tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
from remint.model.matrix import matrix
from remint.model.partition import DateRange
from remint.model.request import Mode, Request, Trigger
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.model.plan import Plan
    from remint.model.run import Run
    from remint.workspace import Workspace

CHANGES_PENDING = 3


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what to plan."""
    options = (
        click.argument("selectors", nargs=-1),
        click.option(
            "--range", "span", type=RangeType(), help="Partitions, both ends included: 2026-10-14..2026-10-16."
        ),
        click.option("--rebuild", is_flag=True, help="Recompute fresh partitions too."),
        click.option("--all", "allow_all", is_flag=True, help="Mean it when --rebuild covers the whole history."),
        click.option("--allow-future", is_flag=True, help="Mean it when the range ends after today."),
        click.option(
            "--mode", type=click.Choice([m.value for m in Mode]), help="Default: backfill with --range or --rebuild."
        ),
        click.option("--override-state", is_flag=True, help="Let a backfill move watermarks."),
        reason_option,
        trigger_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _make_plan(workspace: Workspace, asked: dict[str, Any]) -> Plan:
    span: DateRange | None = asked["span"]
    mode = Mode(asked["mode"] or (Mode.BACKFILL if span or asked["rebuild"] else Mode.INCREMENTAL))
    fields: dict[str, Any] = {}
    if mode is Mode.BACKFILL:
        fields["reason"] = need_reason(asked["reason"], "dedup fix for 14 to 16 October")
        fields["trigger"] = Trigger(asked["trigger"] or Trigger.HISTORICAL_BACKFILL)
    else:
        fields["trigger"] = Trigger(asked["trigger"] or Trigger.SCHEDULE)
        if asked["reason"]:
            fields["reason"] = asked["reason"]
    request = Request(
        selectors=asked["selectors"],
        range=span,
        rebuild=asked["rebuild"],
        mode=mode,
        override_state=asked["override_state"],
        requested_by=workspace.project.settings.user,
        **fields,
    )
    return workspace.make_plan(request, allow_all=asked["allow_all"], allow_future=asked["allow_future"])


@click.command()
@request_options
@click.option("--diff", "saved_id", metavar="PLAN_ID", help="Say what planning again changes against a saved plan.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 when there is something to do, or a difference.")
@json_option
@click.pass_context
def plan(ctx: click.Context, /, *, detailed_exitcode: bool, as_json: bool, **asked: Any) -> None:
    """Say what would be recomputed and why, and save it for apply. Changes no table.

    SELECTORS: a dataset, layer:gold, name+ (with downstream), +name (with upstream); every dataset without one.
    """
    workspace = open_workspace(ctx, quiet=True)
    saved_id = asked.pop("saved_id")
    if saved_id:
        changed = _show_plan_diff(workspace, workspace.load_plan(saved_id), asked, as_json=as_json)
        ctx.exit(CHANGES_PENDING if detailed_exitcode and changed else 0)
    made = _make_plan(workspace, asked)
    path = None if made.is_empty else workspace.save_plan(made)
    if as_json:
        print_json("plan", plan=made, matrix=matrix(made), file=str(path) if path else None)
    else:
        click.echo(render.plan(made))
        if path:
            click.echo(f"next: remint apply {made.plan_id}")
    if detailed_exitcode and not made.is_empty:
        ctx.exit(CHANGES_PENDING)


def _show_plan_diff(workspace: Workspace, saved: Plan, asked: dict[str, Any], *, as_json: bool) -> bool:
    """Plan again, as asked or else as the saved plan was, and say what that changes; return whether it does."""
    if any(asked.values()):
        new = _make_plan(workspace, asked)
    else:
        new = workspace.make_plan(saved.request, allow_all=True, allow_future=True)
    found = workspace.compare_plan(saved, new)
    is_new = not found.is_empty and not new.is_empty
    path = workspace.save_plan(new) if is_new else None
    if as_json:
        changes = {
            kind: [
                {"dataset": c.dataset, "partitions": c.keys.as_ranges(), "before": c.before, "after": c.after}
                for c in listed
            ]
            for kind, listed in (("added", found.added), ("removed", found.removed), ("changed", found.changed))
        }
        print_json(
            "plan-diff",
            saved=saved.plan_id,
            new=new.plan_id,
            is_empty=found.is_empty,
            asked=found.asked,
            moved=found.moved,
            **changes,
            file=str(path) if path else None,
        )
        return not found.is_empty
    click.echo(render.plan_diff(found))
    if not new.is_empty:
        click.echo(f"next: remint apply {new.plan_id if is_new else saved.plan_id}")
    return not found.is_empty


@click.command()
@click.argument("plan_id")
@json_option
@click.pass_context
def apply(ctx: click.Context, plan_id: str, *, as_json: bool) -> None:
    """Carry out a saved plan: stage, check, publish all tables together, record. Once."""
    workspace = open_workspace(ctx, quiet=as_json)
    _show_applied(workspace.apply(workspace.load_plan(plan_id)), as_json=as_json)


@click.command()
@request_options
@json_option
@click.pass_context
def run(ctx: click.Context, /, *, as_json: bool, **asked: Any) -> None:
    """Plan and apply in one go."""
    workspace = open_workspace(ctx, quiet=as_json)
    made = _make_plan(workspace, asked)
    if made.is_empty:
        if as_json:
            print_json("run", run=None, fresh_units=made.fresh_units)
        else:
            click.echo(f"nothing to do: {counted(made.fresh_units, 'partition')} fresh")
        return
    workspace.save_plan(made)
    if not as_json:
        click.echo(render.plan(made))
    _show_applied(workspace.apply(made), as_json=as_json)


@click.command()
@click.argument("run_id")
@json_option
@click.pass_context
def resume(ctx: click.Context, run_id: str, *, as_json: bool) -> None:
    """Continue a run that stopped, from the last finished step."""
    workspace = open_workspace(ctx, quiet=as_json)
    _show_applied(workspace.resume(run_id), as_json=as_json)


@click.command()
@click.argument("run_id")
@reason_option
@trigger_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, run_id: str, reason: str | None, trigger: str | None, *, as_json: bool) -> None:
    """Put back what was there before a run, as a new run; later writes to other partitions stay.

    A run that published nothing is given up and its staged files are deleted.
    """
    from remint.workspace import Ask

    workspace = open_workspace(ctx, quiet=as_json)
    ask = Ask(
        reason=need_reason(reason, "the new limit was agreed for next month only"),
        trigger=Trigger(trigger or Trigger.MANUAL),
        mode=Mode.BACKFILL,
    )
    done, readers = workspace.rollback(run_id, ask)
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
    from remint.workspace import Ask

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


def _show_applied(done: Run, *, as_json: bool) -> None:
    found = json.loads(done.summary)
    if as_json:
        print_json("run", run=done, **found)
        return
    click.echo(render.run_line(done))
    if "units_published" in found:
        click.echo(
            f"{counted(found['units_published'], 'partition')} published, {found['units_unchanged']:,} came out "
            f"the same, {found['record_count']:,} rows"
        )
        for warning in found["warnings"]:
            click.echo(f"  warning: {warning}")
        click.echo(
            f"next: remint diff {done.run_id}    # before and after; remint rollback {done.run_id} takes it back"
        )


COMMANDS = (plan, apply, run, resume, rollback, adopt)
