"""``plan``, ``approve``, ``apply``, ``run``, ``resume``, ``rollback``, ``adopt``: what changes tables, who agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import (
    DurationType,
    RangeType,
    engine_option,
    json_option,
    limit_option,
    mode_option,
    need_reason,
    open_workspace,
    override_option,
    print_json,
    reason_option,
    trigger_option,
    type_option,
)
from remint.cli.priority import yield_to_production
from remint.errors import RemintError, UsageError
from remint.model.matrix import matrix
from remint.model.partition import DateRange
from remint.model.request import BackfillType, Mode, Request, Trigger
from remint.model.run import RunState
from remint.model.wording import counted

if TYPE_CHECKING:
    from datetime import timedelta

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
        click.option(
            "--lookback",
            type=DurationType(),
            help="Instead of --range: the last 48h or 3d, outwards to whole partitions.",
        ),
        click.option("--rebuild", is_flag=True, help="Recompute fresh partitions too."),
        click.option("--all", "allow_all", is_flag=True, help="Mean it when --rebuild covers the whole history."),
        click.option("--allow-future", is_flag=True, help="Mean it when the range ends after today."),
        click.option("--allow-absent", is_flag=True, help="Mean it when a source never delivered days of the range."),
        mode_option,
        type_option,
        override_option,
        reason_option,
        trigger_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _request(workspace: Workspace, asked: dict[str, Any]) -> Request:
    span = _span(workspace, asked["span"], asked["lookback"])
    is_backfill = span or asked["rebuild"] or asked["type_"]
    mode = Mode(asked["mode"] or (Mode.BACKFILL if is_backfill else Mode.INCREMENTAL))
    fields: dict[str, Any] = {}
    if mode is Mode.BACKFILL:
        fields["reason"] = need_reason(asked["reason"], "dedup fix for 14 to 16 October")
        fields["trigger"] = Trigger(asked["trigger"] or Trigger.HISTORICAL_BACKFILL)
    else:
        fields["trigger"] = Trigger(asked["trigger"] or Trigger.SCHEDULE)
        if asked["reason"]:
            fields["reason"] = asked["reason"]
    return Request(
        selectors=asked["selectors"],
        range=span,
        rebuild=asked["rebuild"],
        mode=mode,
        type=BackfillType(asked["type_"]) if asked["type_"] else None,
        override_state=asked["override_state"],
        requested_by=workspace.project.settings.user,
        **fields,
    )


def _span(workspace: Workspace, span: DateRange | None, lookback: timedelta | None) -> DateRange | None:
    if span and lookback is not None:
        raise UsageError("--range and --lookback both say which partitions", hint="leave one of them out")
    return span if lookback is None else workspace.lookback(lookback)


def _meant(asked: dict[str, Any]) -> dict[str, bool]:
    """Return what the caller said is meant."""
    return {name: asked[name] for name in ("allow_all", "allow_future", "allow_absent")}


def _apply(workspace: Workspace, plan: Plan) -> Run:
    yield_to_production(plan.request.mode, workspace.policy.priority)
    return workspace.apply(plan)


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
    made = workspace.make_plan(_request(workspace, asked), **_meant(asked))
    path = None if made.is_empty else workspace.save_plan(made)
    show_plan(workspace, made, as_json=as_json, file=str(path) if path else None)
    if detailed_exitcode and not made.is_empty:
        ctx.exit(CHANGES_PENDING)


def show_plan(workspace: Workspace, plan: Plan, *, as_json: bool, file: str | None = None) -> None:
    """Print a plan, with what it waits for."""
    readiness = workspace.readiness(plan)
    now = workspace.now()
    approvals = [{"state": a.state(now), "approval": a} for a in readiness.approvals]
    refused = readiness.refused.as_dict() if readiness.refused else None
    if as_json:
        waits = {"needs_approval": readiness.needs_approval, "approvals": approvals, "refused_now": refused}
        more = {"notes": readiness.notes, "owners": workspace.owners(plan), "file": file}
        print_json("plan", plan=plan, matrix=matrix(plan), **waits, **more)
        return
    click.echo(render.plan(plan))
    for owner, datasets in workspace.owners(plan).items():
        click.echo(f"tell {owner}: {', '.join(datasets)}")
    note_outstanding(workspace)
    for note in readiness.notes:
        click.echo(f"note: {note}")
    for why in readiness.needs_approval:
        click.echo(f"needs approval: {why}")
    for approval in readiness.approvals:
        click.echo(f"{render.approval(approval, now)}")
    if plan.is_empty:
        return
    if readiness.refused:
        click.echo(f"would be refused now: {readiness.refused.message}\nnext: {readiness.refused.hint}")
    elif readiness.needs_approval and not any(a["state"] == "open" for a in approvals):
        click.echo(f'next: a second person runs: remint approve {plan.plan_id} --as NAME --reason "..."')
    else:
        click.echo(f"next: remint apply {plan.plan_id}")


@click.command()
@click.argument("plan_id")
@click.option(
    "--as", "approver", metavar="NAME", help="Who approves. Default: the user that REMINT_USER or the login names."
)
@reason_option
@click.option("--expires", type=DurationType(), default="24h", show_default=True, help="How long it is good for.")
@json_option
@click.pass_context
def approve(
    ctx: click.Context, plan_id: str, approver: str | None, reason: str | None, expires: timedelta, *, as_json: bool
) -> None:
    """Consent to one run of a plan that somebody else made. PLAN_ID: an id, or a plan's file."""
    workspace = open_workspace(ctx, quiet=True)
    plan = workspace.load_plan(plan_id)
    words = need_reason(reason, "agreed with finance, ticket 4711")
    given = workspace.approve(plan, approver or workspace.project.settings.user, words, expires)
    if as_json:
        print_json("approval", approval=given)
        return
    click.echo(f"{given.approver} approved plan {given.plan_id} until {given.expires_at}, for one run")
    click.echo(f"next: remint apply {given.plan_id}")


@click.command()
@limit_option(50)
@json_option
@click.pass_context
def approvals(ctx: click.Context, limit: int, *, as_json: bool) -> None:
    """List approvals, newest first: open, used by a run, or expired."""
    workspace = open_workspace(ctx, quiet=True)
    now = workspace.now()
    found = workspace.store.approvals(limit)
    if as_json:
        print_json("approvals", approvals=[{"state": a.state(now), "approval": a} for a in found])
        return
    headers = ("plan", "state", "approved by", "asked by", "granted", "expires", "run", "reason")
    rows = [
        (a.plan_id, a.state(now), a.approver, a.requested_by, a.granted_at, a.expires_at, a.used_by or "-", a.reason)
        for a in found
    ]
    click.echo(render.table(headers, rows) if rows else "no approvals yet")


def _show_plan_diff(workspace: Workspace, saved: Plan, asked: dict[str, Any], *, as_json: bool) -> bool:
    """Plan again, as asked or else as the saved plan was, and say what that changes; return whether it does."""
    if any(asked.values()):
        new = workspace.make_plan(_request(workspace, asked), **_meant(asked))
    else:
        new = workspace.make_plan(saved.request, allow_all=True, allow_future=True, allow_absent=True)
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
@engine_option
@json_option
@click.pass_context
def apply(ctx: click.Context, plan_id: str, *, as_json: bool) -> None:
    """Carry out a saved plan: stage, check, publish all tables together, record. Once."""
    workspace = open_workspace(ctx, quiet=as_json)
    show_applied(workspace, _apply(workspace, workspace.load_plan(plan_id)), as_json=as_json)


@click.command()
@request_options
@click.option(
    "--split", "days", type=click.IntRange(min=1), help="Cut the range into windows of so many days, a run for each."
)
@engine_option
@json_option
@click.pass_context
def run(ctx: click.Context, /, *, days: int | None, as_json: bool, **asked: Any) -> None:
    """Plan and apply in one go; stops after the plan where a second person must approve it."""
    workspace = open_workspace(ctx, quiet=as_json)
    request = _request(workspace, asked)
    if days is not None:
        _run_windows(workspace, request, days, _meant(asked), as_json=as_json)
        return
    made = workspace.make_plan(request, **_meant(asked))
    if made.is_empty:
        if as_json:
            print_json("run", run=None, fresh_units=made.fresh_units)
        else:
            click.echo(f"nothing to do: {counted(made.fresh_units, 'partition')} fresh")
        return
    workspace.save_plan(made)
    if not as_json:
        click.echo(render.plan(made))
    show_applied(workspace, _apply(workspace, made), as_json=as_json)


def _run_windows(workspace: Workspace, request: Request, days: int, meant: dict[str, bool], *, as_json: bool) -> None:
    """Plan and apply window after window; the first that fails says which are done and how to go on."""
    windows = workspace.windows(request, days, **meant)
    done: list[dict[str, Any]] = []
    for window in windows:
        shown = window.range.describe() if window.range else ""
        try:
            made = workspace.make_plan(window, **meant)
            if not made.is_empty:
                workspace.save_plan(made)
            applied = None if made.is_empty else _apply(workspace, made)
        except RemintError as error:
            ready = ", ".join(d["range"] for d in done) or "none"
            error.message += f"\n  this was window {shown}, {len(done) + 1} of {len(windows)}; done: {ready}"
            error.hint = f"{error.hint or 'mend the cause'}\n  then go on: {_rest(request, window, days)}"
            raise
        done.append({"range": shown, "run": applied})
        if not as_json:
            said = render.run_line(applied) if applied else "nothing to do"
            click.echo(f"window {len(done)} of {len(windows)} {shown}: {said}")
    if as_json:
        print_json("windows", windows=done)
    else:
        click.echo(f"{counted(len(done), 'window')} done\nnext: remint status")


def _rest(request: Request, window: Request, days: int) -> str:
    """Return the command that goes on with ``window`` of ``request``."""
    if request.range is None or window.range is None:
        return "remint run"
    return request.split_command(window.range.start, request.range.end, days)


def show_applied(workspace: Workspace, done: Run, *, as_json: bool) -> None:
    found = json.loads(done.summary)
    alerts = workspace.account(done).alerts
    if as_json:
        print_json("run", run=done, **found, alerts=alerts)
        return
    click.echo(render.run_line(done))
    note_outstanding(workspace)
    if "units_published" in found:
        click.echo(
            f"{counted(found['units_published'], 'partition')} published, {found['units_unchanged']:,} came out "
            f"the same, {found['record_count']:,} rows"
        )
        for warning in found["warnings"]:
            click.echo(f"  warning: {warning}")
        for alert in alerts:
            click.echo(f"  {'' if alert.get('recovered') else 'alert: '}{render.alert(alert)}")
        undo = f"next: remint diff {done.run_id}    # before and after; remint rollback {done.run_id} takes it back"
        click.echo(undo if found["units_published"] else "next: remint status    # no table changed")


def note_outstanding(workspace: Workspace) -> None:
    """Say in one line which failed runs wait for somebody to end them."""
    failed = [run.run_id for run in workspace.store.outstanding() if run.state is RunState.FAILED]
    if failed:
        words = f"{counted(len(failed), 'failed run')} outstanding: {', '.join(failed[:3])}"
        click.echo(f"note: {words}{', ...' if len(failed) > 3 else ''}: remint status shows how to end them", err=True)


COMMANDS = (plan, approve, approvals, apply, run)
