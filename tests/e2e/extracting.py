"""A project that reads the feed of TradeX from a real server, and what its Bronze must then hold.

The oracle knows what the feed tells and nothing else: row lists and loops, no code of remint.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from remint.model.partition import DateRange
from remint.model.request import Ask, Extraction, Mode
from remint.model.run import Run
from tests.e2e.projects import Project, contract, write_project

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "tradex"))

import generate
import server
from generate import World
from server import CALM, Feed, Moods, Server, serving

__all__ = ["Feed", "Moods", "Server", "World", "generate", "server"]
"""Names of the example that tests use from here."""

POSTS = "bronze.x_posts"
SMALL = World(days=8, posts_a_day=25, first_day=date(2026, 10, 20))
"""About 250 entries: late posts, edits, repetitions and broken ones among them."""
CANARY = "c4nary-token-5d1e"

DATASETS = """\
from remint import arrivals, bronze, by_arrival, day, files, http_pages, silver

bronze("x_posts", partition=day("ingestion_date"), arrivals=arrivals("created_at"),
       source=http_pages({url!r}, page_size=40, since_param="since", until_param="until", ingested_at="ingested_at",
                         headers_env={{"Authorization": "Bearer {{X_TOKEN}}"}}, retries={retries}, timeout_s=5))

silver("x_posts", partition=day("post_date"), inputs={{"posts": by_arrival("bronze.x_posts")}}, sql="sql/posts.sql",
       keep=("updated_at",))
"""
SQL = "SELECT post_id, updated_at, text, likes, CAST(created_at AS DATE) AS post_date FROM posts\n"
COLUMNS = ("post_id", "author_id", "created_at", "updated_at", "lang", "text", "likes")
FILES: dict[str, str | None] = {
    "sql/posts.sql": SQL,
    "contracts/bronze.x_posts.yaml": contract(
        "post_id VARCHAR *\nauthor_id VARCHAR\ncreated_at TIMESTAMPTZ\nupdated_at TIMESTAMPTZ *\nlang VARCHAR\n"
        "text VARCHAR\nlikes BIGINT\ningested_at TIMESTAMPTZ\ningestion_date DATE"
    ),
    "contracts/silver.x_posts.yaml": contract(
        "post_id VARCHAR *\nupdated_at TIMESTAMPTZ\ntext VARCHAR\nlikes BIGINT\npost_date DATE"
    ),
    **dict.fromkeys(
        ("sql/events.sql", "sql/monthly.sql", "contracts/bronze.events.yaml", "contracts/silver.events.yaml")
    ),
    **dict.fromkeys(f"contracts/gold.{name}.yaml" for name in ("daily", "trend", "monthly")),
}


@dataclass
class Extracting:
    """A project and the server that it reads from."""

    project: Project
    server: Server

    def ingest(self, mode: Mode = Mode.INCREMENTAL, **asked: Any) -> Run:
        """Ingest, as another process would."""
        if isinstance(asked.get("range"), str):
            asked["range"] = DateRange.parse(asked["range"])
        run = self.project.open().ingest((), Ask(reason="test"), Extraction(mode=mode, **asked))
        assert run is not None
        return run

    def backfill(self, **asked: Any) -> Run:
        """Ingest what is asked for by name."""
        return self.ingest(Mode.BACKFILL, **asked)

    def watermark(self) -> str | None:
        """Return where the cursor stands."""
        return self.project.open().store.watermarks().get(POSTS)

    def moves(self) -> list[tuple[str, str]]:
        """Return every move of the cursor, with the run that made it."""
        return [(m.value, m.run_id) for m in self.project.open().store.watermark_history(POSTS)]

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what Bronze holds, read by delta-rs alone."""
        found = self.project.delta(POSTS).to_pyarrow_table().to_pylist()
        return sorted(tuple(_plain(row[c]) for c in COLUMNS) for row in found)

    def reset_requests(self) -> None:
        """Count requests from here."""
        self.server.requests = 0


def _plain(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


@contextmanager
def extracting(root: Path, feed: Feed | None = None, *, moods: Moods = CALM, retries: int = 3) -> Iterator[Extracting]:
    """Serve ``feed`` and write a project that reads it; the caller sets X_TOKEN."""
    with serving(feed or Feed(SMALL), moods=moods, token=CANARY) as server:
        text = DATASETS.format(url=server.url, retries=retries)
        yield Extracting(write_project(root, {**FILES, "datasets.py": text}), server)


def expected(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return what Bronze must hold of feed items: each version of each well-formed post, once."""
    found = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("post_id"), str) or "created_at" not in item:
            continue
        if isinstance(item["likes"], int) and not item["created_at"].startswith("2026-02-30"):
            found.setdefault((item["post_id"], item["updated_at"]), tuple(item[c] for c in COLUMNS))
    return sorted(found.values())


def told(world: World = SMALL) -> list[Any]:
    """Return everything that the feed of a world ever tells."""
    return [entry.item for entry in world.entries]
