"""The replay and backfill strategy of an enterprise platform, played on Iceberg tables that remint does not own alone.

Four sources deliver; three weeks are built. Then come the five reasons for a replay, the scopes that limit one, and
everything that must be avoided, done by a stranger with pyiceberg. Every command is printed as you would type it, and
what it must bring about is checked: the demo stops where something else comes out. ORDERS a day scale it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog

from remint import open as open_project

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("DEMO_DIR", HERE.parents[1] / ".demo")) / "enterprise_platform"
ORDERS = os.environ.get("ORDERS", "150")
ENV = {**os.environ, "REMINT_USER": "ana"}
TODAY = datetime.now(UTC).date()
KEEPS = "--no-override-state"
CATALOG = """\
from pyiceberg.catalog import load_catalog
catalog = load_catalog("enterprise", type="sql", uri="sqlite:///lake/catalog.db")
"""


def ago(days: int) -> str:
    """Return the day so many days before the last one of the history, which is yesterday."""
    return (TODAY - timedelta(days=days + 1)).isoformat()


def title(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def must(fact: bool, words: str) -> None:
    """Stop the demo unless ``fact`` holds."""
    if not fact:
        sys.exit(f"the demo expected that {words}; the project is kept in {WORK}")
    print(f"  ✓ {words}", flush=True)


def process(*words: str, told: str = "") -> tuple[int, str]:
    """Run Python with these words in the project, ``told`` as its input, and return how it ended and what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=WORK,
        env=ENV,
        check=False,
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def remint(*arguments: str, code: int = 0) -> str:
    """Print and run one remint command, demand its exit code, and return what it printed."""
    shown = " ".join(f'"{a}"' if any(c in a for c in " (*") else a for a in arguments)
    print(f"\n$ remint {shown}", flush=True)
    ended, out = process("-m", "remint", *arguments)
    print(out, end="", flush=True)
    if ended != code:
        sys.exit(f"remint {arguments[0]} ended with {ended} instead of {code}; the project is kept in {WORK}")
    return out


def run(*arguments: str) -> str:
    """Run ``remint run`` and return the id of the run."""
    found = re.search(r"^run (\S+): apply succeeded", remint("run", *arguments), re.MULTILINE)
    if not found:
        sys.exit(f"remint run made no run; the project is kept in {WORK}")
    return found[1]


def plan(*arguments: str) -> tuple[str, str]:
    """Plan, show the plan, and return its id and what was shown."""
    out = remint("plan", *arguments)
    return out.splitlines()[0].removeprefix("plan "), out


def edit(name: str, before: str, after: str) -> None:
    """Change a file of the project, as an editor would."""
    path = WORK / name
    text = path.read_text(encoding="utf-8")
    if before not in text:
        sys.exit(f"{name} does not say {before}")
    print(f"\n$ sed -i 's/{before}/{after}/' {name}", flush=True)
    path.write_text(text.replace(before, after), encoding="utf-8")


def stranger(script: str) -> None:
    """Print and run a few lines of Python that know nothing of remint."""
    print(f"\n$ python - <<'EOF'\n{CATALOG}{script}\nEOF", flush=True)
    ended, out = process("-", told=CATALOG + script)
    print(out, end="", flush=True)
    must(ended == 0, "Iceberg lets anybody do that")


def deliver(delivery: str) -> None:
    """Let the sources deliver."""
    words = ["generate.py", delivery, "--last-day", ago(0), "--orders", ORDERS]
    print(f"\n$ python {' '.join(words)}", flush=True)
    ended, out = process(*words)
    print(out, end="", flush=True)
    must(ended == 0, "the files have landed")


def catalog() -> Catalog:
    """Return the catalog of the tables, opened as by any reader of Iceberg."""
    return load_catalog("enterprise", type="sql", uri=f"sqlite:///{WORK}/lake/catalog.db")


def snapshots() -> dict[str, int]:
    """Return the snapshot of each table that has one."""
    opened = catalog()
    tables = [opened.load_table(name) for space in opened.list_namespaces() for name in opened.list_tables(space)]
    return {".".join(t.name()): s.snapshot_id for t in tables if (s := t.current_snapshot())}


def live_files(table: str) -> set[str]:
    """Return the files of a table, as Iceberg names them."""
    return {task.file.file_path.removeprefix("file://") for task in catalog().load_table(table).scan().plan_files()}


def moved(before: dict[str, int]) -> set[str]:
    """Return the tables that have another snapshot than ``before``."""
    return {name for name, snapshot in snapshots().items() if before.get(name) != snapshot}


def one(query: str) -> tuple[Any, ...]:
    """Return the one row that a query over the published tables gives."""
    return tuple(open_project(WORK).at().sql(query).to_pylist()[0].values())


def ids_twice() -> int:
    """Return how many rows of silver.orders there are beyond one for a key."""
    return int(one("SELECT count(*) - count(DISTINCT order_id) FROM silver.orders")[0])


def open_cents() -> int:
    """Return what looks unpaid."""
    return int(one("SELECT sum(open_cents) FROM gold.settlement_daily")[0])


def build() -> None:
    title("Four sources to Bronze, upserts by key to Silver, metrics to Gold: tables in an Iceberg catalog")
    deliver("history")
    remint("ingest", "--reason", "first load")
    run("--reason", "first build")
    must(len(snapshots()) == 13, "the catalog knows each table that has rows")
    versions, orders = one("SELECT (SELECT count(*) FROM bronze.orders), (SELECT count(*) FROM silver.orders)")
    must(versions > orders, f"{versions:,} versions of orders in Bronze are {orders:,} rows in Silver")


def idempotent() -> None:
    title("MERGE by key, idempotent: what is not newer changes nothing")
    before = snapshots()
    why = (KEEPS, "--trigger", "manual", "--reason", "the same again")
    remint("run", "silver.orders+", "--lookback", "3d", "--rebuild", *why)
    must(not moved(before), "the same job over the same input commits nothing: no table has a new snapshot")
    deliver("redelivery")
    remint("ingest", "--reason", "the ERP sent a day again, with drafts from before")
    must(moved(before) <= {"bronze.orders", "bronze.orders_quarantine"}, "Bronze takes what it does not know, once")
    before = snapshots()
    out = remint("run", "--reason", "bring it to Silver")
    must("0 partitions published" in out, "older versions of a key lose")
    must(not moved(before), "no commit, and no new version of any table")
    must(ids_twice() == 0, "no key is there twice")


def late() -> None:
    title("1 Late events: before anything runs, the window is validated and the impact shown")
    why = (KEEPS, "--trigger", "late_data", "--reason", "payments of a day were missing, and some orders and views")
    out = remint("status")
    must(f"source absent: bronze.payments {ago(3)}" in out, "a day that never came is not taken for an empty one")
    out = remint("plan", "--range", f"{ago(4)}..{ago(2)}", *why, code=2)
    must("RM304" in out, "a window with a day that was never delivered is refused")
    deliver("late")
    remint("ingest", "--trigger", "late_data", "--reason", "what the sources held back")
    held = live_files("silver.orders")
    plan_id, out = plan("--lookback", "5d", *why)
    must("rounded   outwards to whole partitions: days" in out and "; hours" in out, "the plan says what 5d stands for")
    must(f"stale partition outside the range left stale: {ago(9)}" in out, "and what stays stale outside of it")
    must("tell finance@platform.example: gold.revenue_daily" in out, "and who is to be told")
    remint("apply", plan_id)
    changed = {file.split("/")[-2] for file in live_files("silver.orders") ^ held}
    must(changed == {f"order_date={ago(2)}"}, "one partition of silver.orders was overwritten, no other file moved")
    title("... and what came late for a day before that")
    run("--range", ago(9), *why)
    must("source absent" not in remint("status"), "every day is there")


def correction() -> None:
    title("2 Upstream correction: Bronze to Silver for one dataset and two days, then Silver to Gold")
    deliver("correction")
    remint("ingest", "--trigger", "upstream_correction", "--reason", "the ERP corrected the price of chairs")
    why = (KEEPS, "--trigger", "upstream_correction", "--reason", "chairs cost more")
    before = snapshots()
    out = remint("run", "silver.orders", "--range", f"{ago(6)}..{ago(5)}", *why)
    must(moved(before) == {"silver.orders"}, "one dataset was replayed")
    must("= gold.revenue_daily: not selected" in out, "the plan says that Gold waits for it")
    before = snapshots()
    done = run("layer:gold", "--range", f"{ago(6)}..{ago(0)}", *why)
    must({name.split(".")[0] for name in moved(before)} == {"gold"}, "Gold was rebuilt from Silver")
    remint("diff", done, "--dataset", "gold.revenue_daily")


def bug_fix() -> None:
    title("3 Bug fix in a transformation: amounts forgot the discount")
    looked_open = open_cents()
    edit("sql/orders.sql", "quantity * price_cents AS", "quantity * price_cents - discount_cents AS")
    why = ("--type", "logical", KEEPS, "--trigger", "bug_fix", "--reason", "amounts are net of discounts")
    out = remint("plan", "silver.orders+", *why, code=2)
    must("RM320" in out, "logic that changed under a published version is refused")
    edit("versions.py", "ORDER_VERSION = 1", "ORDER_VERSION = 2")
    before = snapshots()
    remint("shadow", "silver.orders", "--range", f"{ago(3)}..{ago(2)}")
    must(not moved(before), "a trial on two days changes nothing")
    done = run("silver.orders+", *why)
    remint("diff", done, "--dataset", "gold.settlement_daily", "--dataset", "gold.dataset_health")
    must(open_cents() < looked_open / 2, "most of what looked unpaid was the bug")


def metric_change() -> None:
    title("4 Metric change: refunds are no revenue any more, so Gold alone is rebuilt")
    edit("metrics.py", '("cancelled",)', '("cancelled", "refunded")')
    edit("versions.py", "REVENUE_VERSION = 1", "REVENUE_VERSION = 2")
    before = snapshots()
    why = ("--type", "logical", KEEPS, "--trigger", "metric_change", "--reason", "finance: refunds are no revenue")
    done = run("layer:gold", *why)
    must(moved(before) == {"gold.revenue_daily", "gold.revenue_weekly"}, "two tables of Gold moved, and nothing else")
    remint("diff", done, "--dataset", "gold.revenue_daily")


def archive() -> None:
    title("5 Historical backfill: two weeks from before the platform")
    deliver("archive")
    remint("ingest", "--trigger", "historical_backfill", "--reason", "orders of the old shop")
    why = (KEEPS, "--trigger", "historical_backfill", "--reason", "history for the yearly report")
    run("--range", f"{ago(34)}..{ago(21)}", *why)
    first = one("SELECT min(order_date) FROM gold.revenue_daily")[0]
    must(str(first) == ago(34), f"Gold begins on {first} now")
    title("A full table is recomputed only for who asks for it, and the plan says so")
    again = ("silver.orders", "--rebuild", KEEPS, "--reason", "an auditor wants to see it")
    must("RM316" in remint("plan", *again, code=2), "a rebuild of everything is refused")
    must("recompute of the full table requested" in remint("plan", *again, "--all"), "with --all, the plan says it")


def avoided() -> None:
    title("What must be avoided: a fix in Gold by hand, a writer of its own, a table rewritten, all with pyiceberg")
    revenue = one("SELECT sum(revenue_cents) FROM gold.revenue_daily")
    stranger(f"""\
from pyiceberg.expressions import And, EqualTo

gold = catalog.load_table("gold.revenue_daily")
gold.delete(And(EqualTo("order_date", "{ago(1)}"), EqualTo("country", "ES")))
orders = catalog.load_table("silver.orders")
orders.append(orders.scan(EqualTo("order_date", "{ago(4)}"), limit=10).to_arrow())
payments = catalog.load_table("silver.payments")
day = EqualTo("payment_date", "{ago(7)}")
payments.overwrite(payments.scan(day).to_arrow(), day)""")
    out = remint("status")
    must("3 partitions hold other files than remint published" in out, "each is reported, down to the partition")
    out = remint("run", "--trigger", "manual", "--reason", "heal what was written by hand")
    must(out.count("      FOREIGN ") == 3, "the plan names each foreign write, and a replay heals it")
    must(one("SELECT sum(revenue_cents) FROM gold.revenue_daily") == revenue, "Gold is what its job makes")
    must(ids_twice() == 0, "no key is there twice")
    deleted()
    bronze()


def deleted() -> None:
    title("... a file deleted in storage")
    file = Path(min(live_files("gold.traffic_hourly")))
    print(f"\n$ rm '{file.relative_to(WORK.resolve())}'", flush=True)
    file.unlink()
    must(" bad " in remint("doctor", "gold.traffic_hourly", code=1), "the doctor names the file")
    must("rebuild " in remint("repair", "gold.traffic_hourly", code=1), "and how its own job makes it again")
    why = (KEEPS, "--trigger", "manual", "--reason", "a file was deleted by hand")
    run("gold.traffic_hourly", "--rebuild", "--range", ago(2), *why)
    must(file.name not in {Path(f).name for f in live_files("gold.traffic_hourly")}, "the table is whole again")


def bronze() -> None:
    title("... and a delete in Bronze, which no job makes again: refused until it is put back")
    stranger(f"""\
from pyiceberg.expressions import EqualTo

catalog.load_table("bronze.payments").delete(EqualTo("extract_date", "{ago(8)}"))""")
    must("RM303" in remint("plan", code=6), "nothing is planned on a Bronze that somebody changed")
    stranger("""\
payments = catalog.load_table("bronze.payments")
before = payments.current_snapshot().parent_snapshot_id
payments.manage_snapshots().rollback_to_snapshot(before).commit()""")
    must("partitions are fresh" in remint("status"), "Iceberg's own rollback puts it back, and all is as it was")


HEALTH = """\
SELECT dataset, max(health_date) AS newest_day, sum(rows_held) AS rows_held, min(complete_percent) AS complete_percent,
    sum(duplicate_keys) AS duplicate_keys, sum(null_cells) AS null_cells, max(newest_change) AS newest_change
FROM gold.dataset_health GROUP BY dataset ORDER BY dataset"""


def proof() -> None:
    title("After: the health of each dataset from the monitoring table, the record, and the proof")
    remint("sql", HEALTH)
    days, worst, wrong = one(
        "SELECT count(DISTINCT health_date), min(complete_percent), sum(duplicate_keys + null_cells) "
        "FROM gold.dataset_health"
    )
    must((days, worst, wrong) == (35, 100, 0), "every day is complete, no key is there twice, nothing is NULL")
    out = remint("runs", "--limit", "30")
    triggers = ("late_data", "upstream_correction", "bug_fix", "metric_change", "historical_backfill")
    must(all(f" {trigger} " in out for trigger in triggers), "each run says which of the five brought it about")
    out = remint("verify", "--sample", "2")
    must(" 0 different, 0 stale" in out, "recomputed from what they were made of, partitions come out as published")
    must("each as it was written" in remint("audit", "verify"), "and nobody changed the record")


def copy_example() -> None:
    """Put a new copy of the example where it is played."""
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(HERE, WORK, ignore=shutil.ignore_patterns("__pycache__", ".remint", "lake", "landing"))


def play() -> None:
    """Play every scene, in order."""
    for scene in (build, idempotent, late, correction, bug_fix, metric_change, archive, avoided, proof):
        scene()


def main() -> None:
    started = time.monotonic()
    copy_example()
    play()
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look around: cd {os.path.relpath(WORK)} && remint show")


if __name__ == "__main__":
    main()
