"""Generate the social feed of TradeX: posts about listed companies, in the order in which an API would tell of them.

The feed is a log of versions: an edit is a new entry with the same ``post_id`` and a later ``updated_at``, sometimes
with another ``created_at`` (the post moved to another day). It holds late posts, copies, entries that are told twice
and entries that are no post at all. Companies are named by cashtag, by name, by nickname and misspelt, so that
resolving entities is work; some days have bursts of posts about one company, so that signals have something to find.

Rules: equal arguments give equal entries in equal order, on any machine; each day draws from its own stream of random
numbers, so a longer history holds the shorter one's posts as they are.

    python generate.py entities/2025-11-01.csv --list-date 2025-11-01    # the companies, one row an alias
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

FIRST_DAY = date(2026, 10, 1)
EDITED, MOVED, LATE, REPEATED, MALFORMED, COPIED = 0.06, 0.006, 0.02, 0.01, 0.003, 0.02
"""Shares of posts: edited, moved to another day by an edit, told late, told twice, broken, posted again by its author."""
BURST_SHARE = 0.45
"""Share of a burst day's posts that are about one company."""
LANGUAGES = ("en", "en", "en", "en", "es", "es", "es", "pt", "de")
DAY_S = 86_400


@dataclass(frozen=True)
class Entity:
    """A listed company and what people call it."""

    entity_id: str
    name: str
    ticker: str
    sector: str
    aliases: tuple[str, ...]
    """Names and nicknames as they are written, misspellings included."""


ENTITIES = (
    Entity("E01", "Apple Inc.", "AAPL", "hardware", ("Apple", "apple", "Aple", "Appel")),
    Entity("E02", "Microsoft Corporation", "MSFT", "software", ("Microsoft", "microsoft", "Micro soft", "Mircosoft")),
    Entity("E03", "NVIDIA Corporation", "NVDA", "semiconductors", ("Nvidia", "nvidia", "NVIDIA", "Nividia", "Invidia")),
    Entity("E04", "Tesla, Inc.", "TSLA", "automotive", ("Tesla", "tesla", "Telsa", "Teslla")),
    Entity("E05", "Amazon.com, Inc.", "AMZN", "retail", ("Amazon", "amazon", "Amazn", "Bezos shop")),
    Entity("E06", "Alphabet Inc.", "GOOGL", "software", ("Google", "Alphabet", "Gogle", "Googel")),
    Entity("E07", "Meta Platforms, Inc.", "META", "software", ("Meta", "Facebook", "Facebok", "Zuck")),
    Entity("E08", "Advanced Micro Devices, Inc.", "AMD", "semiconductors", ("AMD", "Advanced Micro", "Advnaced Micro")),
    Entity("E09", "MercadoLibre, Inc.", "MELI", "retail", ("MercadoLibre", "Mercado Libre", "Meli", "Mercadolibre")),
    Entity("E10", "Banco Santander, S.A.", "SAN", "banking", ("Santander", "Banco Santander", "Satander")),
    Entity("E11", "Industria de Diseño Textil, S.A.", "ITX", "retail", ("Inditex", "Zara", "inditex", "Inditx")),
    Entity("E12", "Telefónica, S.A.", "TEF", "telecom", ("Telefónica", "Telefonica", "Telefonika")),
    Entity("E13", "Petróleo Brasileiro S.A.", "PBR", "energy", ("Petrobras", "petrobras", "Petrobas")),
    Entity("E14", "SAP SE", "SAP", "software", ("SAP", "sap walldorf")),
    Entity("E15", "Coinbase Global, Inc.", "COIN", "finance", ("Coinbase", "coinbase", "Coin base", "Conbase")),
    Entity("E16", "Palantir Technologies Inc.", "PLTR", "software", ("Palantir", "palantir", "Palentir")),
)
"""Companies, the most talked of first. Strange and ambiguous names are meant: Meta, Coin, SAN."""

TEXTS = {
    "en": (
        "{a} looks strong into earnings, adding on dips",
        "Not touching {a} at these prices, way overvalued",
        "{a} beats expectations again. Guidance raised",
        "Anyone else seeing unusual volume in {a} today?",
        "{a} guidance cut, this could get ugly",
        "Rotating out of {b} into {a}",
        "Long {a}, short {b}. Simple as that",
        "Heard {a} is about to announce layoffs",
    ),
    "es": (
        "{a} rompe máximos, ojo a la resistencia",
        "Vendo {a}, demasiado riesgo para mí",
        "Resultados de {a} mejores de lo esperado",
        "¿Alguien sigue en {a}? El volumen está raro hoy",
        "Cambio {b} por {a} en cartera",
        "{a} recorta previsiones, cuidado",
    ),
    "pt": ("{a} subindo forte hoje", "Saindo de {a}, entrando em {b}", "Resultado de {a} decepcionou o mercado"),
    "de": ("{a} mit starken Zahlen", "Bei {a} bin ich raus", "{a} oder {b}, was meint ihr?"),
}


@dataclass(frozen=True)
class Entry:
    """One thing that the feed tells."""

    at: datetime
    """When the API learns of it."""
    day: date
    """Day of the post's ``created_at``; for what is no post, the day on which it was told."""
    item: Any
    """A post as JSON data, or whatever stands in its place."""


@dataclass(frozen=True)
class World:
    """A history of posts."""

    days: int = 60
    posts_a_day: int = 400
    first_day: date = FIRST_DAY
    seed: int = 7

    @property
    def end(self) -> date:
        """The day after the last one on which posts are written."""
        return self.first_day + timedelta(days=self.days)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Everything that the feed ever tells, in order."""
        found = [entry for number in range(self.days) for entry in _day(self, number)]
        # Python's sort is stable, so what is told in the same second keeps the order of its making.
        return tuple(sorted(found, key=lambda entry: entry.at))

    def is_burst(self, number: int) -> Entity | None:
        """Return the company that everybody talks about on the ``number``-th day, if there is one."""
        draw = Random(f"{self.seed}/burst/{number}")
        return draw.choice(ENTITIES[:10]) if draw.random() < 0.12 else None


def _day(world: World, number: int) -> Iterator[Entry]:
    draw, copying = Random(f"{world.seed}/{number}"), Random(f"{world.seed}/copies/{number}")
    day = world.first_day + timedelta(days=number)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    burst = world.is_burst(number)
    count = world.posts_a_day + draw.randrange(-world.posts_a_day // 10, world.posts_a_day // 10 + 1)
    if burst:
        count = int(count * 1.6)
    for place in range(count):
        created = midnight + timedelta(seconds=_moment(draw))
        post = _post(draw, f"{number * 1_000_000 + place:012d}", created, burst)
        delay = timedelta(seconds=draw.randrange(1, 90))
        if draw.random() < LATE:
            delay = timedelta(days=draw.randrange(1, 7), seconds=draw.randrange(DAY_S))
        told = Entry(created + delay, day, post)
        if draw.random() < MALFORMED:
            told = replace(told, item=_broken(draw, post))
        yield told
        if draw.random() < REPEATED:
            yield replace(told, at=told.at + timedelta(seconds=draw.randrange(1, 3 * 3600)))
        if told.item is post and draw.random() < EDITED:
            yield from _edits(draw, told, is_moved=draw.random() < MOVED / EDITED)
        if told.item is post and copying.random() < COPIED:
            yield _copy(copying, told, f"{number * 1_000_000 + 500_000 + place:012d}")


def _copy(draw: Random, told: Entry, post_id: str) -> Entry:
    """Return another post of the author that says the same a little later on that day, shouting."""
    created = datetime.fromisoformat(told.item["created_at"])
    left = DAY_S - 1 - (created.hour * 3600 + created.minute * 60 + created.second)
    moment = _iso(created + timedelta(seconds=min(left, draw.randrange(60, 3 * 3600))))
    text = f"{told.item['text'].upper()}!!"
    post = {**told.item, "post_id": post_id, "created_at": moment, "updated_at": moment, "text": text}
    return replace(told, at=told.at + timedelta(hours=3), item=post)


def _moment(draw: Random) -> int:
    """Return a second of the day; trading hours are busier."""
    return draw.randrange(13 * 3600, 21 * 3600) if draw.random() < 0.6 else draw.randrange(DAY_S)


def _post(draw: Random, post_id: str, created: datetime, burst: Entity | None) -> dict[str, Any]:
    author = min(draw.randrange(3000), draw.randrange(3000))
    lang = draw.choice(LANGUAGES)
    about = burst if burst and draw.random() < BURST_SHARE else _popular(draw)
    likes = int(draw.paretovariate(1.1)) - 1
    return {
        "post_id": post_id,
        "author_id": f"u{author:05d}",
        "author_name": _author_name(author),
        "created_at": _iso(created),
        "updated_at": _iso(created),
        "lang": lang,
        "text": draw.choice(TEXTS[lang]).format(a=_mention(draw, about), b=_mention(draw, _popular(draw))),
        "likes": min(likes, 250_000),
        "reposts": min(likes // draw.randrange(3, 12), 50_000),
        "url": f"https://x.example/u{author:05d}/status/{post_id}",
    }


_WEIGHTS = tuple(accumulate(1 / (rank + 1) for rank in range(len(ENTITIES))))


def _popular(draw: Random) -> Entity:
    return draw.choices(ENTITIES, cum_weights=_WEIGHTS)[0]


def _mention(draw: Random, entity: Entity) -> str:
    form = draw.random()
    if form < 0.45:
        return f"${entity.ticker}"
    return entity.name if form < 0.52 else draw.choice(entity.aliases)


_FIRST = ("bull", "bear", "chart", "value", "momentum", "quant", "dividend", "macro", "toro", "bolsa")
_LAST = ("queen", "hunter", "wizard", "desk", "capital", "lab", "diario", "whale", "monk", "signal")


def _author_name(number: int) -> str:
    return f"{_FIRST[number % 10]}_{_LAST[number // 10 % 10]}_{number // 100}"


def _edits(draw: Random, told: Entry, *, is_moved: bool) -> Iterator[Entry]:
    """Yield the later versions of a post: its numbers grow, its text changes, seldom its time of writing."""
    entry = told
    for _ in range(draw.choice((1, 1, 1, 2))):
        at = entry.at + timedelta(seconds=draw.randrange(600, 3 * DAY_S))
        post = {**entry.item, "updated_at": _iso(at), "likes": entry.item["likes"] + draw.randrange(0, 500)}
        if draw.random() < 0.3:
            post["text"] += " (edit)"
        entry = replace(entry, at=at, item=post)
        if is_moved:
            created = datetime.fromisoformat(post["created_at"]) - timedelta(days=1)
            entry = replace(entry, day=created.date(), item={**post, "created_at": _iso(created)})
            is_moved = False
        yield entry


def _broken(draw: Random, post: dict[str, Any]) -> Any:
    match draw.randrange(5):
        case 0:
            return {name: value for name, value in post.items() if name != "created_at"}
        case 1:
            return {**post, "likes": f"{post['likes']}k"}
        case 2:
            return {**post, "created_at": "2026-02-30T00:00:00Z"}
        case 3:
            return post["post_id"]
        case _:
            return {**post, "post_id": None}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_entities(path: Path, list_date: date = FIRST_DAY) -> None:
    """Write the companies with their aliases as CSV, one row an alias; cashtag and full name are aliases, too."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("list_date", "entity_id", "name", "ticker", "sector", "alias"))
        for entity in ENTITIES:
            for alias in (f"${entity.ticker}", entity.name, *entity.aliases):
                rows.writerow(
                    (list_date.isoformat(), entity.entity_id, entity.name, entity.ticker, entity.sector, alias)
                )


def main() -> None:
    """Write the table of entities."""
    parser = argparse.ArgumentParser(description="Write the companies of TradeX with their aliases as CSV.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--list-date", type=date.fromisoformat, default=FIRST_DAY, help="from when on the list holds")
    asked = parser.parse_args()
    write_entities(asked.path, asked.list_date)


if __name__ == "__main__":
    main()
