"""Put the figures of the proofs into ``docs/reliability.md``, between its two marks.

    python docs/figures.py            # write them
    python docs/figures.py --check    # exit with 1 when the page does not say what the figures say

The figures are JSON files in ``docs/reliability/``, left there by the suites themselves at full size
(``make test-faults``). A suite of several parts leaves one file for each; their numbers are added up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "reliability.md"
FIGURES = Path(__file__).parent / "reliability"
_BEGIN, _END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

PROOFS = {
    "kill": ("Killed at every mutating system call of a reference run, then resumed", "tests/faults"),
    "torn": ("The same, with the last write half done", "tests/faults"),
    "errno": ("ENOSPC and EACCES from every mutating system call on, EIO at every one", "tests/faults"),
    "resume-killed": ("Killed again while it is resumed", "tests/faults"),
    "power-loss": ("Power lost at every mutating system call: what was not synced is gone", "tests/faults"),
    "clean-failure": ("Disk full, read-only, no memory, locked database", "tests/faults"),
    "simulator": ("Random histories with an oracle after each step, tables in memory", "tests/sim"),
    "histories-delta": ("The same histories on real Delta tables and DuckDB", "tests/sim"),
    "readers": ("Reads by other processes during runs that are killed", "tests/e2e"),
    "tampering": ("Changes of files and logs behind remint's back", "tests/e2e"),
    "clean-up": ("Clean-up of leftovers at every step of a live run", "tests/e2e"),
    "interleavings": ("Two actors on one table, in every order of their steps", "tests/e2e"),
    "hammer": ("Four processes at once on one project", "tests/e2e"),
    "taken-over": ("A paused holder of a run wakes after another one took it over", "tests/e2e"),
    "undo": ("Random rollbacks, in part and in cascades, pins and expiries", "tests/e2e"),
    "retention": ("Expiry at every step of a live run", "tests/e2e"),
    "audit-tampering": ("Audit entries edited, removed, swapped, forged, cut off, or all rewritten", "tests/audit"),
    "store-faults": ("Lost connections and replies, locks, older copies of the state", "tests/store"),
    "postgres-restarts": ("Immediate restarts of PostgreSQL in the middle of runs", "tests/e2e"),
    "postgres-crashes": ("Killed at every durable step, with the state on PostgreSQL", "tests/e2e"),
    "postgres-histories": ("Random histories with the state on PostgreSQL", "tests/e2e"),
    "migrations": ("Upgrades of the state that are killed, or tried by several at once", "tests/store"),
    "mutants": ("Faults planted in remint's own code; each must turn a test red", "tests/mutants"),
}
"""By name of the row: what is proved, and where the suite is."""


def figures(row: str) -> dict[str, int | str]:
    """Return what the suite of a row left, its parts added up; nothing when it left nothing."""
    total: dict[str, int | str] = {}
    for path in sorted([*FIGURES.glob(f"{row}.json"), *FIGURES.glob(f"{row}.*.json")]):
        for name, value in json.loads(path.read_text("utf-8")).items():
            known = total.get(name, 0)
            total[name] = known + value if isinstance(value, int) and isinstance(known, int) else value
    return total


def table() -> str:
    """Return the figures of every row as the page shows them."""
    lines = ["| Proof | Cases | Ended wrong | Further | Again |", "|---|---:|---:|---|---|"]
    for row, (words, place) in PROOFS.items():
        found = figures(row)
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
    known = {path.name.split(".")[0] for path in FIGURES.glob("*.json")}
    if known - PROOFS.keys():
        sys.stderr.write(f"docs/figures.py knows no row {', '.join(sorted(known - PROOFS.keys()))}\n")
        return 1
    if arguments == ["--check"]:
        return int(page() != PAGE.read_text("utf-8"))
    PAGE.write_text(page(), "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
