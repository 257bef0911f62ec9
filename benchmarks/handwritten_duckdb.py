"""Build Silver and Gold of the API entitlements example with hand-written DuckDB, as a yardstick for remint.

Rules:
    * Every query is the fastest one measured that is correct for any Bronze, not just for the generated one.
    * No staging, no checks, no provenance: it writes plain Parquet into an empty folder, and that is all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import duckdb

PLAN_LIMITS = {"free": 60, "starter": 300, "professional": 1000, "enterprise": 5000}
ABUSE_MIN_REQUESTS = 500
ABUSE_MIN_RATIO = 5.0

FIELDS = {
    "tenant_id": "VARCHAR",
    "plan": "VARCHAR",
    "endpoint": "VARCHAR",
    "method": "VARCHAR",
    "status_code": "INTEGER",
    "latency_ms": "INTEGER",
    "request_bytes": "BIGINT",
    "response_bytes": "BIGINT",
}
JSON_TYPES = {name: "VARCHAR" if kind == "VARCHAR" else "UBIGINT" for name, kind in FIELDS.items()}
"""What json_type() says of a good value; UBIGINT also means not negative and not a fraction."""

PLANS = ", ".join(f"'{plan}'" for plan in PLAN_LIMITS)
LIMIT = "case plan " + " ".join(f"when '{plan}' then {limit}" for plan, limit in PLAN_LIMITS.items()) + " end"


def parsed(rows: str) -> str:
    """Return a query over ``rows`` that adds ``field`` (struct of FIELDS) and ``types`` (their JSON types).

    Both stand behind UNNEST, or DuckDB would push each condition below them and parse every payload once per
    condition. The types are asked for because json_transform casts: "200" to 200 and 2.6 to 3.
    """
    return f"""
        select * exclude (json),
            unnest([json_transform(json, '{json.dumps(FIELDS)}')]) as field,
            unnest([json_type(json, {[f"$.{name}" for name in FIELDS]})]) as types
        from (select *, case when json_valid(payload) then payload end as json from {rows})
    """


VALID = f"""
types = {list(JSON_TYPES.values())} and field.status_code between 100 and 599 and field.plan in ({PLANS})
and field.latency_ms is not null and field.request_bytes is not null and field.response_bytes is not null
"""

# One row per lost record. Only ids that occur twice can lose one, so the window sees few of the rows. Ids are
# counted by their hash, which is half the work; two ids of one hash are two needless candidates and no more.
SUPERSEDED = f"""
create temp table superseded as
with repeated as (
    select hash(event_id) as id_hash from bronze group by all having count(*) > 1
),
candidates as (
    select * from bronze semi join repeated on hash(bronze.event_id) = id_hash
)
select kafka_partition, kafka_offset from ({parsed("candidates")})
where {VALID}
qualify row_number() over (partition by event_timestamp::date, event_id
    order by ingestion_timestamp desc, kafka_partition desc, kafka_offset desc) > 1
"""

SILVER = f"""
select event_id, event_timestamp, {", ".join(f"field.{name}" for name in FIELDS)},
    ingestion_timestamp, kafka_partition, kafka_offset, event_timestamp::date as event_date
from ({parsed("bronze anti join superseded using (kafka_partition, kafka_offset)")})
where {VALID}
"""

TYPE_REASONS = "\n".join(
    f"    when coalesce(types[{i}], 'NULL') = 'NULL' then '{name} is missing'\n"
    f"    when types[{i}] not in ('{kind}', '{kind.lstrip('U')}') then '{name} has the wrong type'"
    for i, (name, kind) in enumerate(JSON_TYPES.items(), start=1)
)

# Whatever reached neither Silver nor SUPERSEDED: the keys alone say which rows, without a second parse.
QUARANTINE = f"""
with rejected as (
    select * from bronze
    anti join (
        select kafka_partition, kafka_offset from silver
        union all from superseded
    ) using (kafka_partition, kafka_offset)
)
select event_id, event_timestamp, kafka_partition, kafka_offset, ingestion_timestamp, payload, case
    when not coalesce(json_valid(payload), false) then 'payload is not valid JSON'
    when json_type(payload) <> 'OBJECT' then 'payload is not a JSON object'
{TYPE_REASONS}
    when not coalesce(field.status_code between 100 and 599, false) then 'status_code is not in 100 to 599'
    when field.plan not in ({PLANS}) then 'plan is unknown'
    else 'latency_ms, request_bytes or response_bytes is negative or too large' end as reason,
    event_timestamp::date as event_date
from ({parsed("rejected")})
"""

USAGE_1MIN = f"""
select *, greatest(requests - {LIMIT}, 0)::bigint as over_limit_count, window_start::date as usage_date
from (
    select tenant_id, plan, date_trunc('minute', event_timestamp) as window_start, count(*) as requests,
        count(*) filter (status_code >= 400) as errors, sum(request_bytes + response_bytes)::bigint as bytes
    from silver group by all
)
"""

USAGE_HOURLY = """
select tenant_id, plan, date_trunc('hour', window_start) as window_start, sum(requests)::bigint as requests,
    sum(errors)::bigint as errors, sum(bytes)::bigint as bytes,
    sum(over_limit_count)::bigint as over_limit_count, max(requests) as peak_requests_per_minute, usage_date
from usage_1min group by tenant_id, plan, date_trunc('hour', window_start), usage_date
"""

USAGE_DAILY = """
with days as (
    select tenant_id, plan, sum(requests)::bigint as requests, sum(errors)::bigint as errors,
        sum(bytes)::bigint as bytes, usage_date
    from usage_hourly group by tenant_id, plan, usage_date
),
with_baseline as (
    select *, coalesce(sum(requests) over trailing_week, 0) / 7.0::double as baseline_requests
    from days
    window trailing_week as (partition by tenant_id, plan order by usage_date
        range between interval 7 days preceding and interval 1 day preceding)
)
select tenant_id, plan, requests, errors, bytes, baseline_requests,
    requests / greatest(baseline_requests, 1.0::double) as usage_ratio, usage_date
from with_baseline
"""

ALERTS = f"""
select tenant_id, plan, 'over_limit' as alert_type, window_start as alert_time, requests,
    ({LIMIT})::bigint as threshold, usage_date
from usage_1min where over_limit_count > 0
union all
select tenant_id, plan, 'abuse', usage_date::timestamptz, requests, {ABUSE_MIN_REQUESTS}::bigint, usage_date
from usage_daily where requests >= {ABUSE_MIN_REQUESTS} and usage_ratio >= {ABUSE_MIN_RATIO}
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


def quoted(path: Path) -> str:
    """Return a path as a SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def build(bronze: Path, out: Path, memory_limit: str) -> dict[str, int]:
    """Write all tables below ``out`` and return their row counts, keyed by folder."""
    rows: dict[str, int] = {}
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("set preserve_insertion_order = false")
        con.execute(f"set memory_limit = '{memory_limit}'")
        con.execute(f"set temp_directory = {quoted(out / '.spill')}")
        con.execute(
            "create view bronze as select * from "
            f"read_parquet({quoted(bronze / '*' / '*.parquet')}, hive_partitioning = false)"
        )
        con.execute(SUPERSEDED)
        for view, folder, partition, sql in TABLES:
            target = out / folder
            target.mkdir(parents=True)
            options = f"format parquet, compression zstd, partition_by ({partition})"
            copied = con.execute(f"copy ({sql}) to {quoted(target)} ({options})")
            rows[folder] = copied.fetchall()[0][0]
            if rows[folder]:
                files, types = quoted(target / "*" / "*.parquet"), f"{{'{partition}': date}}"
                con.execute(f"create view {view} as from read_parquet({files}, hive_types = {types})")
            else:
                # No row, no file: what reads this table still needs its columns.
                con.execute(f"create temp table {view} as {sql} limit 0")
    return rows


def main() -> None:
    """Parse the command line, build, and print row counts and seconds as JSON."""
    parser = argparse.ArgumentParser(description="Build Silver and Gold with hand-written DuckDB.")
    parser.add_argument("bronze", type=Path, help="folder of ingestion_date=YYYY-MM-DD/*.parquet")
    parser.add_argument("out", type=Path, help="new folder for the tables")
    parser.add_argument("--memory-limit", default="2GB", help="memory limit of DuckDB")
    args = parser.parse_args()
    started = time.perf_counter()
    rows = build(args.bronze, args.out, args.memory_limit)
    print(json.dumps({"rows": rows, "seconds": round(time.perf_counter() - started, 2)}))


if __name__ == "__main__":
    main()
