"""The TradeX example keeps the norm that it was made for, at a small scale.

Source: TradeX, "Backfills & Reprocessing": the five points of its Definition of Done (section 13), and its rules.
The oracle knows the feed and the list of companies, and nothing of remint or SQL.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from remint.cli.main import cli
from remint.model.run import RunState
from remint.workspace import Workspace
from tests.e2e.extracting import CALM, Feed, Server, World, generate, serving

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "tradex"
WORLD = World(days=40, posts_a_day=40, first_day=date(2025, 11, 10))
HALF = date(2025, 12, 10)
OUTAGE = (date(2025, 12, 3), date(2025, 12, 4), date(2025, 12, 5))
POSTS, EVENTS, MENTIONS, SIGNALS = "bronze.x_posts", "silver.social_events", "silver.mentions", "gold.signals"
WHY = ("--no-override-state", "--reason", "test")
DERIVED = (EVENTS, MENTIONS, "gold.metrics_daily", "gold.baselines", SIGNALS)


@dataclass
class TradeX:
    """The example in a folder, and the API that it reads."""

    root: Path
    server: Server

    def remint(self, *arguments: str, code: int = 0) -> str:
        """Run a command, demand its exit code, and return what it printed."""
        done = CliRunner().invoke(cli, ["-C", str(self.root), *arguments])
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *arguments: str) -> Any:
        """Return what a command says with --json."""
        return json.loads(CliRunner().invoke(cli, ["-C", str(self.root), *arguments, "--json"]).stdout)

    def newest(self) -> dict[str, Any]:
        """Return the newest run."""
        found: dict[str, Any] = self.json("runs", "--limit", "1")["runs"][0]
        return found

    def plan(self, *arguments: str) -> str:
        """Plan and return the plan's id."""
        return str(self.json("plan", *arguments)["plan"]["plan_id"])

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file, as an editor would."""
        text = (self.root / file).read_text(encoding="utf-8")
        assert old in text
        (self.root / file).write_text(text.replace(old, new), encoding="utf-8")

    def table(self, name: str) -> DeltaTable:
        """Return a table as delta-rs sees it."""
        return DeltaTable(str(self.root / "lake" / name.replace(".", "/")))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table, read by delta-rs alone."""
        found: list[dict[str, Any]] = self.table(name).to_pyarrow_table().to_pylist()
        return found

    def files(self, *names: str) -> dict[str, str]:
        """Return the hash of every live file of the tables, by path from the lake."""
        lake = self.root / "lake"
        paths = [Path(p) for name in names for p in self.table(name).file_uris()]
        return {str(p.relative_to(lake)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    def cursor(self) -> list[Any]:
        """Return every move of the cursor."""
        return [(m.value, m.run_id) for m in Workspace(self.root).store.watermark_history(POSTS)]

    def outage_ends(self) -> None:
        """Let the API tell what it held back."""
        for day in OUTAGE:
            self.server.feed.release(day)

    def backfill(self) -> None:
        """Extract and build the days of the outage."""
        self.outage_ends()
        self.remint("ingest", POSTS, "--range", "2025-12-01..2025-12-08", *WHY)
        self.remint("run", "--range", "2025-12-01..2025-12-08", *WHY)

    def catch_up(self) -> None:
        """Extract and build everything that the feed ever tells."""
        self.outage_ends()
        self.server.feed.advance(date.max)
        self.remint("ingest")
        self.remint("run")

    def rescore(self, version: int = 2) -> None:
        """Let signals fire earlier, under another version."""
        self.edit("scoring.py", 'FIRES_AT = "3.0"', 'FIRES_AT = "1.5"')
        self.edit("versions.py", "SIGNAL_VERSION = 1", f"SIGNAL_VERSION = {version}")
        span = ("--range", "2025-11-09..2025-12-09", "--allow-absent", "--split", "20")
        self.remint("run", SIGNALS, *span, "--type", "logical", *WHY)


@contextmanager
def _served(root: Path) -> Iterator[TradeX]:
    """Serve the feed as it is on the tenth of December, with three days missing, to the project in ``root``."""
    with serving(Feed(WORLD, told_until=HALF, outage=OUTAGE), moods=CALM, token="t0ken") as server:
        text = (root / "datasets.py").read_text(encoding="utf-8")
        text = re.sub(r"http://127.0.0.1:\d+/2/posts", server.url, text)
        (root / "datasets.py").write_text(text, encoding="utf-8")
        yield TradeX(root, server)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example, extracted and built until the tenth of December."""
    root = tmp_path_factory.mktemp("tradex") / "p"
    ignored = shutil.ignore_patterns("__pycache__", ".remint", "lake", "entities")
    shutil.copytree(EXAMPLE, root, ignore=ignored)
    (root / "entities").mkdir()
    generate.write_entities(root / "entities" / "2025-11-01.csv", date(2025, 11, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("X_TOKEN", "t0ken")
        patch.setenv("REMINT_USER", "ana")
        with _served(root) as made:
            made.remint("ingest")
            made.remint("run")
        yield root


@pytest.fixture
def tradex(saved: Path, tmp_path: Path) -> Iterator[TradeX]:
    """A copy of the built example, and its API."""
    shutil.copytree(saved, tmp_path / "p")
    with _served(tmp_path / "p") as made:
        yield made


# -- the oracle --------------------------------------------------------------------------------------------------------


def well_formed() -> dict[tuple[str, str], dict[str, Any]]:
    """Return each version of each post of the whole feed that Bronze must take, by its key."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in WORLD.entries:
        item = entry.item
        if not isinstance(item, dict) or not item.get("post_id") or not item.get("created_at", "").startswith("20"):
            continue
        if isinstance(item["likes"], int) and not item["created_at"].startswith("2026-02-30"):
            found.setdefault((item["post_id"], item["updated_at"]), item)
    return found


def normalised(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9$]+", " ", plain.replace("(edit)", " ")).strip()


def events() -> dict[str, tuple[dict[str, Any], int]]:
    """Return the post that stands for each thing that an author said on a day, with how often, by post_id."""
    newest: dict[str, dict[str, Any]] = {}
    for (post_id, updated), post in sorted(well_formed().items()):
        if post_id not in newest or updated > newest[post_id]["updated_at"]:
            newest[post_id] = post
    said = defaultdict(list)
    for post in newest.values():
        said[post["created_at"][:10], post["author_id"], normalised(post["text"])].append(post)
    firsts = [(min(posts, key=lambda p: (p["created_at"], p["post_id"])), len(posts)) for posts in said.values()]
    return {post["post_id"]: (post, copies) for post, copies in firsts}


def mentioned() -> Counter[tuple[str, str]]:
    """Return how many events mention each company on each day."""
    found: Counter[tuple[str, str]] = Counter()
    for post, _ in events().values():
        text = f" {normalised(post['text'])} "
        for entity in generate.ENTITIES:
            names = (f"${entity.ticker}", entity.name, *entity.aliases)
            if any(f" {normalised(name)} " in text for name in names):
                found[post["created_at"][:10], entity.entity_id] += 1
    return found


# -- section 13: Definition of Done ------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", ["2025-11-15", "2025-11-20..2025-12-02", "2025-11"])
def test_any_range_can_be_reprocessed(tradex: TradeX, span: str) -> None:
    """Also T4: the rest of the tables is not touched; T7: what is made again is the same."""
    before = tradex.files(*DERIVED)

    out = tradex.remint("run", "--range", span, "--rebuild", *WHY)

    assert "0 partitions published" in out
    assert tradex.files(*DERIVED) == before
    assert tradex.newest()["type"] == "temporal"


def test_no_data_are_lost(tradex: TradeX) -> None:
    """T14: and what comes out is what an oracle makes of the feed."""
    tradex.backfill()
    tradex.catch_up()

    bronze = {(r["post_id"], r["updated_at"].strftime("%Y-%m-%dT%H:%M:%SZ")) for r in tradex.rows(POSTS)}
    silver = {r["post_id"]: (r["event_date"].isoformat(), r["likes"], r["copies"]) for r in tradex.rows(EVENTS)}
    assert bronze == set(well_formed())
    assert silver == {i: (p["created_at"][:10], p["likes"], n) for i, (p, n) in events().items()}
    metrics = {(r["event_date"].isoformat(), r["entity_id"]): r["mentions"] for r in tradex.rows("gold.metrics_daily")}
    assert metrics == mentioned()
    assert sum(n for _, n in events().values()) > len(events()), "there are copies"


def test_no_records_are_duplicated(tradex: TradeX) -> None:
    """T3: a backfill by days, the same again, one by cursors, and the feed's own telling of the same posts."""
    tradex.backfill()
    before = tradex.files(POSTS)
    first = tradex.newest()["run_id"]
    for again in (("--range", "2025-12-01..2025-12-08"), ("--from-cursor", tradex.cursor()[0][0])):
        asked = ("ingest", POSTS, "--mode", "backfill", *again, *WHY)
        out = tradex.remint(*asked)
        if "--range" in again:
            assert "rows read = 0 added" in out
            assert tradex.files(POSTS) == before
        assert tradex.newest()["run_id"] != first
    tradex.catch_up()

    keys = Counter((r["post_id"], r["updated_at"]) for r in tradex.rows(POSTS))
    posts = Counter(r["post_id"] for r in tradex.rows(EVENTS))
    assert set(keys.values()) == {1}
    assert set(posts.values()) == {1}
    assert len(posts) == len(events())
    assert sum(r["mentions"] for r in tradex.rows("gold.metrics_daily")) == len(tradex.rows(MENTIONS))


def test_the_audit_is_complete(tradex: TradeX) -> None:
    """T1, T11: every run is told when it began and ended, and every change of a table is a run's."""
    tradex.backfill()
    tradex.rescore()

    entries = [e["entry"] for e in tradex.json("audit", "--limit", "500")["entries"]]
    runs = {r["run_id"]: r for r in tradex.json("runs", "--limit", "100")["runs"]}
    told = {(e["run_id"], e["status"]) for e in entries if e["action"] in ("ingest", "apply")}
    assert told == {(run_id, status) for run_id in runs for status in ("started", "success")}
    for entry in entries:
        assert entry["actor"] == "ana"
        assert entry["reason"]
        assert (entry["mode"] == "backfill") == bool(entry["type"])
        assert entry["override_state"] is False
    for name in (POSTS, *DERIVED):
        for commit in tradex.table(name).history():
            if commit["operation"] == "CREATE TABLE":
                continue  # without rows
            assert any(run_id in json.dumps(commit) for run_id in runs), commit
    ended = [e for e in entries if e["status"] == "success" and e["action"] == "apply"]
    assert all(e["affected_start"] and e["affected_end"] and e["datasets"] and e["record_count"] for e in ended)
    account = tradex.remint("show", tradex.newest()["run_id"])
    assert "seconds by stage" in account
    assert "actual" in account


def test_gold_reflects_the_new_versioned_truth(tradex: TradeX) -> None:
    """T5, T8: the new version lies beside the old one, of which no byte changed."""
    old = tradex.files(SIGNALS)
    fired = {v: sum(r["fired"] for r in tradex.rows(SIGNALS) if r["signal_version"] == v) for v in ("v1", "v2")}

    tradex.rescore()

    rows = tradex.rows(SIGNALS)
    by_version = Counter(r["signal_version"] for r in rows)
    assert by_version["v1"] == by_version["v2"] == len(rows) / 2
    assert old.items() <= tradex.files(SIGNALS).items()
    scored = [r for r in rows if r["signal_version"] == "v2" and r["mentions"] >= 8]
    late = [r for r in scored if r["event_date"] >= date(2025, 11, 17)]
    assert all(r["fired"] == (r["score"] >= Decimal("1.5")) for r in late)
    assert sum(r["fired"] for r in scored) > fired["v1"] > 0
    assert tradex.newest()["type"] == "logical"
    assert "are fresh" in tradex.remint("status")
    assert " 0 different" in tradex.remint("verify", "--sample", "2")


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_t2_the_type_of_a_backfill_is_part_of_its_run(tradex: TradeX) -> None:
    tradex.remint("run", EVENTS, "--rebuild", "--all", "--type", "dataset", "--range", "2025-11-15", *WHY, code=2)
    tradex.remint("run", "gold.metrics_daily", "--rebuild", "--range", "2025-11-15", *WHY)
    tradex.rescore()

    assert [r["type"] for r in tradex.json("runs", "--limit", "3")["runs"]] == ["logical", "logical", "temporal"]
    tradex.remint("run", SIGNALS, "--range", "2025-11-15", "--rebuild", "--override-state", "--reason", "x", code=2)


def test_t2_a_forced_backfill_needs_somebody_else_once(tradex: TradeX) -> None:
    metrics = tradex.table("gold.metrics_daily")
    whole = sorted(map(str, tradex.rows("gold.metrics_daily")))
    metrics.delete("event_date = '2025-11-20' AND entity_id = 'E01'")
    forced = ("--type", "forced", "--override-state", "--range", "2025-11-20", "--reason", "a row was deleted")
    plan_id = tradex.plan("gold.metrics_daily", *forced)

    assert "RM331" in tradex.remint("apply", plan_id, code=4)
    assert "RM334" in tradex.remint("approve", plan_id, "--reason", "urgent", code=4)
    tradex.remint("approve", plan_id, "--as", "bea", "--reason", "seen")
    tradex.remint("apply", plan_id)
    assert "RM302" in tradex.remint("apply", plan_id, code=6)

    assert sorted(map(str, tradex.rows("gold.metrics_daily"))) == whole
    trail = [e["entry"] for e in tradex.json("audit", "--limit", "20")["entries"] if e["entry"]["type"] == "forced"]
    assert Counter(e["action"] for e in trail) == {"approve": 1, "intend": 1, "publish": 1, "apply": 2}
    assert {e["detail"].get("approved_by", e["actor"]) for e in trail} == {"bea"}
    assert all(e["override_state"] for e in trail)


def test_t4_only_affected_days_of_silver_get_other_files(tradex: TradeX) -> None:
    before = tradex.files(EVENTS)

    tradex.backfill()

    after = tradex.files(EVENTS)
    changed = {p.split("event_date=")[1][:10] for p, _ in before.items() ^ after.items()}
    assert {d.isoformat() for d in OUTAGE} <= changed
    assert changed <= {f"2025-12-0{n}" for n in range(1, 9)}
    untouched = {p: h for p, h in before.items() if p.split("event_date=")[1][:10] not in changed}
    assert untouched.items() <= after.items()


def test_t6_no_backfill_moves_state_and_each_declares_it(tradex: TradeX) -> None:
    before = tradex.cursor(), tradex.json("show", SIGNALS, "--watermarks")

    out = tradex.remint("plan", "--range", "2025-11-15", "--rebuild", "--reason", "x", code=2)
    tradex.backfill()

    assert "override" in out
    assert (tradex.cursor(), tradex.json("show", SIGNALS, "--watermarks")) == before
    tradex.catch_up()
    assert len(tradex.cursor()) == 2


def test_t6_a_day_that_was_never_delivered_is_not_an_empty_day(tradex: TradeX) -> None:
    assert "source absent: bronze.x_posts 2025-12-03..2025-12-05" in tradex.remint("status")
    assert "RM304" in tradex.remint("plan", "--range", "2025-12-01..2025-12-08", *WHY, code=2)

    tradex.backfill()

    assert "source absent" not in tradex.remint("status")


@pytest.mark.parametrize(
    ("file", "old", "new", "version", "stale"),
    [
        ("scoring.py", 'FIRES_AT = "3.0"', 'FIRES_AT = "2.0"', "SIGNAL_VERSION", {SIGNALS}),
        ("sql/baselines.sql", "INTERVAL 28", "INTERVAL 21", "BASELINE_VERSION", {"gold.baselines"}),
        ("lexicon.py", '    "long",\n', "", "FEATURE_VERSION", {MENTIONS}),
        ("sql/social_events.sql", "created_at, post_id", "created_at DESC, post_id", "EVENT_VERSION", {EVENTS}),
    ],
)
def test_t8_logic_changes_under_its_own_version(
    tradex: TradeX, file: str, old: str, new: str, version: str, stale: set[str]
) -> None:
    tradex.edit(file, old, new)
    refused = tradex.remint("plan", code=2)
    tradex.edit("versions.py", f"{version} = 1", f"{version} = 2")
    plan = tradex.json("plan")["plan"]

    assert "RM320" in refused
    will = [a for a in plan["actions"] if a["certain"]]
    assert {a["dataset"] for a in will} == stale
    assert {r["cause"] for a in will for r in a["reasons"]} == {"logic"}


def test_t8_a_new_list_of_companies_resolves_the_past_anew(tradex: TradeX) -> None:
    text = (tradex.root / "entities" / "2025-11-01.csv").read_text(encoding="utf-8")
    text = text.replace("2025-11-01,", "2025-12-01,") + "2025-12-01,E99,Volumen S.A.,VOL,retail,volumen\n"
    (tradex.root / "entities" / "2025-12-01.csv").write_text(text, encoding="utf-8")

    tradex.remint("ingest", "bronze.entities")
    tradex.remint("run")

    assert any(r["entity_id"] == "E99" for r in tradex.rows(SIGNALS))
    assert " 0 different" in tradex.remint("verify", "--sample", "1")


def test_t10_large_backfills_are_divided_or_approved_and_a_plan_is_dry(tradex: TradeX) -> None:
    before = tradex.files(POSTS, *DERIVED)
    wide = ("--range", "2025-11-01..2025-12-31", "--rebuild", "--all", "--allow-absent", *WHY)

    dry = tradex.remint("plan", *wide)
    refused = tradex.remint("run", *wide, code=4)
    done = tradex.remint("run", SIGNALS, *wide, "--split", "31")

    assert "needs approval" in dry
    assert "RM331" in refused
    assert "2 windows done" in done
    assert tradex.files(POSTS, *DERIVED) == before
    tradex.edit("remint.toml", "batch_rows = 10_000", "batch_rows = 500")
    assert re.search(r"in \d+ batches", tradex.remint("plan", *wide))


def test_t11_a_burst_raises_an_alert_and_stops_nothing(tradex: TradeX) -> None:
    tradex.catch_up()

    alerts = [e["entry"] for e in tradex.json("audit", "--limit", "200")["entries"] if e["entry"]["action"] == "alert"]
    bursts = {WORLD.first_day.toordinal() + n for n in range(WORLD.days) if WORLD.is_burst(n)}
    days = {e["detail"]["partition"] for e in alerts if e["detail"]["dataset"] == EVENTS}
    assert days
    assert {datetime.fromisoformat(d).toordinal() for d in days} <= bursts


def test_t12_each_stage_can_be_taken_back(tradex: TradeX) -> None:
    before = tradex.files(*DERIVED)
    tradex.backfill()
    run_id = tradex.newest()["run_id"]

    tradex.remint("rollback", run_id, "--reason", "test")

    assert tradex.files(*DERIVED) == before
    assert tradex.newest()["kind"] == "rollback"
    assert Workspace(tradex.root).store.run(run_id).state is RunState.ROLLED_BACK
    tradex.remint("run", "--range", "2025-12-01..2025-12-08", *WHY)
    assert "are fresh" in tradex.remint("status")


def test_t12_a_rolled_back_version_can_be_made_again(tradex: TradeX) -> None:
    tradex.rescore()
    tradex.remint("rollback", tradex.newest()["run_id"], "--reason", "test")

    plan = tradex.json("plan", SIGNALS, "--type", "logical", *WHY)["plan"]

    assert {r["cause"] for a in plan["actions"] for r in a["reasons"]} == {"missing", "logic"}


def test_t13_backfills_yield_to_production(tradex: TradeX, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tradex.files(*DERIVED)
    tradex.edit("scoring.py", 'FIRES_AT = "3.0"', 'FIRES_AT = "1.5"')
    tradex.edit("versions.py", "SIGNAL_VERSION = 1", "SIGNAL_VERSION = 2")
    monkeypatch.setenv("REMINT_POLICY__PEAK_HOURS", "00:00-12:00 UTC, 12:00-24:00 UTC")

    refused = tradex.remint("run", SIGNALS, "--range", "2025-11-20..2025-11-25", *WHY, code=4)

    assert "RM317" in refused
    assert tradex.files(*DERIVED) == before
    monkeypatch.delenv("REMINT_POLICY__PEAK_HOURS")
    assert "low" in (EXAMPLE / "remint.toml").read_text(encoding="utf-8")
    tradex.remint("run", SIGNALS, "--range", "2025-11-20..2025-11-25", *WHY)
