"""Write ``docs/reference/`` from the code: commands, errors, settings, plan JSON, state tables, public names.

    python docs/generate.py            # write the files
    python docs/generate.py --check    # exit with 1 when a file is not what the code says

Rules: what is said of a thing stands beside it in the code; this script only lays it out. The same code gives the
same bytes, whatever the terminal.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click

import remint
from remint import errors
from remint.cli.main import cli
from remint.loading import settings
from remint.loading.plan_file import PLAN_DOCUMENT, plan_schema
from remint.model import calendar, cost, dataset, mapping, matrix, partition, plan, request
from remint.store import tables

REFERENCE = Path(__file__).parent / "reference"
_WIDTH = 100
_GENERATED = "Generated from {source} by `python docs/generate.py`; do not edit.\n"

_EXIT_CODES = {
    0: "Done, or nothing to do.",
    1: "The command failed; or `verify`, `audit verify` or `doctor` found something bad.",
    2: "Wrong usage, or a mistake in the project.",
    3: "Changes are pending. Only `remint plan --detailed-exitcode` uses it.",
    4: "A rule of the policy refuses the plan or its start, or a second person must approve it.",
    5: "A check failed before publishing. Nothing of the run is visible.",
    6: "A conflict: the world is not what the plan, the run or the rollback needs.",
    130: "Interrupted from the keyboard.",
}
_SETTING_FIELDS = {
    ("project", "name"): "Name of the project, as plans carry it.",
    ("paths", "lake"): "Folder under which the tables live, relative to the project.",
    ("views", "path"): "Views for DuckDB, refreshed after every run that ends well; relative to the project.",
    ("tables", "format"): "Table format of every dataset.",
    ("catalog", "name"): "Of the Iceberg catalog: tables under another name in the same database are others.",
    ("catalog", "type"): "What names Iceberg tables: `sql` (a database), `rest` (a server) or `glue` (AWS).",
    ("catalog", "url"): "SQLAlchemy URL (without one `catalog.db` in the lake's folder), or the server's address.",
    ("catalog", "warehouse"): "Which of the warehouses of a server, as it names them.",
    ("store", "url"): "SQLAlchemy URL of the state database. A relative SQLite path starts at the project.",
    ("store", "wait_seconds"): "How long to wait for another writer, and for a server that went away.",
    ("engine", "name"): "Engine of every dataset that declares none.",
    ("engine", "digests"): "Makes the digests portable, as they are where Spark makes any dataset.",
    ("engine", "memory_limit"): "How much memory DuckDB may use before it spills to `.remint/tmp`; Spark's driver too.",
    ("engine", "threads"): "Threads of DuckDB, and of Spark where it is started here.",
    ("engine", "batch_rows"): "Input rows that one batch of a plan may read; at least one day goes into a batch.",
    ("engine.spark", "remote"): "Spark Connect server that makes what Spark makes.",
    ("engine.spark", "master"): "Where Spark is started, as Spark spells it; without it on this machine.",
    ("engine.spark", "above"): "A batch that reads files of more than this is made by Spark, if no engine is declared.",
    ("cost", "currency"): "What the prices are in.",
    ("cost", "per_hour"): "Price of an hour of the machine that stages.",
    ("cost", "per_tb_scanned"): "Price of opening 10**12 bytes.",
    ("policy", "ask"): "Rules whose breach needs the approval of a second person instead of being refused.",
    ("policy", "max_seconds"): "Longest staging time that a plan may be expected to take.",
    ("policy", "max_money"): "Highest cost that a plan may be expected to have.",
    ("policy", "max_bytes_scanned"): "Most bytes that a plan may be expected to open.",
    ("policy", "max_rows"): "Most published rows that a plan may read.",
    ("policy", "largest_window_days"): "Longest range; of a backfill without one, the days that it recomputes.",
    ("policy", "max_running"): "Most runs in progress at once, with the one that starts.",
    ("policy", "peak_hours"): "Daily windows in which no backfill starts; half-open, by the clock of the named zone.",
    ("policy", "priority"): "Of backfills: `low` leaves the processor to other processes.",
    ("policy", "sla_seconds"): "A run that takes longer raises an alert.",
    ("policy", "lease_seconds"): "How long a run belongs to a process that gives no sign of life.",
    ("retention", "keep_days"): "`remint expire` keeps every file that is needed to undo a run of the last days.",
}
_TABLES = {
    "schema_info": "The version of this schema.",
    "projects": "The project that the database belongs to.",
    "runs": "One row a run: what was asked, by whom, why, and where it stands.",
    "journal": "The durable steps of a run, in order. `resume` continues from them.",
    "timings": "What each staging step took; estimates are learned from the newest.",
    "ledger": "What every unit holds since a run, and what it was made from.",
    "heads": "The newest ledger row of each unit.",
    "standings": "How the units of each dataset stand, as sets, up to a ledger row; planning reads these.",
    "projections": "Digests of content over the columns that a consumer reads.",
    "arrivals": "Rows of one event partition in one Bronze file.",
    "countings": "In which way the arrivals of a Bronze dataset are counted.",
    "arrived": "Those rows summed by event partition.",
    "source_files": "Every source file that was ingested, with its hash and what became of its rows.",
    "coverage": "What each source was asked for in a run, by days or by cursors, and how many rows came: none, too.",
    "logic": "The registry of logic versions: every one that was published, the `v1`, `v2` of a plan's reasons.",
    "tables_seen": "The last state of each table in which every live file is accounted for.",
    "releases": "One row for each run that ended well: a consistent cut over all tables.",
    "leases": "Who carries a run out, and until when that is taken for granted.",
    "pins": "Releases whose files retention must keep, and why.",
    "unpins": "Pins that were given up.",
    "expired": "Files that retention removed: none of them can be put back.",
    "hashed_files": "When `doctor --read-data` last hashed a file: `--subset 5%` takes those of longest ago.",
    "watermarks": "Every move of a watermark.",
    "approvals": "One row for each consent of a second person to a plan.",
    "approval_uses": "Which run used which approval up: one each.",
    "audit_log": "Who did what to which data, when and why.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    type: str
    default: str
    words: str


def pages() -> dict[str, str]:
    """Return the text of every generated file by its name."""
    return {
        "api.md": api_page(),
        "cli.md": cli_page(),
        "errors.md": errors_page(),
        "plan-json.md": plan_page(),
        "plan-schema.json": plan_schema_file(),
        "settings.md": settings_page(),
        "state-schema.md": state_page(),
    }


def outdated() -> list[str]:
    """Return the names of generated files that are not on disk as the code has them now."""
    wanted = pages()
    found = {path.name: path.read_text("utf-8") for path in _generated()}
    return sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))


def _generated() -> list[Path]:
    return [*REFERENCE.glob("*.md"), *REFERENCE.glob("*.json")]


def api_page() -> str:
    """Return the page of the public names, as a project's Python files import them."""
    lines = [
        "# Public names",
        "",
        _GENERATED.format(source="`remint.__all__`"),
        "What a project imports from `remint`. Nothing else is promised to stay.",
    ]
    for name in sorted(remint.__all__):
        lines += ["", f"## `{name}`", "", *_api_entry(name)]
    return _text(lines)


def _api_entry(name: str) -> Iterator[str]:
    value = getattr(remint, name)
    if isinstance(value, str):
        yield "The version of remint, as text."
        return
    if inspect.isfunction(value):
        yield from ("```python", *_signature(name, value), "```", "")
    yield from _docstring(value)


def _signature(name: str, function: Callable[..., object]) -> list[str]:
    signature = inspect.signature(function)
    shown = _unquoted(f"{name}{signature}")
    if len(shown) <= _WIDTH:
        return [shown]
    inside: list[str] = []
    star = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            inside, star = [*inside, "    *,"], True
        inside.append(_unquoted(f"    {parameter},"))
    return [f"{name}(", *inside, f") -> {signature.return_annotation}"]


def _unquoted(signature: str) -> str:
    """Return a signature with its annotations as the source has them; defaults keep their quotes."""
    return re.sub(r"(: |-> )'([^']+)'", r"\1\2", signature)


def _docstring(value: object) -> Iterator[str]:
    """Give a docstring as Markdown; Google sections become lists."""
    text = inspect.getdoc(value) or ""
    section = False
    for line in text.replace("``", "`").split("\n"):
        if line in ("Args:", "Returns:", "Raises:"):
            section = True
            yield f"*{line.removesuffix(':')}*"
            yield ""
        elif section and line.startswith("    ") and not line.startswith("     "):
            head, colon, rest = line.strip().partition(": ")
            yield f"- `{head}`: {rest}" if colon else f"- {line.strip()}"
        else:
            yield line.strip() if section else line


def cli_page() -> str:
    """Return the page of the commands: the help of each, as the terminal shows it."""
    lines = [
        "# Commands",
        "",
        _GENERATED.format(source="the `--help` of every command"),
        "Every command but the group itself takes `--json` and then prints one JSON document with a `format` field.",
        "Progress goes to standard error, results to standard output. Exit codes: [errors.md](errors.md).",
    ]
    top = _context(cli, "remint", None)
    lines += ["", "## `remint`", "", "```text", *cli.get_help(top).split("\n"), "```"]
    for name in sorted(cli.commands):
        command = cli.commands[name]
        shown = command.get_help(_context(command, name, top))
        lines += ["", f"## `remint {name}`", "", "```text", *shown.split("\n"), "```"]
        if isinstance(command, click.Group):
            for inner in sorted(command.commands):
                within = _context(command.commands[inner], inner, _context(command, name, top))
                shown = command.commands[inner].get_help(within)
                lines += ["", f"### `remint {name} {inner}`", "", "```text", *shown.split("\n"), "```"]
    return _text(lines)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )


def errors_page() -> str:
    """Return the page of the errors, and of the exit codes."""
    if not {kind.exit_code for kind in error_classes()} <= set(_EXIT_CODES):
        raise SystemExit("docs/generate.py: _EXIT_CODES lacks an exit code that an error has")
    lines = [
        "# Errors and exit codes",
        "",
        _GENERATED.format(source="`src/remint/errors/`"),
        "An error says what, where, what was expected and what was found. It then says what is left behind, and the",
        "next command. With `--json` it is one document: `{format, error: {code, message, hint, leaves, exit_code}}`.",
        "",
        "## Exit codes",
        "",
        "| Code | Meaning |",
        "|---|---|",
        *(f"| {code} | {words} |" for code, words in _EXIT_CODES.items()),
        "",
        "## Errors",
        "",
        "| Code | Class | Exit code | Retryable | Meaning | Left behind |",
        "|---|---|---|---|---|---|",
    ]
    for kind in sorted(error_classes(), key=lambda c: c.code):
        words = " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
        retryable = "yes" if kind.retryable else "no"
        lines.append(f"| {kind.code} | `{kind.__name__}` | {kind.exit_code} | {retryable} | {words} | {kind.leaves} |")
    return _text(lines)


def error_classes() -> list[type[errors.RemintError]]:
    """Return every error class, in the order in which the module has them."""
    found = (v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.RemintError))
    return list(found)


def settings_page() -> str:
    """Return the page of the settings in ``remint.toml`` and of their environment variables."""
    if set(settings._KEYS) != set(_SETTING_FIELDS):
        raise SystemExit("docs/generate.py: _SETTING_FIELDS does not name exactly the settings that there are")
    lines = [
        "# Settings",
        "",
        _GENERATED.format(source="`src/remint/loading/settings.py`"),
        "Settings stand in `remint.toml`. An environment variable comes before the file. A key or variable that is",
        "not known is a mistake: the message names the nearest one.",
        "",
        "| Setting | Environment variable | Default | Must be | Meaning |",
        "|---|---|---|---|---|",
    ]
    for (section, name), key in settings._KEYS.items():
        variable = f"{settings._ENV_PREFIX}{section.replace('.', '_')}__{name}".upper()
        default = "none: it is required" if key.is_required else _default(key.default)
        words = _SETTING_FIELDS[section, name]
        lines.append(f"| `[{section}] {name}` | `{variable}` | {default} | {key.expected} | {words} |")
    lines += [
        "",
        "`REMINT_USER` names who asks for runs. Without it, the login name is taken.",
    ]
    return _text(lines)


def _default(value: object) -> str:
    return "none" if value in (None, (), "") else f"`{value}`"


def plan_page() -> str:
    """Return the page of a saved plan's JSON."""
    lines = [
        "# The plan file",
        "",
        _GENERATED.format(source="the dataclasses of `src/remint/model/`"),
        f"`remint plan --json` prints an object of the format `{PLAN_DOCUMENT}`: plan, decision matrix, file.",
        "Its JSON schema is [plan-schema.json](plan-schema.json); nothing in it is optional. A field that is added,",
        "renamed or dropped changes the number of the format.",
        "",
        f"`remint plan` saves `.remint/plans/<plan_id>.json`, format `{plan.PLAN_FORMAT}`. It is one `Plan` object.",
        "The `plan_id` is the digest of all other fields, so an edited file is refused. Dates are ISO 8601, times UTC.",
    ]
    sections: dict[str, Iterator[str]] = {}
    for module, only in (
        (plan, None),
        (request, None),
        (cost, {"Estimate"}),
        (partition, {"DateRange", "Grain", "PartitionSpec"}),
        (dataset, None),
        (mapping, None),
        (matrix, None),
    ):
        for node in _classes(module):
            if only is None or node.name in only:
                sections[node.name] = _class_section(node)
    for name in ("Plan", *(n for n in sections if n != "Plan")):
        lines += ["", f"## {name}", "", *sections[name]]
    return _text(lines)


def plan_schema_file() -> str:
    """Return the JSON schema of ``remint plan --json``, with what the classes say of their fields."""
    schema = plan_schema()
    for module in (plan, request, partition, calendar, dataset, mapping, matrix):
        for node in _classes(module):
            described = schema["$defs"].get(node.name, {}).get("properties", {})
            for entry in _fields(node):
                if entry.name in described and entry.words.strip("-"):
                    described[entry.name]["description"] = entry.words
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _classes(module: ModuleType) -> Iterator[ast.ClassDef]:
    tree = ast.parse(inspect.getsource(module))
    yield from (node for node in tree.body if isinstance(node, ast.ClassDef))


def _class_section(node: ast.ClassDef) -> Iterator[str]:
    yield _one_line(ast.get_docstring(node) or "")
    yield ""
    fields = list(_fields(node))
    is_enum = any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases)
    if is_enum and not any(f.words for f in fields):
        yield "One of " + ", ".join(f"`{f.default}`" for f in fields) + "."
    elif is_enum:
        yield from ("| Value | Meaning |", "|---|---|")
        yield from (f"| `{f.default}` | {f.words} |" for f in fields)
    else:
        yield from ("| Field | Type | Default | Meaning |", "|---|---|---|---|")
        yield from (f"| `{f.name}` | `{f.type}` | {f.default} | {f.words} |" for f in fields)


def _fields(node: ast.ClassDef) -> Iterator[_Field]:
    """Give the fields of a dataclass or the members of an enum, with the text that stands under each."""
    for index, entry in enumerate(node.body):
        below = node.body[index + 1] if index + 1 < len(node.body) else None
        words = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            words = _one_line(below.value.value)
        if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            default = f"`{ast.unparse(entry.value)}`" if entry.value else "required"
            shown = ast.unparse(entry.annotation).replace("|", "\\|")
            yield _Field(name=entry.target.id, type=shown, default=default.replace("|", "\\|"), words=words or "-")
        elif isinstance(entry, ast.Assign) and isinstance(entry.targets[0], ast.Name):
            value = str(ast.literal_eval(entry.value))
            yield _Field(name=entry.targets[0].id, type="", default=value, words=words)


def state_page() -> str:
    """Return the page of the state database's tables."""
    if set(tables.metadata.tables) != set(_TABLES):
        raise SystemExit("docs/generate.py: _TABLES does not name exactly the tables that there are")
    append_only = {table.name for table in tables.APPEND_ONLY}
    lines = [
        "# The state database",
        "",
        _GENERATED.format(source="`src/remint/store/tables.py`"),
        "By default it is SQLite at `.remint/state.db`. Rows of an append-only table are never changed or removed.",
        "Times are UTC text that ends in `Z`. Digests are text: [digests](../digests.md).",
        "",
        "| Table | Append-only | Holds |",
        "|---|---|---|",
    ]
    for name in tables.metadata.tables:
        lines.append(f"| [`{name}`](#{name}) | {'yes' if name in append_only else 'no'} | {_TABLES[name]} |")
    for name, table in tables.metadata.tables.items():
        lines += ["", f"## {name}", "", _TABLES[name], "", "| Column | Type | Null | Refers to |", "|---|---|---|---|"]
        for column in table.columns:
            kind = "TEXT (UTC)" if isinstance(column.type, tables.UtcText) else str(column.type)
            key = " (key)" if column.primary_key else ""
            refers = ", ".join(f"`{f.target_fullname}`" for f in column.foreign_keys) or "-"
            lines.append(f"| `{column.name}`{key} | {kind} | {'yes' if column.nullable else 'no'} | {refers} |")
    return _text(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _text(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` only compare them."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    if arguments:
        wrong = outdated()
        for name in wrong:
            sys.stderr.write(f"docs/reference/{name} is not what the code says\n")
        if wrong:
            sys.stderr.write("next: python docs/generate.py\n")
        return 1 if wrong else 0
    REFERENCE.mkdir(exist_ok=True)
    wanted = pages()
    for path in _generated():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (REFERENCE / name).write_text(text, "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
