"""Names and folders of datasets: which are allowed, and which clash."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from remint.errors import ProjectError
from remint.loading.declare import Declaration
from remint.loading.project_modules import shown_path

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Reserved in DuckDB's grammar (duckdb_keywords()), so a table or alias of that name would need quotes everywhere.
RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "default",
        "deferrable",
        "desc",
        "describe",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lambda",
        "lateral",
        "leading",
        "limit",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "pivot",
        "pivot_longer",
        "pivot_wider",
        "placing",
        "primary",
        "qualify",
        "references",
        "returning",
        "select",
        "show",
        "some",
        "summarize",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "unpivot",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
    ]
)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; nearest: x`` for messages, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; nearest: {near[0]}" if near else ""


def name_mistakes(declarations: Sequence[Declaration], root: Path) -> Iterator[ProjectError]:
    """Yield names that are not allowed, are declared twice or could not be told apart everywhere."""
    first: dict[str, Declaration] = {}
    for declaration in declarations:
        bare, file = str(declaration.bare_name), shown_path(declaration.file, root)
        earlier = first.setdefault(unicodedata.normalize("NFKC", declaration.name).casefold(), declaration)
        if earlier is not declaration:
            place = f"{shown_path(earlier.file, root)}:{earlier.line}"
            same = earlier.name == declaration.name
            why = "is declared already" if same else f"differs from {earlier.name} only in case or Unicode form"
            yield ProjectError(f"{declaration.name} {why} ({place})", file=file, line=declaration.line)
        if not NAME.fullmatch(bare):
            yield ProjectError(
                f"{bare[:80]!r} cannot be a dataset's name",
                file=file,
                line=declaration.line,
                hint="1 to 63 lower-case letters, digits and _; no digit first",
            )
        elif bare in RESERVED:
            yield ProjectError(
                f"{bare!r} cannot be a dataset's name: SQL reserves it", file=file, line=declaration.line
            )


def location_mistakes(located: Sequence[tuple[str, Declaration]], root: Path) -> Iterator[ProjectError]:
    """Yield locations that leave the lake, and those of which one lies on or in another.

    Args:
        located: folder and declaration, also for the quarantine tables that come with a declaration.
        root: folder of the project, for messages.
    """
    claimed: dict[tuple[str, ...], Declaration] = {}
    for location, declaration in located:
        file, line = shown_path(declaration.file, root), declaration.line
        parts = PurePosixPath(location).parts
        if not parts or location.startswith("/") or "\\" in location or ":" in location or _has_odd_part(parts):
            yield ProjectError(
                f"location {location!r} is not a folder inside the lake",
                file=file,
                line=line,
                hint="such as silver/orders",
            )
            continue
        # Folded, because some file systems and stores take Orders and orders for one folder.
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        for other, owner in claimed.items():
            if folded[: len(other)] == other or other[: len(folded)] == folded:
                how = "is the location of" if folded == other else "lies in or around the location of"
                yield ProjectError(f"location {location!r} {how} {owner.name}", file=file, line=line)
        claimed[folded] = declaration


def _has_odd_part(parts: Sequence[str]) -> bool:
    # Table formats overlook folders that begin with _ or a dot.
    return any(part.startswith((".", "_")) or not part.isprintable() or "=" in part for part in parts)
