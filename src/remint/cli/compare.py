"""``diff``, ``shadow`` and ``versions``: what differs, or would differ, partition by partition and row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import RangeType, json_option, open_workspace, print_json
from remint.errors import UsageError
from remint.model.dataset import Severity
from remint.model.partition import DateRange
from remint.model.request import Trial
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.execution.diff import DatasetDiff
    from remint.execution.shadow import Shadow

_CHECK_FAILED = 5


@click.command()
@click.argument("run_id", metavar="RUN_ID|DATASET")
@click.argument("other", required=False)
@click.option("--dataset", "names", multiple=True, help="Only this dataset; may be repeated.")
@click.option("--versions", nargs=2, type=int, metavar="A B", help="Two versions of DATASET's logic.")
@click.option("--range", "span", type=RangeType(), help="With --versions, only these partitions.")
@json_option
@click.pass_context
def diff(ctx: click.Context, /, run_id: str, other: str | None, *, as_json: bool, **asked: Any) -> None:
    """Compare before and after RUN_ID; or what was published after RUN_ID with after OTHER.

    With --versions, compare two versions of a dataset's logic by key and metric.
    """
    workspace = open_workspace(ctx, quiet=True)
    names, numbers = asked["names"], asked["versions"]
    if numbers:
        entry = workspace.reader.diff_versions(run_id, numbers, asked["span"])
        if as_json:
            print_json("diff", versions=numbers, datasets=[_diff_json(entry)])
        else:
            click.echo(_diff_text(entry))
        return
    if asked["span"]:
        raise UsageError("--range goes with --versions; a run's diff names its partitions itself")
    before, after, touched = workspace.cuts_of(run_id)
    if other:
        before, (_, after, more) = after, workspace.cuts_of(other)
        touched = list({d.name: d for d in (*touched, *more)}.values())
    if names:
        wanted = set(workspace.graph.select(names))
        touched = [d for d in touched if d.name in wanted]
    found = workspace.reader.diff(before, after, touched)
    if as_json:
        print_json("diff", before_seq=before, after_seq=after, datasets=[_diff_json(d) for d in found])
        return
    for entry in found:
        click.echo(_diff_text(entry))
    click.echo(
        f"different: {counted(sum(len(d.differing) for d in found), 'partition')}, "
        f"equal: {sum(d.partitions_same for d in found):,}"
    )


def _diff_json(entry: DatasetDiff) -> dict[str, Any]:
    return {
        "dataset": entry.dataset,
        "partitions_same": entry.partitions_same,
        "differing": entry.differing.as_ranges(),
        "rows_before": entry.rows_before,
        "rows_after": entry.rows_after,
        "comparison": entry.comparison,
        "metrics": entry.metrics,
    }


def _diff_text(entry: DatasetDiff) -> str:
    head = f"{entry.dataset}: "
    if entry.comparison is None:
        return head + f"no difference in {counted(entry.partitions_same, 'partition')}"
    shown = entry.comparison
    lines = [
        head + f"{counted(len(entry.differing), 'partition')} different ({entry.differing.describe()}), "
        f"{entry.partitions_same} equal",
        f"  rows  {entry.rows_before:,} -> {entry.rows_after:,}: {shown.added:,} added, {shown.removed:,} removed, "
        f"{shown.changed:,} changed",
    ]
    lines += [f"  column {column}: {counted(number, 'row')}" for column, number in shown.changed_columns.items()]
    lines += [f"  metric {m.name}: {_number(m.before)} -> {_number(m.after)}" for m in entry.metrics]
    for row in shown.sample[:3]:
        lines.append("  e.g. " + ", ".join(f"{k}={_pair(v)}" for k, v in row.items()))
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _pair(value: Any) -> str:
    return f"{value[0]} -> {value[1]}" if isinstance(value, list) else str(value)


@click.command()
@click.argument("selectors", nargs=-1, required=True)
@click.option("--range", "span", type=RangeType(), required=True, help="The window: 2026-10-14..2026-10-16.")
@click.option("--sample", "size", type=click.IntRange(min=1), help="At most so many partitions of each dataset of it.")
@click.option("--all", "allow_all", is_flag=True, help="Mean it when the window is large.")
@click.option("--keep", is_flag=True, help="Leave the staged files in .remint/tmp.")
@json_option
@click.pass_context
def shadow(ctx: click.Context, /, *, as_json: bool, span: DateRange, **asked: Any) -> None:
    """Try declared logic on a small window and compare it with what is published. Publishes nothing.

    SELECTORS: datasets whose logic is tried, raised version or not; what they reach downstream in the window follows.
    Exits with 5 when a blocking check of a contract would stop a run of it.
    """
    workspace = open_workspace(ctx, quiet=as_json)
    trial = Trial(
        selectors=asked["selectors"],
        span=span,
        sample=asked["size"],
        allow_all=asked["allow_all"],
        keep=asked["keep"],
    )
    found = workspace.shadow(trial)
    folder = found.folder if asked["keep"] else None
    stopping = sum(v.severity is Severity.BLOCK for v in found.breaches)
    if as_json:
        print_json(
            "shadow",
            range=span.describe(),
            datasets=[_diff_json(d) for d in found.diffs],
            computed=found.computed,
            breaches=found.breaches,
            beyond={name: keys.as_ranges() for name, keys in found.beyond.items()},
            folder=folder,
        )
    else:
        click.echo(_shadow_text(found))
        click.echo(f"staged files: {folder}" if folder else "nothing was published; what was staged is deleted")
    if stopping:
        ctx.exit(_CHECK_FAILED)


def _shadow_text(found: Shadow) -> str:
    lines = [_diff_text(entry) for entry in found.diffs]
    for verdict in found.breaches:
        words = "would stop a run" if verdict.severity is Severity.BLOCK else "warning"
        lines.append(f"{words}: {verdict}")
    for name, keys in found.beyond.items():
        lines.append(f"outside of the window, a run may reach too: {name} {keys.describe()}")
    differing = sum(len(d.differing) for d in found.diffs)
    computed = counted(sum(found.computed.values()), "partition")
    lines.append(f"{computed} computed, {differing:,} would differ from what is published")
    return "\n".join(lines)


@click.command()
@click.argument("selectors", nargs=-1)
@json_option
@click.pass_context
def versions(ctx: click.Context, selectors: tuple[str, ...], *, as_json: bool) -> None:
    """List the versions of each dataset's logic: which are current, kept, deprecated or replaced, and what changed."""
    found = open_workspace(ctx, quiet=True).versions(selectors)
    if as_json:
        print_json("versions", versions=found)
        return
    headers = ("dataset", "version", "state", "partitions", "first run", "when", "changed", "read by")
    rows = [
        (
            v.dataset,
            v.number,
            v.state,
            v.partitions,
            v.first_run or "-",
            v.published_at or "-",
            v.change or "-",
            ", ".join(v.read_by) or "-",
        )
        for v in found
    ]
    click.echo(render.table(headers, rows))


COMMANDS = (diff, shadow, versions)
