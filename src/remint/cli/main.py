"""The ``remint`` command: its verbs, and how every error leaves it.

Exit codes: 0 done or nothing to do, 1 failure, 2 wrong usage or bad project, 3 changes pending (only with
``plan --detailed-exitcode``), 5 a check failed and nothing was published, 6 conflict or outdated, 130 interrupted.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from remint import __version__
from remint.cli import audit, bring, care, compare, look, plans, project, retention, undo
from remint.errors import InternalError, RemintError, UsageError
from remint.failures import machine_failure


class _Main(click.Group):
    """Turns remint's errors into one message on stderr and the documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _require_text(sys.argv)
            return super().invoke(ctx)
        except RemintError as error:
            _report(error, as_json="--json" in sys.argv)
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted; what was staged is kept: remint status shows how to go on", err=True)
            ctx.exit(130)
        except BaseException as error:
            # A panic of a library written in Rust is no Exception.
            if ctx.params.get("debug") or not (
                isinstance(error, Exception) or type(error).__name__ == "PanicException"
            ):
                raise
            found = machine_failure(error) or InternalError(
                f"{type(error).__name__}: {error}",
                hint="this is a defect of remint: run it again as remint --debug ... and report it",
            )
            _report(found, as_json="--json" in sys.argv)
            ctx.exit(found.exit_code)


def _require_text(words: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8: reasons and names go into the database and the log, which hold text."""
    for word in words:
        if not word.isascii() and any("\udc80" <= letter <= "\udcff" for letter in word):
            shown = word.encode(errors="replace").decode()
            raise UsageError(f"the argument {shown!r} holds bytes that are not UTF-8", hint="type it in UTF-8")


def _report(error: RemintError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"format": "remint.error/1", "error": error.as_dict()}, indent=2))
        return
    click.echo(f"error {error.code}: {error.message}", err=True)
    click.echo(f"  left behind: {error.leaves}", err=True)
    if error.hint:
        click.echo(f"  next: {error.hint}", err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="remint")
@click.option(
    "-C",
    "--project",
    "folder",
    type=click.Path(exists=True, file_okay=False),
    default=".",
    help="Folder of the project, or one inside it.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_context
def cli(ctx: click.Context, folder: str, *, debug: bool) -> None:
    """Replay and backfill for lakehouses: what is stale and why; recompute just that; check, publish, undo, prove."""
    del debug  # read by _Main, before any command runs
    ctx.obj = folder


GROUPS = (project, bring, plans, undo, retention, compare, look, care, audit)

for command in (command for group in GROUPS for command in group.COMMANDS):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    # Start-up allocates much and frees nothing: collecting during it costs a tenth of a cold `status`.
    gc.disable()
    cli(prog_name="remint")
