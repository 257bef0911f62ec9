"""Build Silver and Gold of the API entitlements example with hand-written Polars, as a yardstick for remint.

Rules:
    * The same tables, rows and values as ``handwritten_duckdb.py``. Only the words of ``reason`` differ,
      and the last bit of ``baseline_requests`` and ``usage_ratio``: Polars divides by 7.0 as times (1 / 7.0).
    * The fast JSON reader of Polars ends the query at the first malformed payload, so it only sees payloads
      that a regular expression has proved to be flat, well-typed JSON. The few others go through json.loads.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import polars as pl

PLAN_LIMITS = {"free": 60, "starter": 300, "professional": 1000, "enterprise": 5000}
ABUSE_MIN_REQUESTS = 500
ABUSE_MIN_RATIO = 5.0
MIN_STATUS, FIRST_ERROR, MAX_STATUS = 100, 400, 599

FIELDS = {
    "tenant_id": pl.String,
    "plan": pl.String,
    "endpoint": pl.String,
    "method": pl.String,
    "status_code": pl.Int32,
    "latency_ms": pl.Int32,
    "request_bytes": pl.Int64,
    "response_bytes": pl.Int64,
}
FOLDERS = (
    "silver/api_usage",
    "silver/api_usage_quarantine",
    "gold/tenant_usage_1min",
    "gold/tenant_usage_hourly",
    "gold/tenant_usage_daily",
    "gold/enforcement_alerts",
)
STRINGS = [name for name, kind in FIELDS.items() if kind == pl.String]
INTEGERS = {name: 2**31 if kind == pl.Int32 else 2**63 for name, kind in FIELDS.items() if kind != pl.String}

# Integers of at most nine digits fit every type; longer ones take the slow way and are judged there.
PAIR = (
    rf'(?:"(?:{"|".join(STRINGS)})":"[^"\\\x00-\x1f]*"'
    rf'|"(?:{"|".join(INTEGERS)})":(?:0|[1-9][0-9]{{0,8}}))'
)
FLAT = rf"^\{{{PAIR}(?:,{PAIR})*\}}$"

RECORD = ["kafka_partition", "kafka_offset"]
RECORD_NUMBER = pl.col("kafka_partition").cast(pl.Int64) * 2**48 + pl.col("kafka_offset")
EVENT = ["event_date", "event_id"]
ENVELOPE = ["event_id", "event_timestamp", *RECORD, "ingestion_timestamp"]
SILVER = ["event_id", "event_timestamp", *FIELDS, "ingestion_timestamp", *RECORD, "event_date"]
SERIES = ["tenant_id", "plan"]
LIMIT = pl.col("plan").replace_strict(PLAN_LIMITS, return_dtype=pl.Int64)


def parse_fast(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the valid rows among the flat payloads, with the columns of SILVER; other rows are left out.

    Payloads that are not flat become null inside the expression, not in a filter before it, which the
    optimizer may reorder.
    """
    flat = pl.when(pl.col("payload").str.contains(FLAT)).then(pl.col("payload"))
    parsed = rows.select(
        *ENVELOPE,
        pl.col("event_timestamp").dt.date().alias("event_date"),
        flat.str.json_decode(pl.Struct(FIELDS)).alias("field"),
    ).unnest("field")
    present = pl.all_horizontal(pl.col(list(FIELDS)).is_not_null())
    status, plan = (
        pl.col("status_code").is_between(MIN_STATUS, MAX_STATUS),
        pl.col("plan").is_in(list(PLAN_LIMITS)),
    )
    return parsed.filter(present & status & plan).select(SILVER)


def read_payload(payload: str | None) -> dict[str, Any]:
    """Return the fields of one payload and ``reason``; fields are absent when there is a reason."""
    try:
        found = json.loads(payload or "")
    except ValueError:
        return {"reason": "payload is not valid JSON"}
    if not isinstance(found, dict):
        return {"reason": "payload is not a JSON object"}
    for name in FIELDS:
        value = found.get(name)
        if value is None:
            return {"reason": f"{name} is missing"}
        # Not isinstance: a bool is an int in Python, and is none in JSON.
        if type(value) is not (str if name in STRINGS else int):
            return {"reason": f"{name} has the wrong type"}
        if name in INTEGERS and value not in range(INTEGERS[name]):
            return {"reason": f"{name} is negative or too large"}
    if not MIN_STATUS <= found["status_code"] <= MAX_STATUS:
        return {"reason": "status_code is not in 100 to 599"}
    if found["plan"] not in PLAN_LIMITS:
        return {"reason": "plan is unknown"}
    return {name: found[name] for name in FIELDS} | {"reason": None}


def parse_slowly(rows: pl.DataFrame) -> pl.DataFrame:
    """Return all rows with the columns of SILVER, ``payload`` and ``reason`` (null for the valid ones)."""
    found = [read_payload(payload) for payload in rows["payload"]]
    fields = pl.DataFrame(found, schema={**FIELDS, "reason": pl.String})
    return rows.with_columns(pl.col("event_timestamp").dt.date().alias("event_date")).hstack(fields)


def sorted_numbers(rows: pl.LazyFrame, number: pl.Expr) -> pl.Series:
    """Return an integer of each row, ascending; a tenth of the memory of a group_by or a join."""
    return rows.select(number.alias("number")).collect(engine="streaming").to_series().sort()


def find_superseded(bronze: pl.LazyFrame) -> pl.DataFrame:
    """Return the RECORD key of every valid row that a later delivery of its event replaces.

    Only ids that occur twice can lose a row. They are found by their hash; two ids of one hash are two
    needless candidates and no more.
    """
    id_hash = pl.col("event_id").hash()
    hashes = sorted_numbers(bronze, id_hash)
    repeated = hashes.filter(hashes == hashes.shift(1)).unique()
    rows = bronze.filter(id_hash.is_in(repeated.implode())).collect(engine="streaming")
    ranked = [*EVENT, "ingestion_timestamp", *RECORD]
    slow = parse_slowly(rows.filter(~pl.col("payload").fill_null("").str.contains(FLAT)))
    valid = [
        parse_fast(rows.lazy()).select(ranked).collect(),
        slow.filter(pl.col("reason").is_null()).select(ranked),
    ]
    # Ascending, so a row has been replaced exactly when the next row is of the same event.
    replaced = pl.all_horizontal(pl.col(EVENT) == pl.col(EVENT).shift(-1))
    return pl.concat(valid).sort(ranked).filter(replaced).select(RECORD)


def usage_1min(silver: pl.LazyFrame) -> pl.LazyFrame:
    """Return requests, errors and bytes of each (tenant, plan, minute)."""
    minute = pl.col("event_timestamp").dt.truncate("1m").alias("window_start")
    usage = silver.group_by(*SERIES, minute).agg(
        pl.len().cast(pl.Int64).alias("requests"),
        (pl.col("status_code") >= FIRST_ERROR).sum().cast(pl.Int64).alias("errors"),
        (pl.col("request_bytes") + pl.col("response_bytes")).sum().alias("bytes"),
    )
    return usage.with_columns(
        (pl.col("requests") - LIMIT).clip(lower_bound=0).alias("over_limit_count"),
        pl.col("window_start").dt.date().alias("usage_date"),
    )


def usage_hourly(minutes: pl.LazyFrame) -> pl.LazyFrame:
    """Return the sums of each (tenant, plan, hour) and its busiest minute."""
    hour = pl.col("window_start").dt.truncate("1h")
    usage = minutes.group_by(*SERIES, hour, "usage_date").agg(
        pl.col("requests", "errors", "bytes", "over_limit_count").sum(),
        pl.col("requests").max().alias("peak_requests_per_minute"),
    )
    return usage.select(pl.exclude("usage_date"), "usage_date")


def usage_daily(hours: pl.LazyFrame) -> pl.LazyFrame:
    """Return the sums of each (tenant, plan, day) beside the mean of the seven days before it."""
    days = hours.group_by(*SERIES, "usage_date").agg(pl.col("requests", "errors", "bytes").sum())
    week = pl.col("requests").rolling_sum_by("usage_date", window_size="7d", closed="left")
    baseline = (week.over(SERIES).fill_null(0) / 7.0).alias("baseline_requests")
    ratio = pl.col("requests") / pl.col("baseline_requests").clip(lower_bound=1.0)
    return (
        days.with_columns(baseline)
        .with_columns(ratio.alias("usage_ratio"))
        .select(pl.exclude("usage_date"), "usage_date")
    )


def alerts(minutes: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per minute above the limit of its plan and per day of abuse."""
    abusive = (pl.col("requests") >= ABUSE_MIN_REQUESTS) & (pl.col("usage_ratio") >= ABUSE_MIN_RATIO)
    midnight = pl.col("usage_date").cast(pl.Datetime("us", "UTC"))
    over_limit = minutes.filter(pl.col("over_limit_count") > 0).select(
        *SERIES,
        pl.lit("over_limit").alias("alert_type"),
        pl.col("window_start").alias("alert_time"),
        "requests",
        LIMIT.alias("threshold"),
        "usage_date",
    )
    abuse = days.filter(abusive).select(
        *SERIES,
        pl.lit("abuse").alias("alert_type"),
        midnight.alias("alert_time"),
        "requests",
        pl.lit(ABUSE_MIN_REQUESTS, pl.Int64).alias("threshold"),
        "usage_date",
    )
    return pl.concat([over_limit, abuse])


def write(rows: pl.LazyFrame, target: Path, partition: str) -> pl.LazyFrame:
    """Write a table in partition folders and return a scan of it."""
    rows.sink_parquet(
        pl.PartitionBy(target, key=partition, include_key=False),
        mkdir=True,
        maintain_order=False,
        engine="streaming",
    )
    return scan(target)


def scan(target: Path) -> pl.LazyFrame:
    """Return a scan of a written table, with its partition column as a date."""
    return pl.scan_parquet(target / "*" / "*.parquet", hive_partitioning=True, try_parse_hive_dates=True)


def write_silver(bronze: pl.LazyFrame, out: Path) -> pl.LazyFrame:
    """Write Silver and its quarantine and return a scan of Silver."""
    target, quarantine = out / "silver" / "api_usage", out / "silver" / "api_usage_quarantine"
    superseded = find_superseded(bronze)
    current = bronze.join(superseded.lazy(), on=RECORD, how="anti")
    written = write(parse_fast(current), target, "event_date")
    # Whatever was neither superseded nor written. The keys alone say which rows: those that are there once.
    keys = sorted_numbers(pl.concat([bronze.select(RECORD), superseded.lazy(), written.select(RECORD)]), RECORD_NUMBER)
    alone = (keys != keys.shift(1, fill_value=-1)) & (keys != keys.shift(-1, fill_value=-1))
    unwritten = bronze.filter(RECORD_NUMBER.is_in(keys.filter(alone).implode()))
    rest = parse_slowly(unwritten.collect(engine="streaming"))
    for (day,), rows in rest.filter(pl.col("reason").is_null()).partition_by("event_date", as_dict=True).items():
        folder = target / f"event_date={day}"
        folder.mkdir(exist_ok=True)
        rows.select(SILVER).drop("event_date").write_parquet(folder / "slowly-parsed.parquet")
    rejected = rest.filter(pl.col("reason").is_not_null())
    write(rejected.lazy().select(*ENVELOPE, "payload", "reason", "event_date"), quarantine, "event_date")
    return scan(target)


def build(bronze: Path, out: Path) -> dict[str, int]:
    """Write all tables below ``out`` and return their row counts, keyed by folder."""
    source = pl.scan_parquet(bronze / "*" / "*.parquet", hive_partitioning=False)
    silver = write_silver(source, out)
    gold = out / "gold"
    minutes = write(usage_1min(silver), gold / "tenant_usage_1min", "usage_date")
    hours = write(usage_hourly(minutes), gold / "tenant_usage_hourly", "usage_date")
    days = write(usage_daily(hours), gold / "tenant_usage_daily", "usage_date")
    write(alerts(minutes, days), gold / "enforcement_alerts", "usage_date")
    return {folder: count(out / folder) for folder in FOLDERS}


def count(target: Path) -> int:
    """Return the rows of a table, 0 when it has no file."""
    files = list(target.glob("*/*.parquet"))
    return pl.scan_parquet(files).select(pl.len()).collect().item() if files else 0


def main() -> None:
    """Parse the command line, build, and print row counts and seconds as JSON."""
    parser = argparse.ArgumentParser(description="Build Silver and Gold with hand-written Polars.")
    parser.add_argument("bronze", type=Path, help="folder of ingestion_date=YYYY-MM-DD/*.parquet")
    parser.add_argument("out", type=Path, help="new folder for the tables")
    args = parser.parse_args()
    started = time.perf_counter()
    rows = build(args.bronze, args.out)
    print(json.dumps({"rows": rows, "seconds": round(time.perf_counter() - started, 2)}))


if __name__ == "__main__":
    main()
