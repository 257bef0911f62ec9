"""Put the figures of the proofs into ``docs/reliability.md``, between its two marks.

    python docs/figures.py            # take in what the last run of the proofs left, and write them
    python docs/figures.py --check    # exit with 1 when the page does not say what the figures say

The suites leave their figures in ``.proof/`` at full size (``make test-faults``), a file for each part. Here they are
taken into ``docs/reliability.json``: by row, by part. A row that was run again is replaced as a whole.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "reliability.md"
FIGURES = Path(__file__).parent / "reliability.json"
LEFT = Path(__file__).parents[1] / ".proof"
_BEGIN, _END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

PROOFS = {
    "kill": ("Killed at every mutating system call of a reference run, then resumed", "tests/faults"),
    "torn": ("The same, with the last write half done", "tests/faults"),
    "errno": ("ENOSPC and EACCES from every mutating system call on, EIO at every one", "tests/faults"),
    "resume-killed": ("Killed again while it is resumed", "tests/faults"),
    "power-loss": ("Power lost at every mutating system call: what was not synced is gone", "tests/faults"),
    "steps": ("Killed before and after every durable step of a run, then resumed", "tests/e2e"),
    "restaged-ingest": ("An ingest killed at every step, and gone on with under another digest scheme", "tests/e2e"),
    "clean-failure": ("Disk full, read-only, no memory, locked database", "tests/faults"),
    "simulator": ("Random histories with an oracle after each step, tables in memory", "tests/sim"),
    "histories-delta": ("The same histories on real Delta tables and DuckDB", "tests/sim"),
    "project-histories": ("Random histories of one project through the whole of remint, with an oracle", "tests/e2e"),
    "drawn-graphs": ("Drawn graphs of datasets, each change compared with an oracle", "tests/e2e"),
    "readers": ("Reads by other processes during runs that are killed", "tests/e2e"),
    "tampering": ("Changes of files and logs behind remint's back", "tests/e2e"),
    "clean-up": ("Clean-up of leftovers at every step of a live run", "tests/e2e"),
    "interleavings": ("Two actors on one table, in every order of their steps", "tests/e2e"),
    "hammer": ("Four processes at once on one project", "tests/e2e"),
    "taken-over": ("A paused holder of a run wakes after another one took it over", "tests/e2e"),
    "undo": ("Random rollbacks, in part and in cascades, pins and expiries", "tests/e2e"),
    "retention": ("Expiry at every step of a live run", "tests/e2e"),
    "audit-tampering": ("Audit entries edited, removed, swapped, forged, cut off, or all rewritten", "tests/audit"),
    "s3-faults": ("Requests to a bucket that fail, hang, are throttled, or whose answer is lost", "tests/e2e"),
    "store-faults": ("Lost connections and replies, locks, older copies of the state", "tests/store"),
    "postgres-restarts": ("Immediate restarts of PostgreSQL in the middle of runs", "tests/e2e"),
    "postgres-crashes": ("Killed at every durable step, with the state on PostgreSQL", "tests/e2e"),
    "postgres-histories": ("Random histories with the state on PostgreSQL", "tests/e2e"),
    "migrations": ("Upgrades of the state that are killed, or tried by several at once", "tests/store"),
    "syscalls-iceberg": ("System calls that kill, tear or fail, with the tables in Iceberg", "tests/faults"),
    "power-iceberg": ("Power lost at every mutating system call, with the tables in Iceberg", "tests/faults"),
    "steps-iceberg": ("Killed before and after every durable step, with the tables in Iceberg", "tests/e2e"),
    "histories-iceberg": ("Random histories of one project, with the tables in Iceberg", "tests/e2e"),
    "interleavings-iceberg": ("Two actors on one Iceberg table, in every order of their steps", "tests/e2e"),
    "taken-over-iceberg": ("A paused holder of a run on Iceberg wakes after it was taken over", "tests/e2e"),
    "readers-iceberg": ("Reads of Iceberg tables during runs that are killed", "tests/e2e"),
    "clean-up-iceberg": ("Clean-up at every step of a live run on Iceberg", "tests/e2e"),
    "foreign-iceberg": ("What others do to Iceberg tables is named and healed", "tests/e2e"),
    "tampering-iceberg": ("Changes of files, manifests and the catalog behind remint's back", "tests/e2e"),
    "repairs-iceberg": ("Damaged metadata of Iceberg tables, made anew from the journal", "tests/e2e"),
    "s3-faults-iceberg": ("Requests to the bucket of Iceberg tables that fail", "tests/e2e"),
    "mutants": ("Faults planted in remint's own code; each must turn a test red", "tests/mutants"),
}
"""By name of the row: what is proved, and where the suite is."""


Parts = dict[str, dict[str, int | str]]


def known() -> dict[str, Parts]:
    """Return the figures of every row that was run, by part."""
    found: dict[str, Parts] = json.loads(FIGURES.read_text("utf-8"))
    return found


def taken_in() -> dict[str, Parts]:
    """Return the figures with what the last run left."""
    left: dict[str, Parts] = {}
    for path in sorted(LEFT.glob("*.json")):
        row, _, part = path.stem.partition(".")
        left.setdefault(row, {})[part] = json.loads(path.read_text("utf-8"))
    return {**known(), **left}


def added_up(parts: Parts) -> dict[str, int | str]:
    """Return the figures of a row: numbers of its parts added up."""
    total: dict[str, int | str] = {}
    for figures in parts.values():
        for name, value in figures.items():
            so_far = total.get(name, 0)
            total[name] = so_far + value if isinstance(value, int) and isinstance(so_far, int) else value
    return total


def table() -> str:
    """Return the figures of every row as the page shows them."""
    lines = ["| Proof | Cases | Ended wrong | Further | Again |", "|---|---:|---:|---|---|"]
    rows = known()
    for row, (words, place) in PROOFS.items():
        found = added_up(rows.get(row, {}))
        if not found:
            lines.append(f"| {words} | not run | | | `{place}` |")
            continue
        cases, wrong = found.pop("cases"), found.pop("wrong")
        more = ", ".join(f"{name.replace('_', ' ')} {_said(value)}" for name, value in sorted(found.items()))
        lines.append(f"| {words} | {_said(cases)} | {_said(wrong)} | {more} | `{place}` |")
    return "\n".join(lines) + "\n"


def _said(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def page() -> str:
    """Return the page as it ought to be."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + table() + _END + after


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` only compare it."""
    if arguments == ["--check"]:
        return int(page() != PAGE.read_text("utf-8"))
    rows = taken_in()
    if rows.keys() - PROOFS.keys():
        sys.stderr.write(f"docs/figures.py knows no row {', '.join(sorted(rows.keys() - PROOFS.keys()))}\n")
        return 1
    FIGURES.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", "utf-8", newline="\n")
    PAGE.write_text(page(), "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
