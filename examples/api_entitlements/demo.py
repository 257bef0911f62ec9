"""Scenario 1 of the reprocessing guide: the free plan's limit goes from 60 to 100 requests a minute.

Generates a history, builds the lakehouse, raises the limit, shows what that means, proves it and takes it back.
Every command is printed as you would type it. EVENTS and DAYS scale the history.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("DEMO_DIR", HERE.parents[1] / ".demo")) / "api_entitlements"
REMINT = [sys.executable, "-m", "remint"]


def title(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*arguments: str) -> None:
    """Print and run one remint command in the demo's project."""
    shown = " ".join(f'"{a}"' if " " in a or "(" in a else a for a in arguments)
    print(f"\n$ remint {shown}", flush=True)
    if subprocess.run([*REMINT, *arguments], cwd=WORK, check=False).returncode:
        sys.exit(f"remint {arguments[0]} failed; the project is kept in {WORK}")


def newest_run() -> str:
    """Return the id of the newest run."""
    shown = subprocess.run([*REMINT, "runs", "--limit", "1", "--json"], cwd=WORK, check=True, capture_output=True)
    return str(json.loads(shown.stdout)["runs"][0]["run_id"])


def plan(*arguments: str) -> str:
    """Plan, show the plan, and return its id."""
    run("plan", *arguments)
    newest = max((WORK / ".remint" / "plans").glob("*.json"), key=lambda p: p.stat().st_mtime)
    return newest.stem


def edit(before: str, after: str) -> None:
    """Change plan_limits.py, as an editor would."""
    path = WORK / "plan_limits.py"
    print(f"\n$ sed -i 's/{before}/{after}/' plan_limits.py", flush=True)
    path.write_text(path.read_text().replace(before, after))


def main() -> None:
    started = time.monotonic()
    events, days = os.environ.get("EVENTS", "1000000"), os.environ.get("DAYS", "30")
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(HERE, WORK, ignore=shutil.ignore_patterns("__pycache__", ".remint", "lake", "landing"))

    title(f"A history: {int(events):,} API calls over {days} days, with duplicates, late and malformed records")
    generate = [sys.executable, "generate.py", "--events", events, "--days", days, "--out", "landing"]
    print(f"\n$ python generate.py --events {events} --days {days} --out landing", flush=True)
    subprocess.run(generate, cwd=WORK, check=True)

    title("Bronze: every record once, bad ones in quarantine with the reason")
    run("ingest", "--reason", "first load")

    title("Silver and Gold: everything is missing, so everything is built")
    run("run", "--reason", "first build")
    run("status")

    title("The free limit goes from 60 to 100: what follows from it?")
    edit('"free": 60', '"free": 100')
    edit("VERSION = 1", "VERSION = 2")
    why = (
        "--mode",
        "backfill",
        "--no-override-state",
        "--trigger",
        "rule_change",
        "--reason",
        "free plan limit raised from 60 to 100 a minute",
    )
    plan_id = plan(*why)

    title("Apply: recompute just that, check it, publish all tables together")
    run("apply", plan_id)
    applied = newest_run()

    title("Before and after, and proof")
    run("diff", applied, "--dataset", "gold.tenant_usage_1min", "--dataset", "gold.enforcement_alerts")
    run("verify", "--sample", "2")

    title("Take it back, exactly")
    run("rollback", applied, "--reason", "the new limit starts next month")
    edit('"free": 100', '"free": 60')
    edit("VERSION = 2", "VERSION = 1")
    run("status")
    run("audit")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look around: cd {os.path.relpath(WORK)} && remint show")


if __name__ == "__main__":
    main()
