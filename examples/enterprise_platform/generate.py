"""Generate what four systems deliver to the platform: orders, payments, page views and customers, delivery by delivery.

A delivery is what arrives at one time. ``history`` is three weeks as they came, a file a day: an order is delivered again
when its status changes, some rows are broken, and one day of payments is missing. The others are what replays are about:
``redelivery`` (known rows, and versions older than those already there), ``late`` (the missing day, and orders and views
that come days after), ``correction`` (the ERP corrects prices) and ``archive`` (two weeks from before the platform).

Rules: equal arguments give equal files on any machine; every row draws from its own stream of random numbers, so a
delivery tells of an order what another one would.

    python generate.py history --last-day 2026-11-20
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb

DAYS, ARCHIVE_DAYS, VIEW_DAYS = 21, 14, 4
LATE_DAYS = (2, 9)
"""Of late orders: so many days before the last one."""
OUTAGE = 3
"""Day, counted back, of which the payments were not delivered in time."""
CORRECTED_DAYS = (6, 5)
LATE_SHARE, CANCELLED, REFUNDED, BROKEN = 0.04, 0.06, 0.08, 0.004
CUSTOMERS = 150
PRODUCTS = {"desk": 24_900, "chair": 12_900, "lamp": 3_900, "shelf": 7_900, "rug": 9_900}
COUNTRIES = ("ES", "ES", "DE", "DE", "FR", "PT", "IT")
PAGES = ("home", "search", "product", "basket", "checkout")

Row = dict[str, Any]


class Platform:
    """Everything that happened, by day; a delivery is a selection of it."""

    def __init__(self, last_day: date, seed: int, orders_a_day: int) -> None:
        self.last_day = last_day
        self.seed = seed
        self.orders_a_day = orders_a_day

    def days(self, first: int, last: int) -> list[date]:
        """Return the days from ``first`` to ``last``, which count back from the last day."""
        return [self.last_day - timedelta(days=n) for n in range(first, last - 1, -1)]

    def draw(self, *place: object) -> Random:
        """Return the stream of random numbers of one row."""
        return Random(":".join(map(str, (self.seed, *place))))

    def orders(self, day: date) -> Iterator[list[Row]]:
        """Yield the versions of each order of a day, oldest first."""
        for n in range(self.orders_a_day):
            # Counted back from the last day, so that a platform of another day holds the same orders.
            ago = (self.last_day - day).days
            draw = self.draw("order", ago, n)
            product = draw.choice(list(PRODUCTS))
            at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC) + timedelta(seconds=draw.randrange(15 * 3600))
            quantity = draw.randint(1, 4)
            gift = quantity * PRODUCTS[product] // 10 if draw.random() < 0.2 else 0
            order: Row = {
                "order_id": f"o-{ago:03}-{n:05}",
                "customer_id": f"c-{draw.randrange(CUSTOMERS):04}",
                "product": product,
                "quantity": quantity,
                "price_cents": PRODUCTS[product],
                "discount_cents": gift,
                "status": "placed",
                "ordered_at": at,
                "updated_at": at,
            }
            versions = [order]
            fate = draw.random()
            if fate < CANCELLED:
                versions.append(order | {"status": "cancelled", "updated_at": at + timedelta(hours=3)})
            else:
                versions.append(order | {"status": "shipped", "updated_at": at + timedelta(hours=26)})
                if fate < CANCELLED + REFUNDED:
                    versions.append(order | {"status": "refunded", "updated_at": at + timedelta(hours=75)})
            yield versions

    def is_late(self, order: Row) -> bool:
        """True for an order that only the delivery of late rows tells of."""
        ago = int(order["order_id"][2:5])
        return ago in LATE_DAYS and self.draw("late", order["order_id"]).random() < LATE_SHARE

    def exported(self, day: date) -> list[Row]:
        """Return what the ERP exports at the end of a day: every version that was made on it."""
        found = [v for d in self.near(day) for versions in self.orders(d) for v in versions if not self.is_late(v)]
        rows = [v for v in found if v["updated_at"].date() == day]
        broken = [
            r | {"quantity": "?"} for r in rows if self.draw("broken", r["order_id"], r["status"]).random() < BROKEN
        ]
        return sorted(rows + broken, key=lambda r: (r["updated_at"], r["order_id"], str(r["quantity"])))

    def near(self, day: date) -> list[date]:
        """Return the days whose orders may have changed on ``day``."""
        oldest = self.last_day - timedelta(days=DAYS - 1)
        return [d for n in range(5) if (d := day - timedelta(days=n)) >= oldest]

    def payments(self, day: date) -> list[Row]:
        """Return the payments of the orders of a day, one each, made within the hour."""
        found = []
        for versions in self.orders(day):
            order, draw = versions[0], self.draw("payment", versions[0]["order_id"])
            if versions[-1]["status"] == "cancelled" or self.is_late(order):
                continue
            at = order["ordered_at"] + timedelta(minutes=draw.randrange(60))
            found.append(
                {
                    "payment_id": order["order_id"].replace("o-", "p-"),
                    "order_id": order["order_id"],
                    "method": draw.choice(("card", "card", "transfer", "wallet")),
                    "amount_cents": order["quantity"] * order["price_cents"] - order["discount_cents"],
                    "paid_at": at,
                    "updated_at": at,
                }
            )
        return found

    def views(self, day: date, *, late: bool) -> Iterator[Row]:
        """Yield the page views of a day; the collector lost a twentieth of them, which come late."""
        for n in range(self.orders_a_day * 3):
            draw = self.draw("view", (self.last_day - day).days, n)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=draw.randrange(86_400))
            if (draw.random() < 0.05 and (self.last_day - day).days == 0) is late:
                yield {
                    "view_id": f"v-{(self.last_day - day).days:03}-{n:05}",
                    "visitor": f"c-{draw.randrange(CUSTOMERS):04}",
                    "page": draw.choice(PAGES),
                    "viewed_at": at,
                }


class Landing:
    """The folder in which deliveries land."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str) -> Path:
        """Return the place of a file, its folder made."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def csv(self, name: str, rows: Iterable[Row]) -> None:
        listed = [{k: _text(v) for k, v in row.items()} for row in rows]
        with self.place(name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(listed[0]))
            writer.writeheader()
            writer.writerows(listed)

    def jsonl(self, name: str, rows: Iterable[Row]) -> None:
        lines = (json.dumps({k: _plain(v) for k, v in row.items()}) for row in rows)
        self.place(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def parquet(self, name: str, rows: Iterable[Row]) -> None:
        path = self.place(name)
        lines = path.with_suffix(".jsonl")
        self.jsonl(str(lines.relative_to(self.root)), rows)
        columns = (
            "{view_id: 'VARCHAR', visitor: 'VARCHAR', page: 'VARCHAR', viewed_at: 'TIMESTAMPTZ', extract_date: 'DATE'}"
        )
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute(f"COPY (FROM read_json('{lines}', columns = {columns})) TO '{path}' (FORMAT parquet)")
        lines.unlink()


def deliver(platform: Platform, landing: Landing, delivery: str) -> None:
    """Write the files of one delivery."""
    extracted = platform.last_day + timedelta(days=1)
    match delivery:
        case "history":
            landing.csv(f"customers/{platform.last_day}.csv", _customers(platform))
            for day in platform.days(DAYS - 1, 0):
                landing.csv(f"orders/{day}.csv", _stamped(platform.exported(day), day))
                if day != platform.days(OUTAGE, OUTAGE)[0]:
                    landing.jsonl(f"payments/{day}.jsonl", _stamped(platform.payments(day), day))
            for day in platform.days(VIEW_DAYS - 1, 0):
                landing.parquet(f"page_views/{day}.parquet", _stamped(platform.views(day, late=False), day))
        case "redelivery":
            known = platform.exported(platform.last_day)
            older = [r | {"status": "draft", "updated_at": r["updated_at"] - timedelta(minutes=5)} for r in known]
            landing.csv(f"orders/{extracted}-redelivery.csv", _stamped([*known, *older], extracted))
        case "late":
            late = [v for n in LATE_DAYS for vs in platform.orders(platform.days(n, n)[0]) for v in vs]
            late = [v for v in late if platform.is_late(v) and v["updated_at"].date() <= platform.last_day]
            landing.csv(f"orders/{extracted}-late.csv", _stamped(late, extracted))
            (missed,) = platform.days(OUTAGE, OUTAGE)
            landing.jsonl(f"payments/{missed}.jsonl", _stamped(platform.payments(missed), extracted))
            landing.parquet(
                "page_views/late.parquet", _stamped(platform.views(platform.last_day, late=True), extracted)
            )
        case "correction":
            newest = [
                _known(vs, platform.last_day) for d in platform.days(*CORRECTED_DAYS) for vs in platform.orders(d)
            ]
            at = datetime.combine(extracted, datetime.min.time(), UTC)
            mended = [r | {"price_cents": 13_900, "updated_at": at} for r in newest if r["product"] == "chair"]
            landing.csv(f"orders/{extracted}-correction.csv", _stamped(mended, extracted))
        case "archive":
            for day in platform.days(DAYS + ARCHIVE_DAYS - 1, DAYS):
                orders = [versions[-1] for versions in platform.orders(day)]
                landing.csv(f"orders/{day}-archive.csv", _stamped(orders, extracted))
                landing.jsonl(f"payments/{day}-archive.jsonl", _stamped(platform.payments(day), extracted))


def _known(versions: list[Row], day: date) -> Row:
    """Return the newest version that was made by the end of ``day``."""
    return [v for v in versions if v["updated_at"].date() <= day][-1]


def _customers(platform: Platform) -> Iterator[Row]:
    for n in range(CUSTOMERS):
        draw = platform.draw("customer", n)
        yield {
            "customer_id": f"c-{n:04}",
            "name": f"Customer {n}",
            "country": draw.choice(COUNTRIES),
            "list_date": platform.last_day,
        }


def _stamped(rows: Iterable[Row], day: date) -> Iterator[Row]:
    return (row | {"extract_date": day} for row in rows)


def _text(value: object) -> str:
    return str(_plain(value))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, date) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("delivery", choices=("history", "redelivery", "late", "correction", "archive"))
    parser.add_argument("--last-day", type=date.fromisoformat, required=True, help="Newest day of the history.")
    parser.add_argument("--orders", type=int, default=150, help="A day.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("landing"))
    asked = parser.parse_args()
    deliver(Platform(asked.last_day, asked.seed, asked.orders), Landing(asked.out), asked.delivery)
    print(f"{asked.delivery}: delivered to {asked.out}")


if __name__ == "__main__":
    main()
