"""What has arrived for a day: its rows and every version of their things, whatever the order and the files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from remint.engines.duckdb_versions import rival_arrivals
from remint.model.dataset import Arrivals, Column
from remint.model.digest import ContentDigest
from remint.model.partition import Grain
from remint.model.provenance import Arrival
from tests.engines.ingesting import BRONZE, Lake
from tests.proof import proof, size

POSTS = replace(
    BRONZE,
    columns=(
        Column(name="post_id", type="VARCHAR", required=True),
        Column(name="part", type="BIGINT"),
        Column(name="version", type="BIGINT"),
        Column(name="created_at", type="TIMESTAMPTZ"),
        *BRONZE.columns[-2:],
    ),
    key=("post_id", "part", "version"),
    arrivals=Arrivals(column="created_at", grain=Grain.DAY, key=("post_id", "part")),
)
Post = tuple[str, int, int, int]
"""``post_id``, ``part``, ``version`` and the day of October that it names."""
Runs = list[list[list[Post]]]
"""By run, by file."""


def line(post: Post) -> str:
    name, part, number, day = post
    return json.dumps(
        {
            "post_id": name,
            "part": part,
            "version": number,
            "created_at": f"2026-10-{day:02}T22:00:00+00:00",
            "ingestion_timestamp": f"2026-11-{1 + number % 3:02}T00:00:15.001Z",
        }
    )


def oracle(posts: Iterable[Post]) -> dict[str, set[Post]]:
    """Return, by day, the rows whose thing occurs in it."""
    days: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for name, part, _, day in posts:
        days[name, part].add(day)
    arrived: defaultdict[str, set[Post]] = defaultdict(set)
    for post in posts:
        for day in days[post[0], post[1]]:
            arrived[f"2026-10-{day:02}"].add(post)
    return dict(arrived)


def ingested(lake: Lake, runs: Iterable[Sequence[Sequence[Post]]]) -> list[Arrival]:
    """Ingest runs of files of posts, as ``ingestion.ingest`` does, and return all arrivals."""
    found: list[Arrival] = []
    for files in runs:
        held = list(lake.paths)
        for posts in files:
            found += lake.ingest("\n".join(map(line, posts))).arrivals
        known, new = lake.scan(POSTS, held), lake.scan(POSTS, [p for p in lake.paths if p not in held])
        found += rival_arrivals(lake.con, lake.scheme, POSTS, known, new)
    return found


def digests(arrivals: Iterable[Arrival]) -> dict[str, ContentDigest]:
    by_day: defaultdict[str, list[ContentDigest]] = defaultdict(list)
    for arrival in arrivals:
        by_day[arrival.event_key].append(arrival.digest)
    return {day: ContentDigest.combine(parts[0].scheme, parts) for day, parts in by_day.items()}


@cache
def digest_of(post: Post) -> ContentDigest:
    """Return the digest of one row, from a lake that holds it alone and knows no versions."""
    with TemporaryDirectory() as folder, Lake(Path(folder), replace(POSTS, arrivals=None)) as lake:
        made = lake.ingest(line(post))
    return made.digests[made.files[0].path]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Post], Runs]:
    """Draw posts, and a way in which they come."""
    names, numbers = st.sampled_from(["a", "b", "c"]), st.integers(0, 2)
    keys = draw(st.lists(st.tuples(names, st.integers(0, 1), numbers), unique=True, min_size=1, max_size=12))
    posts = [(*key, draw(st.integers(1, 3))) for key in keys]
    runs: Runs = [[[], []] for _ in range(3)]
    for post in draw(st.permutations(posts)):
        runs[draw(st.integers(0, 2))][draw(st.integers(0, 1))].append(post)
    return posts, [[file for file in run if file] for run in runs]


@proof
@settings(max_examples=size(12, 60), deadline=None)
@given(histories())
def test_any_order_in_any_files_gives_the_arrivals_of_the_oracle(history: tuple[list[Post], Runs]) -> None:
    posts, runs = history

    with TemporaryDirectory() as folder, Lake(Path(folder), POSTS) as lake:
        found = digests(ingested(lake, runs))

    assert found == {
        day: ContentDigest.combine(lake.scheme, map(digest_of, rows)) for day, rows in oracle(posts).items()
    }


def test_a_known_row_counts_once_for_a_day_however_many_versions_name_it() -> None:
    runs = [[[("a", 0, 1, 1)]], [[("a", 0, 2, 2)]], [[("a", 0, 3, 2)]], [[("a", 0, 4, 1)]]]

    with TemporaryDirectory() as folder, Lake(Path(folder), POSTS) as lake:
        found = digests(ingested(lake, runs))

    assert {day: digest.rows for day, digest in found.items()} == {"2026-10-01": 4, "2026-10-02": 4}


def test_rows_of_other_things_and_of_the_same_day_are_no_rivals() -> None:
    with TemporaryDirectory() as folder, Lake(Path(folder), POSTS) as lake:
        found = ingested(lake, [[[("a", 0, 1, 1), ("a", 1, 1, 2)]], [[("a", 0, 2, 1)]]])

    assert [a for a in found if a.is_rival] == []


def test_events_that_a_label_tells_apart_may_have_it_in_their_key() -> None:
    labelled = replace(POSTS, arrivals=replace(POSTS.arrivals, label="post_id"))

    with TemporaryDirectory() as folder, Lake(Path(folder), labelled) as lake:
        old, new = (lake.ingest(line(post)).files[0].path for post in (("a", 0, 1, 1), ("a", 0, 2, 2)))
        found = rival_arrivals(lake.con, lake.scheme, labelled, lake.scan(labelled, [old]), lake.scan(labelled, [new]))

    assert {(a.file, a.event_key, a.digest.rows) for a in found} == {(old, "2026-10-02/a", 1), (new, "2026-10-01/a", 1)}
