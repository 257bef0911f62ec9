"""Build Silver and Gold of the API entitlements example with hand-written PySpark, as a yardstick for remint on Spark.

Rules:
    * Every job is the fastest one measured that is correct for this Bronze: rows that are late, repeated or broken.
    * No staging, no checks, no provenance: it writes plain Parquet into an empty folder, and that is all.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from handwritten_duckdb import ABUSE_MIN_RATIO, ABUSE_MIN_REQUESTS, LIMIT, PLANS

TEXTS = ("tenant_id", "plan", "endpoint", "method")
NUMBERS = {"status_code": "INT", "latency_ms": "INT", "request_bytes": "BIGINT", "response_bytes": "BIGINT"}
SCHEMA = ", ".join([*(f"{name} STRING" for name in TEXTS), *(f"{name} {kind}" for name, kind in NUMBERS.items())])
FIELDS = [*TEXTS, *NUMBERS]

# A number that is a text, or has a fraction, or does not fit, comes out as NULL; a text is taken as it stands.
PARSED = f"SELECT *, from_json(payload, '{SCHEMA}') AS field FROM bronze"

VALID = f"""
field.status_code BETWEEN 100 AND 599 AND field.plan IN ({PLANS}) AND field.latency_ms >= 0
AND field.request_bytes >= 0 AND field.response_bytes >= 0
AND field.tenant_id IS NOT NULL AND field.endpoint IS NOT NULL AND field.method IS NOT NULL
"""

# Rows of one event meet where their day is put together: one shuffle serves the window and the files.
SILVER = f"""
SELECT event_id, event_timestamp, {", ".join(f"field.{name}" for name in FIELDS)},
    ingestion_timestamp, kafka_partition, kafka_offset, event_date
FROM (
    SELECT *, row_number() OVER (PARTITION BY event_date, event_id
        ORDER BY ingestion_timestamp DESC, kafka_partition DESC, kafka_offset DESC) AS place
    FROM (
        SELECT /*+ REPARTITION(event_date) */ *, CAST(event_timestamp AS DATE) AS event_date
        FROM ({PARSED}) WHERE {VALID}
    )
) WHERE place = 1
"""

TYPE_REASONS = "\n".join(
    f"    WHEN coalesce(kind_{name}, 'VOID') = 'VOID' THEN '{name} is missing'\n"
    f"    WHEN kind_{name} <> '{'STRING' if name in TEXTS else 'BIGINT'}' THEN '{name} has the wrong type'"
    for name in FIELDS
)

QUARANTINE = f"""
SELECT event_id, event_timestamp, kafka_partition, kafka_offset, ingestion_timestamp, payload, CASE
    WHEN held IS NULL THEN 'payload is not valid JSON'
    WHEN schema_of_variant(held) NOT LIKE 'OBJECT%' THEN 'payload is not a JSON object'
{TYPE_REASONS}
    WHEN NOT coalesce(field.status_code BETWEEN 100 AND 599, false) THEN 'status_code is not in 100 to 599'
    WHEN field.plan NOT IN ({PLANS}) THEN 'plan is unknown'
    ELSE 'latency_ms, request_bytes or response_bytes is negative or too large' END AS reason,
    CAST(event_timestamp AS DATE) AS event_date
FROM (
    SELECT *, {", ".join(f"schema_of_variant(variant_get(held, '$.{n}')) AS kind_{n}" for n in FIELDS)}
    FROM (SELECT *, try_parse_json(payload) AS held FROM ({PARSED}) WHERE NOT coalesce({VALID}, false))
)
"""

USAGE_1MIN = f"""
SELECT *, greatest(requests - {LIMIT}, 0) AS over_limit_count, CAST(window_start AS DATE) AS usage_date
FROM (
    SELECT tenant_id, plan, date_trunc('minute', event_timestamp) AS window_start, count(*) AS requests,
        count_if(status_code >= 400) AS errors, sum(request_bytes + response_bytes) AS bytes
    FROM silver GROUP BY ALL
)
"""

USAGE_HOURLY = """
SELECT tenant_id, plan, date_trunc('hour', window_start) AS window_start, sum(requests) AS requests,
    sum(errors) AS errors, sum(bytes) AS bytes, sum(over_limit_count) AS over_limit_count,
    max(requests) AS peak_requests_per_minute, usage_date
FROM usage_1min GROUP BY tenant_id, plan, date_trunc('hour', window_start), usage_date
"""

USAGE_DAILY = """
WITH days AS (
    SELECT tenant_id, plan, sum(requests) AS requests, sum(errors) AS errors, sum(bytes) AS bytes, usage_date
    FROM usage_hourly GROUP BY tenant_id, plan, usage_date
),
with_baseline AS (
    SELECT *, coalesce(sum(requests) OVER (PARTITION BY tenant_id, plan ORDER BY usage_date
        RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND INTERVAL '1' DAY PRECEDING), 0) / 7.0D AS baseline_requests
    FROM days
)
SELECT tenant_id, plan, requests, errors, bytes, baseline_requests,
    requests / greatest(baseline_requests, 1.0D) AS usage_ratio, usage_date
FROM with_baseline
"""

ALERTS = f"""
SELECT tenant_id, plan, 'over_limit' AS alert_type, window_start AS alert_time, requests,
    CAST({LIMIT} AS BIGINT) AS threshold, usage_date
FROM usage_1min WHERE over_limit_count > 0
UNION ALL
SELECT tenant_id, plan, 'abuse', CAST(usage_date AS TIMESTAMP), requests,
    CAST({ABUSE_MIN_REQUESTS} AS BIGINT), usage_date
FROM usage_daily WHERE requests >= {ABUSE_MIN_REQUESTS} AND usage_ratio >= {ABUSE_MIN_RATIO}
"""

TABLES = (
    ("silver", "silver/api_usage", "event_date", SILVER),
    ("quarantine", "silver/api_usage_quarantine", "event_date", QUARANTINE),
    ("usage_1min", "gold/tenant_usage_1min", "usage_date", USAGE_1MIN),
    ("usage_hourly", "gold/tenant_usage_hourly", "usage_date", USAGE_HOURLY),
    ("usage_daily", "gold/tenant_usage_daily", "usage_date", USAGE_DAILY),
    ("alerts", "gold/enforcement_alerts", "usage_date", ALERTS),
)
"""View name, folder, partition column and query, in the order in which they read each other."""


def session(master: str, memory: str) -> Any:
    """Return a Spark of this process, with nothing on that the job does not need."""
    from pyspark.sql import SparkSession

    warnings.simplefilter("ignore")
    builder: Any = SparkSession.builder.master(master)
    for name, value in {
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    }.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def build(spark: Any, bronze: Path, out: Path) -> None:
    """Write all tables below ``out``."""
    spark.read.parquet(str(bronze)).createOrReplaceTempView("bronze")
    for view, folder, partition, sql in TABLES:
        target = str(out / folder)
        frame = spark.sql(sql)
        # Silver is put together by day already; elsewhere Spark does it while it writes, and splits what is too large.
        cut = frame if view == "silver" else frame.hint("rebalance", partition)
        cut.write.partitionBy(partition).parquet(target)
        spark.read.schema(frame.schema).parquet(target).createOrReplaceTempView(view)


def main() -> None:
    """Parse the command line, build, and print seconds, and row counts where they are asked for, as JSON."""
    parser = argparse.ArgumentParser(description="Build Silver and Gold with hand-written PySpark.")
    parser.add_argument("bronze", type=Path, help="folder of ingestion_date=YYYY-MM-DD/*.parquet")
    parser.add_argument("out", type=Path, help="new folder for the tables")
    parser.add_argument("--master", default="local[2]", help="as Spark spells it")
    parser.add_argument("--memory", default="1536m", help="of the driver, as Java spells it")
    parser.add_argument("--count", action="store_true", help="count the rows, when all is written")
    args = parser.parse_args()
    started = time.perf_counter()
    spark = session(args.master, args.memory)
    build(spark, args.bronze, args.out)
    seconds = round(time.perf_counter() - started, 2)
    rows = {folder: spark.table(view).count() for view, folder, *_ in TABLES} if args.count else {}
    print(json.dumps({"rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    main()
