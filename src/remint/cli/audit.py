"""``audit``: who did what, and the proof that this was not changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from remint.cli import render
from remint.cli.options import json_option, limit_option, open_workspace, print_json

if TYPE_CHECKING:
    from remint.execution.audit_chain import Verification
    from remint.model.checkpoint import Checkpoint

_HEADERS = (
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
    "trigger",
    "reason",
)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(invoke_without_command=True)
@limit_option(50)
@json_option
@click.pass_context
def audit(ctx: click.Context, limit: int, *, as_json: bool) -> None:
    """Show who did what to which data, when and why, newest first; or prove that this log was not changed."""
    if ctx.invoked_subcommand:
        return
    found = open_workspace(ctx, quiet=True).store.audit(limit)
    if as_json:
        print_json(
            "audit", entries=[{"seq": r.seq, "reprocessing_id": r.entry.run_id, "entry": r.entry} for r in found]
        )
        return
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
            e.trigger or "-",
            e.reason,
        )
        for e in (r.entry for r in found)
    ]
    click.echo(render.table(_HEADERS, rows) if rows else "the audit log is empty")


@audit.command()
@click.argument("checkpoints", nargs=-1, type=_FILE, metavar="[CHECKPOINT]...")
@click.option("--public-key", type=_FILE, help="Every checkpoint must be signed by the key in this file.")
@json_option
@click.pass_context
def verify(ctx: click.Context, checkpoints: tuple[Path, ...], public_key: Path | None, *, as_json: bool) -> None:
    """Walk the whole log and compare it with CHECKPOINTs. Exits with 1 when anything was changed.

    Without a checkpoint, a log that was cut at its end or written anew as a whole is not found.
    """
    found = open_workspace(ctx, quiet=True).audit_log.verify(checkpoints, public_key)
    walk = found.walk
    if as_json:
        print_json(
            "audit-verify",
            entries=walk.entries,
            head=walk.head,
            broken=walk.broken,
            checkpoints=found.checkpoints,
            vouched_by=found.vouched_by,
        )
    elif walk.broken:
        click.echo(f"the audit log was changed: {walk.broken.kind} at seq {walk.broken.seq}")
        click.echo(f"  {walk.broken.found}")
        click.echo(f"  {_entries(walk.entries)} before it fit together, the last with {walk.head}")
    else:
        click.echo(f"{_entries(walk.entries)}, each as it was written; the last has {walk.head}")
        for checkpoint in found.checkpoints:
            click.echo(f"  as at {checkpoint.at}, when there were {checkpoint.entries:,}; {_signer(checkpoint, found)}")
        if not found.checkpoints:
            click.echo("compared with no checkpoint, so a log written anew as a whole would look the same")
            click.echo("next: remint audit checkpoint FILE    # keep it where nobody can change it")
    if walk.broken:
        ctx.exit(1)


@audit.command()
@click.argument("file", type=_FILE)
@click.option("--key", type=_FILE, help="Sign it with the private key in this file.")
@json_option
@click.pass_context
def checkpoint(ctx: click.Context, file: Path, key: Path | None, *, as_json: bool) -> None:
    """Write to a new FILE how long the log is and what it ends with, to be kept where nobody can change it."""
    made = open_workspace(ctx, quiet=True).audit_log.checkpoint(file, key)
    if as_json:
        print_json("audit-checkpoint", file=str(file), checkpoint=made)
        return
    click.echo(f"{file}: {_entries(made.entries)}, the last has {made.head}")
    click.echo(
        f"signed by {made.public_key}" if made.public_key else "not signed: whoever can write the file can forge it"
    )
    click.echo(f"next: keep it elsewhere; later, remint audit verify {file}")


@audit.command()
@click.argument("file", type=_FILE)
@json_option
@click.pass_context
def export(ctx: click.Context, file: Path, *, as_json: bool) -> None:
    """Write the whole log with its hashes to a new FILE, one JSON object a line."""
    count = open_workspace(ctx, quiet=True).audit_log.export(file)
    if as_json:
        print_json("audit-export", file=str(file), entries=count)
        return
    click.echo(f"{file}: {_entries(count)}")
    click.echo(f"next: python -m remint_audit_verifier {file} CHECKPOINT")


@audit.command("new-key")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@json_option
def new_key(folder: Path, *, as_json: bool) -> None:
    """Make a pair of keys in FOLDER to sign checkpoints with."""
    from remint.signing import make_keys

    private, public = make_keys(folder)
    if as_json:
        print_json("audit-key", private=str(private), public=str(public))
        return
    click.echo(f"{private}: signs; keep it from those who can write the state database")
    click.echo(f"{public}: checks; give it to everybody")


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"


def _signer(checkpoint: Checkpoint, found: Verification) -> str:
    if not checkpoint.public_key:
        return "not signed"
    whose = "the expected key" if found.vouched_by else "a key that nobody vouched for"
    return f"signed by {whose}, {checkpoint.public_key}"


COMMANDS = (audit,)
