"""The example of an enterprise platform, played once at a small scale: what it shows holds, and an oracle agrees.

The demo checks itself after each command; here it runs in this process. The oracle reads what the sources delivered,
and knows nothing of remint or SQL.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import remint
from remint.cli.main import cli

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "enterprise_platform"
ORDERS = 40


def loaded(name: str) -> ModuleType:
    """Return a module of the example under a name that no other example has."""
    spec = importlib.util.spec_from_file_location(f"enterprise_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Played:
    """The example after its last scene."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.demo, self.generate = loaded("demo"), loaded("generate")

    def process(self, *words: str, told: str = "") -> tuple[int, str]:
        """Do what a process of Python would do in the project, without starting one."""
        match words:
            case ("-m", "remint", *arguments):
                done = CliRunner().invoke(cli, ["-C", str(self.root), *arguments])
                return done.exit_code, done.output
            case ("generate.py", delivery, "--last-day", day, "--orders", orders):
                platform = self.generate.Platform(date.fromisoformat(day), 1, int(orders))
                self.generate.deliver(platform, self.generate.Landing(self.root / "landing"), delivery)
            case _:
                exec(told, {})
        return 0, ""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query over the published tables gives."""
        found = remint.open(self.root).at().sql(query).to_pylist()
        return [tuple(row.values()) for row in found]

    def printed(self, *arguments: str) -> Any:
        """Return what a command says with --json."""
        return json.loads(CliRunner().invoke(cli, ["-C", str(self.root), *arguments, "--json"]).stdout)

    def delivered(self) -> list[dict[str, Any]]:
        """Return the newest version of every order that was ever delivered."""
        newest: dict[str, dict[str, Any]] = {}
        for path in (self.root / "landing" / "orders").glob("*.csv"):
            with path.open(encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    held = newest.get(row["order_id"])
                    if row["quantity"] != "?" and (held is None or row["updated_at"] > held["updated_at"]):
                        newest[row["order_id"]] = row
        for row in newest.values():
            row["amount_cents"] = int(row["quantity"]) * int(row["price_cents"]) - int(row["discount_cents"])
        return list(newest.values())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The demo, played to its end: it stops where something else comes out than it says."""
    made = Played(tmp_path_factory.mktemp("enterprise") / "p")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REMINT_USER", "ana")
        patch.setattr(made.demo, "WORK", made.root)
        patch.setattr(made.demo, "ORDERS", str(ORDERS))
        patch.setattr(made.demo, "process", made.process)
        made.demo.copy_example()
        patch.chdir(made.root)
        made.demo.play()
        yield made


def test_e3_silver_holds_the_newest_version_of_each_order_once(played: Played) -> None:
    held = played.rows("SELECT order_id, status, amount_cents, CAST(order_date AS VARCHAR) FROM silver.orders")

    expected = {(o["order_id"], o["status"], o["amount_cents"], o["ordered_at"][:10]) for o in played.delivered()}
    assert sorted(held) == sorted(expected)
    assert len(held) == 35 * ORDERS


def test_e4_gold_is_what_its_job_makes_of_silver(played: Played) -> None:
    with (next((played.root / "landing" / "customers").glob("*.csv"))).open(encoding="utf-8") as file:
        country = {row["customer_id"]: row["country"] for row in csv.DictReader(file)}
    revenue: Counter[tuple[str, str]] = Counter()
    for order in played.delivered():
        is_revenue = order["status"] not in ("cancelled", "refunded")
        revenue[order["ordered_at"][:10], country[order["customer_id"]]] += order["amount_cents"] if is_revenue else 0

    held = played.rows("SELECT CAST(order_date AS VARCHAR), country, revenue_cents FROM gold.revenue_daily")
    assert {(day, where): cents for day, where, cents in held} == revenue


def test_e2_every_run_and_entry_of_the_audit_log_carries_its_trigger(played: Played) -> None:
    runs = {r["run_id"]: r["trigger"] for r in played.printed("runs", "--limit", "50")["runs"]}
    entries = [e["entry"] for e in played.printed("audit", "--limit", "200")["entries"]]

    asked = {"late_data", "upstream_correction", "bug_fix", "metric_change", "historical_backfill"}
    assert asked <= set(runs.values())
    assert {e["run_id"]: e["trigger"] for e in entries} == runs


def test_e8_the_monitoring_table_says_what_the_datasets_hold(played: Played) -> None:
    health = played.rows("SELECT dataset, sum(rows_held), min(complete_percent) FROM gold.dataset_health GROUP BY 1")

    counts = {name: played.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("silver.orders", "silver.payments")}
    assert {d: (rows, complete) for d, rows, complete in health} == {
        **{name: (rows, 100) for name, rows in counts.items()},
        "gold.revenue_daily": (counts["silver.orders"], 100),
    }


def test_equal_arguments_deliver_equal_files(played: Played, tmp_path: Path) -> None:
    platform = played.generate.Platform(date.fromisoformat(played.demo.ago(0)), 1, ORDERS)
    for delivery in ("history", "redelivery", "late", "correction", "archive"):
        played.generate.deliver(platform, played.generate.Landing(tmp_path), delivery)

    first, again = (
        {p.relative_to(r): p.read_bytes() for r in [root] for p in r.rglob("*.*")}
        for root in (played.root / "landing", tmp_path)
    )
    assert first == again
