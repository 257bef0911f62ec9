"""``runs``, ``show``, ``verify``, ``sql`` and ``views``: look without changing anything."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remint.cli import render
from remint.cli.options import (
    RangeType,
    as_of_option,
    engine_option,
    json_option,
    limit_option,
    open_to_read,
    open_workspace,
    print_json,
)
from remint.cli.plans import show_plan
from remint.model import mapping
from remint.model.partition import DateRange, PartitionSpec
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.execution.account import RunAccount
    from remint.execution.verify import VerifiedUnit
    from remint.model.dataset import Dataset
    from remint.workspace import Workspace


@click.command()
@limit_option(20)
@json_option
@click.pass_context
def runs(ctx: click.Context, limit: int, *, as_json: bool) -> None:
    """List runs, newest first."""
    found = open_workspace(ctx, quiet=True).store.runs(limit)
    if as_json:
        print_json("runs", runs=found)
        return
    if not found:
        click.echo("no runs yet\nnext: remint ingest")
        return
    headers = ("run", "kind", "state", "mode", "type", "override", "trigger", "started", "by", "reason")
    rows = [
        (
            r.run_id,
            r.kind,
            r.state,
            r.mode,
            r.type or "-",
            r.override_state,
            r.trigger,
            r.started_at,
            r.requested_by,
            r.reason,
        )
        for r in found
    ]
    click.echo(render.table(headers, rows))


@click.command()
@click.argument("name", required=False)
@click.option("--watermarks", is_flag=True, help="Of a dataset: every move of its watermark, and by which run.")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str | None, *, watermarks: bool, as_json: bool) -> None:
    """Show a run, a saved plan or a dataset; without NAME, list the datasets."""
    workspace = open_workspace(ctx, quiet=True)
    if name is None:
        _show_datasets(workspace, as_json=as_json)
    elif name.startswith("p-"):
        show_plan(workspace, workspace.load_plan(name), as_json=as_json)
    elif name.startswith("r-"):
        _show_run(workspace, name, as_json=as_json)
    elif watermarks:
        _show_watermarks(workspace, workspace.graph.find(name), as_json=as_json)
    else:
        _show_dataset(workspace, workspace.graph.find(name), as_json=as_json)


def cut_in_words(cut: PartitionSpec) -> str:
    """Return how a dataset is cut, in words."""
    return f"{cut.grain} of {cut.column}" + (", hidden" if cut.is_hidden else "")


def _show_datasets(workspace: Workspace, *, as_json: bool) -> None:
    rows = [
        {
            "dataset": d.name,
            "partitioned_by": cut_in_words(d.partition),
            "reads": ", ".join(f"{i.dataset} ({mapping.describe(i.mapping)})" for i in d.inputs) or "-",
            "description": d.description,
        }
        for d in workspace.graph
    ]
    if as_json:
        print_json("datasets", datasets=rows)
    else:
        click.echo(
            render.table(("dataset", "partitioned by", "reads", "description"), [list(r.values()) for r in rows])
        )


def _show_run(workspace: Workspace, name: str, *, as_json: bool) -> None:
    run = workspace.store.run(name)
    journal = workspace.store.journal(run.run_id)
    summary = json.loads(run.summary) if run.summary else {}
    account = workspace.account(run)
    undone = workspace.rollbacks.undone_by(run)
    if as_json:
        units = [{"dataset": d, "partition": k, "by": by} for (d, k), by in sorted(undone.items())]
        steps = [{"seq": e.seq, "kind": e.kind} for e in journal]
        print_json("run", run=run, summary=summary, journal=steps, account=account, undone=units)
        return
    click.echo(render.run_line(run))
    state = f"override_state {'yes' if run.override_state else 'no'}"
    for label, value in (
        ("reason", run.reason),
        ("asked by", run.requested_by),
        ("approved by", f"{run.approved_by}: {run.approval_reason}" if run.approved_by else None),
        ("mode", f"{run.mode}{f', type {run.type}' if run.type else ''}, {state}, trigger {run.trigger}"),
        ("plan", run.plan_id),
        ("started", run.started_at),
        ("ended", run.ended_at),
        ("error", run.error),
        *_account_lines(account),
        *(("undone", words) for words in render.undone(undone)),
        *summary.items(),
        ("journal", f"{len(journal)} steps: {', '.join(sorted({e.kind.value for e in journal}))}" if journal else None),
    ):
        if value not in (None, "", [], ()):
            click.echo(f"  {label:<16} {value}")


def _account_lines(found: RunAccount) -> list[tuple[str, str | None]]:
    """Return what a run took and what went wrong, as far as there is anything to say."""
    by_stage = (found.seconds_by_stage, found.errors_by_stage)
    seconds, errors = (", ".join(f"{stage} {n}" for stage, n in by.items() if n) for by in by_stage)
    alerts = "; ".join(map(render.alert, found.alerts))
    return [
        ("estimated", render.estimate(found.estimated) if found.estimated else None),
        ("actual", render.amounts(found.actual) if found.actual.seconds is not None else None),
        ("seconds by stage", seconds or None),
        ("errors by stage", errors or None),
        ("alerts", alerts or None),
    ]


def _show_dataset(workspace: Workspace, dataset: Dataset, *, as_json: bool) -> None:
    logics = workspace.store.logics([dataset.name])[dataset.name]
    watermark = workspace.store.watermarks().get(dataset.name)
    if as_json:
        print_json("dataset", dataset=dataset, published_logic=logics, watermark=watermark)
        return
    click.echo(f"{dataset.name}: {dataset.description}".rstrip(": "))
    click.echo(f"  partitioned by  {cut_in_words(dataset.partition)}")
    click.echo(f"  key             {', '.join(dataset.key) or '-'}")
    for entry in dataset.inputs:
        click.echo(f"  reads           {entry.dataset} as {entry.alias}: {mapping.describe(entry.mapping)}")
    click.echo(f"  logic           {len(logics)} published so far; now {dataset.logic_digest[:12] or '-'}")
    click.echo(f"  watermark       {watermark or '-'}")
    for check in dataset.checks:
        click.echo(f"  check           {check.severity}: {check.name}")
    click.echo(render.table(("column", "type", "required"), [(c.name, c.type, c.required) for c in dataset.columns]))


def _show_watermarks(workspace: Workspace, dataset: Dataset, *, as_json: bool) -> None:
    moves = workspace.store.watermark_history(dataset.name)
    if as_json:
        print_json("watermarks", dataset=dataset.name, moves=moves)
        return
    if not moves:
        click.echo(f"{dataset.name}: its watermark never moved")
        return
    click.echo(render.table(("watermark", "moved at", "by run"), [(m.value, m.moved_at, m.run_id) for m in moves]))


@click.command()
@click.argument("selectors", nargs=-1)
@click.option(
    "--sample", "size", type=click.IntRange(min=1), default=3, show_default=True, help="Units of each dataset."
)
@click.option("--range", "span", type=RangeType(), help="Every unit of these partitions instead of a sample.")
@click.option("--alone", "ways", flag_value="alone", help="Only one query a unit.")
@click.option("--batch", "ways", flag_value="batch", help="Only one query a dataset, all chosen units together.")
@engine_option
@json_option
@click.pass_context
def verify(ctx: click.Context, /, selectors: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Recompute published units and compare with the ledger; exit with 1 when one differs.

    Each unit is recomputed alone, and all chosen ones of a dataset in one batch: what a unit holds may not depend on
    what is computed with it. Of a unit that differs, the rows and columns are named, and the input that is read too
    narrowly; of one whose files somebody else put there or removed, who did.
    """
    workspace = open_workspace(ctx, quiet=as_json)
    span: DateRange | None = asked["span"]
    ways = (asked["ways"],) if asked["ways"] else ("alone", "batch")
    proofs = workspace.verify(selectors, size=asked["size"], span=span, ways=ways)
    counts = {proof: sum(p.proof == proof for p in proofs) for proof in ("proven", "different", "stale")}
    if as_json:
        print_json("verify", units=proofs, **counts)
    else:
        for proof in proofs:
            if proof.proof != "proven":
                click.echo(_proof_text(proof))
        stale = f"{counts['stale']} stale{' (bring those up to date first)' if counts['stale'] else ''}"
        click.echo(f"{counts['proven']} proven, {counts['different']} different, {stale}")
        if span is None and asked["size"] in Counter(p.dataset for p in proofs).values():
            again = " ".join(["remint verify", *selectors, "--range A..B"])
            click.echo(f"next: {again}    # every partition; these were at most {asked['size']} a table")
    if counts["different"]:
        ctx.exit(1)


def _proof_text(unit: VerifiedUnit) -> str:
    lines = [f"  {unit.proof:<9} {unit.dataset} {unit.key}"]
    if unit.cause:
        found = (("published", unit.expected), ("alone", unit.alone), ("in a batch", unit.batch))
        lines[0] += ": " + ", ".join(f"{way} {digest}" for way, digest in found if digest)
        columns = "".join(f"; column {name}: {counted(n, 'row')}" for name, n in unit.columns.items())
        rows = f"{unit.rows_changed:,} rows changed, {unit.rows_added:,} added, {unit.rows_removed:,} removed"
        lines.append(f"      {rows}{columns}")
        lines.append(f"      {unit.cause}")
    return "\n".join(lines)


@click.command()
@click.argument("query")
@as_of_option
@limit_option(1000)
@json_option
@click.pass_context
def sql(ctx: click.Context, query: str, as_of: str | None, limit: int, *, as_json: bool) -> None:
    """Run one SELECT over the published tables, named layer.name; reads a consistent cut, changes nothing."""
    reader = open_to_read(ctx).reader
    rows = reader.sql(query, as_of=as_of, limit=limit)
    deprecated = reader.deprecated_in(query)
    if as_json:
        shown = [list(map(_plain, r)) for r in rows.rows]
        print_json("sql", columns=rows.columns, rows=shown, truncated=rows.truncated, deprecated=deprecated)
        return
    click.echo(render.table(rows.columns, list(rows.rows)))
    click.echo(f"{counted(len(rows.rows), 'row')}{', cut at --limit' if rows.truncated else ''}")
    for note in render.deprecated(deprecated):
        click.echo(f"note: {note}", err=True)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@as_of_option
@json_option
@click.pass_context
def views(ctx: click.Context, file: Path | None, as_of: str | None, *, as_json: bool) -> None:
    """Write the published tables as DuckDB views to FILE.sql or FILE.duckdb; without FILE, to [views] path.

    All views of a file show one release until it is written again. A project with [views] path has that file
    refreshed after every run that ends well.
    """
    release, place = open_to_read(ctx).reader.write_views(file, as_of)
    if as_json:
        print_json("views", file=str(place), release=release)
        return
    click.echo(f"{place}: views of {release.release_id}, as run {release.run_id} left it")
    click.echo("nothing keeps the files of a release: write the views anew before retention removes them")


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


COMMANDS = (runs, show, verify, sql, views)
