"""The world of the TradeX example: the same on any machine, and as troublesome as it says."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.e2e.extracting import Feed, World, generate, server

EXAMPLE = Path(__file__).parents[2] / "examples" / "tradex"
WORLD = World(days=30, posts_a_day=100)


def posts() -> list[dict[str, object]]:
    return [e.item for e in WORLD.entries if isinstance(e.item, dict)]


@pytest.mark.parametrize("seed", ["0", "1"])
def test_equal_arguments_give_equal_entries_in_every_process(seed: str) -> None:
    script = (
        "import hashlib; from generate import World; "
        "print(hashlib.sha256(repr(World(days=30, posts_a_day=100).entries).encode()).hexdigest())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == hashlib.sha256(repr(WORLD.entries).encode()).hexdigest()


def test_a_longer_history_holds_the_shorter_ones_entries() -> None:
    longer = World(days=31, posts_a_day=100)

    assert not Counter(map(repr, WORLD.entries)) - Counter(map(repr, longer.entries))
    assert len(longer.entries) > len(WORLD.entries)


def test_another_seed_is_another_history() -> None:
    assert World(days=2, seed=8).entries != World(days=2, seed=7).entries


def test_it_holds_what_makes_extraction_and_resolution_hard() -> None:
    versions: dict[object, set[object]] = {}
    days: dict[object, set[str]] = {}
    for post in posts():
        versions.setdefault(post.get("post_id"), set()).add(post["updated_at"])
        days.setdefault(post.get("post_id"), set()).add(str(post.get("created_at"))[:10])
    late = sum(e.at.date() - e.day > timedelta(days=1) for e in WORLD.entries)
    told = Counter(repr(e.item) for e in WORLD.entries)

    assert sum(len(v) > 1 for v in versions.values()) > 100, "edited"
    assert sum(len(d) > 1 for d in days.values()) > 5, "moved"
    assert late > 50, "late"
    assert sum(n > 1 for n in told.values()) > 10, "told twice"
    assert any(not isinstance(e.item, dict) for e in WORLD.entries), "no post at all"
    assert {post["lang"] for post in posts()} == {"en", "es", "pt", "de"}
    assert any(WORLD.is_burst(number) for number in range(WORLD.days)), "a burst"


def test_every_alias_belongs_to_one_company_and_is_written_with_it(tmp_path: Path) -> None:
    generate.write_entities(tmp_path / "entities.csv")

    with (tmp_path / "entities.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["alias"] for row in rows}) == len(rows)
    assert {row["entity_id"] for row in rows} == {entity.entity_id for entity in generate.ENTITIES}


def test_time_goes_on_and_an_outage_ends() -> None:
    down = WORLD.first_day + timedelta(days=2)
    feed = Feed(WORLD, told_until=WORLD.first_day + timedelta(days=5), outage=[down])
    before = feed.page({"limit": "500"})["data"]
    window = {"since": f"{down}T00:00:00Z", "until": f"{down + timedelta(days=1)}T00:00:00Z"}

    with pytest.raises(server.Refused, match="not available") as caught:
        feed.page(window)
    later = feed.advance(date.max)
    back = feed.release(down)

    assert caught.value.status == 503
    assert feed.page({"limit": "500"})["data"][: len(before)] == before
    assert later + len(before) + back >= len(WORLD.entries)
    assert feed.page(window)["meta"]["count"] > 50
    assert feed.release(down) == 0


@pytest.mark.parametrize("cursor", ["", "x", "ñ", "MTow", "LTE6"])
def test_a_cursor_that_the_feed_did_not_give_is_refused(cursor: str) -> None:
    with pytest.raises(server.Refused, match="unknown cursor"):
        Feed(WORLD).page({"cursor": cursor})


def test_a_cursor_of_a_window_is_not_one_of_the_feed() -> None:
    feed = Feed(WORLD)
    window = {"since": "2026-10-01T00:00:00Z", "until": "2026-10-09T00:00:00Z"}
    cursor = feed.page(window)["meta"]["next_cursor"]

    assert feed.page({**window, "cursor": cursor})["data"]
    with pytest.raises(server.Refused, match="another window"):
        feed.page({"cursor": cursor})


def test_days_are_named_by_both_ends() -> None:
    assert server.days_of("2026-11-03..2026-11-05") == [date(2026, 11, n) for n in (3, 4, 5)]
    assert server.days_of("2026-11-03") == [date(2026, 11, 3)]
