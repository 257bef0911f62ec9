"""The norm of TradeX, played: an outage, edits, a bug, a new scoring, a row deleted by hand.

Starts the API, extracts two months of posts and lives through every type of backfill. Every command is printed as you
would type it, and what it must bring about is checked: the demo stops where something else comes out. POSTS scales it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("DEMO_DIR", HERE.parents[1] / ".demo")) / "tradex"
REMINT = [sys.executable, "-m", "remint"]
POSTS = os.environ.get("POSTS", "200")
PORT = 8787
OUTAGE = ("2025-12-03", "2025-12-04", "2025-12-05")
HALF_OF_DECEMBER = ("--range", "2025-12-01..2025-12-15", "--no-override-state", "--trigger", "upstream_correction")
API_DOWN = ("--reason", "the API was down from 3 to 5 December")
ENV = {**os.environ, "X_TOKEN": "a-token-of-the-demo", "REMINT_USER": "ana"}


def title(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def must(fact: bool, words: str) -> None:
    """Stop the demo unless ``fact`` holds."""
    if not fact:
        sys.exit(f"the demo expected that {words}; the project is kept in {WORK}")
    print(f"  ✓ {words}", flush=True)


def remint(*arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Print and run one remint command, demand its exit code, and return what it printed."""
    shown = " ".join(f'"{a}"' if any(c in a for c in " (*") else a for a in arguments)
    settings = "".join(f'{name}="{value}" ' for name, value in (env or {}).items())
    print(f"\n$ {settings}remint {shown}", flush=True)
    done = subprocess.run(
        [*REMINT, *arguments],
        cwd=WORK,
        env={**ENV, **(env or {})},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode != code:
        sys.exit(f"remint {arguments[0]} ended with {done.returncode} instead of {code}; the project is kept in {WORK}")
    return done.stdout


def ask(*arguments: str) -> Any:
    """Return what a command says with --json, without showing it."""
    done = subprocess.run([*REMINT, *arguments, "--json"], cwd=WORK, env=ENV, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def one(query: str) -> list[Any]:
    """Return the one row that a query over the published tables gives."""
    found: list[Any] = ask("sql", query)["rows"][0]
    return found


def newest_run() -> str:
    """Return the id of the newest run."""
    return str(ask("runs", "--limit", "1")["runs"][0]["run_id"])


def plan(*arguments: str) -> str:
    """Plan, show the plan, and return its id."""
    remint("plan", *arguments)
    return max((WORK / ".remint" / "plans").glob("*.json"), key=lambda p: p.stat().st_mtime).stem


def edit(name: str, before: str, after: str) -> None:
    """Change a file of the project, as an editor would."""
    path = WORK / name
    text = path.read_text(encoding="utf-8")
    if before not in text:
        sys.exit(f"{name} does not say {before}")
    print(f"\n$ sed -i 's/{before}/{after}/' {name}", flush=True)
    path.write_text(text.replace(before, after), encoding="utf-8")


def python(script: str) -> str:
    """Print and run a few lines of Python that know nothing of remint, and return what they print."""
    print(f"\n$ python - <<'EOF'\n{script}\nEOF", flush=True)
    done = subprocess.run([sys.executable, "-"], cwd=WORK, input=script, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    return done.stdout


def api(url: str, path: str) -> None:
    """Tell the server that something happened in its world."""
    print(f"\n$ curl -X POST '{url}{path}'", flush=True)
    with urllib.request.urlopen(urllib.request.Request(f"{url}{path}", method="POST")) as answer:
        print(answer.read().decode(), flush=True)


def live_files(table: str) -> set[str]:
    """Return the files of a table, as its own log names them."""
    return {"/".join(path.split("/")[-2:]) for path in DeltaTable(str(WORK / "lake" / table)).file_uris()}


@contextmanager
def serving() -> Iterator[str]:
    """Start the API, and yield its address."""
    with socket.socket() as taken, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1] if taken.connect_ex(("127.0.0.1", PORT)) == 0 else PORT
    if port != PORT:
        edit("datasets.py", str(PORT), str(port))
    world = ["--first-day", "2025-11-03", "--days", "59", "--posts-a-day", POSTS, "--told-until", "2025-12-10"]
    words = [
        "server.py",
        "--port",
        str(port),
        *world,
        "--outage",
        f"{OUTAGE[0]}..{OUTAGE[-1]}",
        "--token-env",
        "X_TOKEN",
    ]
    print(f"\n$ python {' '.join(words)} &", flush=True)
    with subprocess.Popen([sys.executable, *words], cwd=WORK, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            must("tells" in line, f"the API answers: {line.strip()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def build() -> None:
    title("A history: Bronze takes what the API tells, Silver and Gold are built")
    remint("ingest", "--reason", "first load")
    remint("run", "--reason", "first build")
    out = remint("status")
    must("source absent: bronze.x_posts 2025-12-03..2025-12-05" in out, "an absent day is not taken for an empty one")


def incremental(url: str) -> None:
    title("6 Estado: an incremental run moves the cursor, and nothing else does")
    api(url, "/admin/advance?to=2025-12-20")
    remint("ingest")
    remint("run")
    out = remint("show", "bronze.x_posts", "--watermarks")
    must(out.count("r-2") == 2, "the cursor moved twice, by two incremental runs")


def temporal(url: str) -> None:
    title("3.1 Backfill temporal: the API was down, its days come late")
    out = remint("plan", *HALF_OF_DECEMBER, *API_DOWN, code=2)
    must("RM304" in out, "a range with absent days is refused")
    for day in OUTAGE:
        api(url, f"/admin/release?day={day}")
    before = ask("show", "bronze.x_posts", "--watermarks")
    backfill = ("ingest", "bronze.x_posts", "--mode", "backfill", *HALF_OF_DECEMBER, *API_DOWN)
    remint(*backfill)
    first = newest_run()
    title("4.1 Bronze: the same again is another run and adds nothing")
    out = remint(*backfill)
    must("rows read = 0 added" in out, "nothing is added twice")
    must(newest_run() != first, "each backfill has a run_id of its own")
    must(ask("show", "bronze.x_posts", "--watermarks") == before, "no backfill moved the cursor")

    title("4.2 and 4.3 Silver y Gold: the partitions that follow from it, and no other")
    files = live_files("silver/social_events")
    plan_id = plan(*HALF_OF_DECEMBER, *API_DOWN)
    remint("apply", plan_id)
    after = live_files("silver/social_events")
    changed = {path.split("/")[0] for path in files ^ after}
    must(changed >= {f"event_date={day}" for day in OUTAGE}, "the days of the outage are in Silver")
    must(changed <= {f"event_date=2025-12-{n:02}" for n in range(1, 16)}, "no other partition got another file")
    remint("diff", newest_run(), "--dataset", "gold.signals")


def moved(url: str) -> None:
    title("7 Deduplicación: edited and moved posts leave no copy, and what an author repeats counts once")
    api(url, "/admin/advance?to=2026-01-15")
    remint("ingest")
    remint("run")
    remint(
        "sql",
        "SELECT post_id, created_at, updated_at FROM bronze.x_posts WHERE post_id = (SELECT min(post_id) FROM ("
        "SELECT post_id FROM bronze.x_posts GROUP BY 1 HAVING count(DISTINCT CAST(created_at AS DATE)) > 1)) ORDER BY 3",
    )
    remint(
        "sql",
        "SELECT count(*) AS rows, count(DISTINCT post_id) AS posts, sum(copies) AS told FROM silver.social_events",
    )
    rows, posts, told, known = one(
        "SELECT count(*), count(DISTINCT post_id), sum(copies), (SELECT count(DISTINCT post_id) FROM bronze.x_posts) "
        "FROM silver.social_events"
    )
    must(rows == posts, "each post is in Silver once, whichever days its versions named")
    must(int(told) == known, "every post of Bronze is there or counted as a copy")
    must(rows < known, "copies count once")


def dataset() -> None:
    title("3.2 Backfill por dataset: a new rule of deduplication: the last copy stays; 60 days need a second person")
    edit("sql/social_events.sql", "ORDER BY created_at, post_id", "ORDER BY created_at DESC, post_id")
    edit("versions.py", "EVENT_VERSION = 1", "EVENT_VERSION = 2")
    why = ("--type", "dataset", "--no-override-state", "--trigger", "rule_change", "--reason", "the last copy stays")
    plan_id = plan("silver.social_events+", *why)
    remint("approve", plan_id, "--as", "bea", "--reason", "seen with ana")
    out = remint("apply", plan_id)
    remint("diff", newest_run())
    must("came out the same" in out, "what does not come out different is not published again")


def logical() -> None:
    title("3.3 and 8 Backfill lógico: scoring changes; without a new version that is forbidden")
    edit("scoring.py", 'FIRES_AT = "3.0"', 'FIRES_AT = "2.5"')
    why = ("--type", "logical", "--no-override-state", "--trigger", "rule_change", "--reason", "signals fire earlier")
    out = remint("plan", "gold.signals", *why, code=2)
    must("RM320" in out, "logic that changed under a published version is refused")
    edit("versions.py", "SIGNAL_VERSION = 1", "SIGNAL_VERSION = 2")
    plan("gold.signals", *why)
    title("10 Costo: two windows instead of one large backfill")
    out = remint("run", "gold.signals", "--range", "2025-11..2025-12", "--split", "31", *why)
    must("2 windows done" in out, "a large backfill is divided into windows")
    remint("diff", newest_run())
    out = remint(
        "sql",
        "SELECT signal_version, count(*) AS signals, count(*) FILTER (fired) AS fired "
        "FROM gold.signals_versions GROUP BY 1 ORDER BY 1",
    )
    must("v1" in out and "v2" in out, "the old version stays queryable beside the new one")
    out = remint("versions", "gold.signals")
    must("deprecated" in out, "the registry says that the old version is deprecated")
    remint("diff", "gold.signals", "--versions", "1", "2")


def forced() -> None:
    title("3.4 Backfill forzado: somebody deleted a row of Gold by hand")
    python(
        "from deltalake import DeltaTable\n"
        "table = DeltaTable('lake/gold/metrics_daily')\n"
        "print(table.delete(\"event_date = '2025-12-11' AND entity_id = 'E03'\")['num_deleted_rows'], 'row deleted')"
    )
    remint("status", "gold.metrics_daily")
    why = ("--override-state", "--trigger", "bug_fix", "--reason", "a row of NVIDIA was deleted by hand")
    plan_id = plan("gold.metrics_daily+", "--type", "forced", "--range", "2025-12-11", *why)
    out = remint("apply", plan_id, code=4)
    must("RM331" in out, "a forced backfill waits for a second person")
    out = remint("approve", plan_id, "--reason", "it is urgent", code=4)
    must("RM334" in out, "who asked cannot approve")
    remint("approve", plan_id, "--as", "bea", "--reason", "seen in the table's log", "--expires", "2h")
    title("12 Peak hours: a backfill yields to production")
    out = remint("apply", plan_id, code=4, env={"REMINT_POLICY__PEAK_HOURS": "00:00-12:00 UTC, 12:00-24:00 UTC"})
    must("RM317" in out, "no backfill starts in peak hours")
    remint("apply", plan_id)
    out = remint("apply", plan_id, code=6)
    must("RM302" in out, "an approval is good for one run")
    must("did not publish" not in remint("status", "gold.metrics_daily"), "Gold is what remint published again")
    remint("audit", "--limit", "8")
    trail = [e["entry"] for e in ask("audit", "--limit", "8")["entries"] if e["entry"]["type"] == "forced"]
    must(
        {"approve", "intend", "publish", "apply"} <= {e["action"] for e in trail}, "each step of it is in the audit log"
    )
    must(
        all(e["reason"] for e in trail) and trail[0]["detail"]["approved_by"] == "bea", "with reasons and the approver"
    )


def proof() -> None:
    title("5 Every stage is reversible")
    run_id = next(r["run_id"] for r in ask("runs")["runs"] if r["type"] == "logical")
    remint("rollback", run_id, "--reason", "December keeps the old threshold for now")
    out = remint(
        "run", "gold.signals", "--type", "logical", "--range", "2025-12", "--no-override-state", "--reason", "go on"
    )
    must("succeeded" in out, "and can be done again")
    title("13 Definition of Done: recompute partitions alone and compare")
    out = remint("verify", "--sample", "2")
    must(" 0 different" in out, "what is published is what its inputs and its logic make")
    remint("status")
    remint("runs")


def main() -> None:
    started = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(HERE, WORK, ignore=shutil.ignore_patterns("__pycache__", ".remint", "lake", "entities"))
    (WORK / "entities").mkdir()
    print("\n$ python generate.py entities/2025-11-01.csv --list-date 2025-11-01", flush=True)
    listing = [sys.executable, "generate.py", "entities/2025-11-01.csv", "--list-date", "2025-11-01"]
    subprocess.run(listing, cwd=WORK, check=True)
    with serving() as url:
        build()
        incremental(url)
        temporal(url)
        moved(url)
        dataset()
        logical()
        forced()
        proof()
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look around: cd {os.path.relpath(WORK)} && remint show")


if __name__ == "__main__":
    main()
