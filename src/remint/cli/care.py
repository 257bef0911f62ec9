"""``doctor`` and ``repair``: is everything as it was published, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import (
    DurationType,
    json_option,
    need_reason,
    open_workspace,
    print_json,
    reason_option,
    trigger_option,
)
from remint.errors import UsageError
from remint.model.request import Ask, Mode, Trigger
from remint.model.subset import Subset
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.execution.clean import Litter
    from remint.execution.repair import Repair
    from remint.model.run import Run


_SHOWN = 3
"""Of what is alike, so much is listed one by one."""


class SubsetType(click.ParamType[Subset]):
    """``5%``, those that were hashed longest ago; or ``3/20``, the third of twenty parts."""

    name = "5%|N/M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Subset:
        """Return the subset."""
        del param, ctx
        return value if isinstance(value, Subset) else Subset.parse(value)


@click.command()
@click.argument("selectors", nargs=-1)
@click.option("--read-data", is_flag=True, help="Hash every published file; slower, and finds flipped bits.")
@click.option(
    "--subset", type=SubsetType(), help="Hash a part of them: 5% that were hashed longest ago, or part 3/20 by name."
)
@click.option("--clean", is_flag=True, help="Show what ended runs and interrupted commands left, instead.")
@click.option("--apply", "is_applied", is_flag=True, help="With --clean: remove it.")
@click.option(
    "--grace",
    type=DurationType(),
    default="1h",
    show_default=True,
    help="With --clean: leave what is younger and has no run to tell that it has ended.",
)
@reason_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, selectors: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Compare ledger, journals, table logs and files on disk. Exits with 1 when something is bad.

    Nothing is changed, unless with `--clean --apply`.
    """
    if asked["clean"]:
        _clean(ctx, selectors, as_json=as_json, **asked)
        return
    if asked["is_applied"]:
        raise UsageError("doctor applies nothing", hint="remint doctor --clean --apply; or remint repair --apply")
    workspace = open_workspace(ctx, quiet=True)
    symptoms = workspace.upkeep.doctor(selectors, read_data=asked["read_data"], subset=asked["subset"])
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


def _clean(ctx: click.Context, selectors: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    workspace = open_workspace(ctx, quiet=True)
    found = workspace.upkeep.find_litter(selectors, asked["grace"])
    if found and asked["is_applied"]:
        workspace.upkeep.clean(found, need_reason(asked["reason"], "the disk is filling up"))
    size = sum(litter.size_bytes for litter in found)
    if as_json:
        print_json("clean", removed=asked["is_applied"], bytes=size, files=found)
        return
    groups: dict[tuple[str, str], list[Litter]] = {}
    for litter in found:
        groups.setdefault((litter.dataset, litter.words), []).append(litter)
    for (_, words), alike in groups.items():
        for litter in alike[:_SHOWN]:
            click.echo(f"  {litter.size_bytes:>14,}  {litter.place}: {words}")
        if rest := alike[_SHOWN:]:
            click.echo(
                f"  {sum(x.size_bytes for x in rest):>14,}  ... and {len(rest):,} more like it; --json lists all"
            )
    done = "removed" if asked["is_applied"] else "could go"
    click.echo(f"{counted(len(found), 'thing')}, {size:,} bytes {done}")
    if found and not asked["is_applied"]:
        click.echo('next: remint doctor --clean --apply --reason "..."')


@click.command()
@click.argument("selectors", nargs=-1)
@click.option("--apply", "is_applied", is_flag=True, help="Carry the repair out; without it, it is only shown.")
@reason_option
@trigger_option
@json_option
@click.pass_context
def repair(ctx: click.Context, /, selectors: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Show how what doctor finds can be mended, and what cannot; with --apply, mend it.

    A copy of everything that is replaced is kept below `.remint/repairs`. Exits with 1 when something
    stays bad, or must be made again by a run.
    """
    workspace = open_workspace(ctx, quiet=as_json)
    found = workspace.upkeep.find_repair(selectors)
    done = None
    if asked["is_applied"] and found.acts:
        ask = Ask(
            reason=need_reason(asked["reason"], "a disk lost a sector"),
            trigger=Trigger(asked["trigger"] or Trigger.MANUAL),
            mode=Mode.BACKFILL,
        )
        done = workspace.upkeep.repair(found, ask)
    if as_json:
        print_json("repair", run=done, acts=found.acts, rebuilds=found.rebuilds, left=found.hopeless)
    else:
        _show_repair(found, done)
    if found.hopeless or found.rebuilds:
        ctx.exit(1)


def _show_repair(found: Repair, done: Run | None) -> None:
    for act in found.acts:
        click.echo(f"  {act.kind.value:<10} {act.subject}: {act.place}\n             {act.words}")
    for rebuild in found.rebuilds:
        click.echo(f"  rebuild    {rebuild.dataset}: {rebuild.words}")
        for command in rebuild.commands:
            click.echo(f"             {command}")
    for symptom in found.hopeless:
        click.echo(f"  stays bad  {symptom.subject}: {symptom.detail}\n             {symptom.hint}")
    click.echo(f"{counted(len(found.acts), 'act')}, {len(found.rebuilds)} to rebuild, {len(found.hopeless)} stay bad")
    if done:
        click.echo(render.run_line(done))
    if found.acts and not done:
        click.echo('next: remint repair --apply --reason "..."')
    elif found.rebuilds:
        click.echo(f"next: {found.rebuilds[0].commands[0]}")
    elif done:
        click.echo("next: remint doctor --read-data")


COMMANDS = (doctor, repair)
