"""API usage and entitlements: Kafka records to Bronze, Silver per event, Gold per minute, hour and day, and alerts."""

from plan_limits import ABUSE_RATIO, ABUSE_REQUESTS, PLAN_LIMITS, VERSION
from remint import arrivals, bronze, by_arrival, day, files, gold, json_payload, same, silver, trailing

bronze(
    "api_usage",
    partition=day("ingestion_date"),
    source=files("landing/**/*.jsonl.gz", format="jsonl"),
    arrivals=arrivals("event_timestamp"),
    description="Kafka records as the gateway sent them, one row per partition and offset",
)

silver(
    "api_usage",
    version=1,
    partition=day("event_date"),
    inputs={"records": by_arrival("bronze.api_usage")},
    parse=json_payload(
        "records",
        column="payload",
        fields={
            "tenant_id": "VARCHAR",
            "plan": "VARCHAR",
            "endpoint": "VARCHAR",
            "method": "VARCHAR",
            "status_code": "INTEGER",
            "latency_ms": "INTEGER",
            "request_bytes": "BIGINT",
            "response_bytes": "BIGINT",
        },
        rules={
            "status_code is between 100 and 599": "status_code BETWEEN 100 AND 599",
            "latency_ms is not negative": "latency_ms >= 0",
            "request_bytes is not negative": "request_bytes >= 0",
            "response_bytes is not negative": "response_bytes >= 0",
            "plan is one we sell": "plan IN ('free', 'starter', 'professional', 'enterprise')",
        },
    ),
    keep=("ingestion_timestamp", "kafka_partition", "kafka_offset"),
    sql="sql/api_usage.sql",
    description="One row per event: parsed, validated, the latest of its copies and corrections",
)


def limit_of(plan: str) -> str:
    """Return SQL for the limit of the plan in column ``plan``."""
    branches = " ".join(f"WHEN '{name}' THEN {limit}" for name, limit in PLAN_LIMITS.items())
    return f"CASE {plan} {branches} END"


@gold("tenant_usage_1min", partition=day("usage_date"), inputs={"events": same("silver.api_usage")}, version=VERSION)
def tenant_usage_1min() -> str:
    """Requests, errors, bytes and requests over the plan's limit, per tenant and minute."""
    return f"""
        SELECT
            tenant_id,
            plan,
            date_trunc('minute', event_timestamp) AS window_start,
            count(*) AS requests,
            count(*) FILTER (WHERE status_code >= 400) AS errors,
            sum(request_bytes + response_bytes) AS bytes,
            greatest(count(*) - {limit_of("plan")}, 0) AS over_limit_count,
            event_date AS usage_date
        FROM events
        GROUP BY tenant_id, plan, window_start, event_date
    """


gold(
    "tenant_usage_hourly",
    version=1,
    partition=day("usage_date"),
    inputs={"minutes": same("gold.tenant_usage_1min")},
    sql="sql/tenant_usage_hourly.sql",
    description="The same per tenant and hour, with the busiest minute",
)

gold(
    "tenant_usage_daily",
    version=1,
    partition=day("usage_date"),
    inputs={"hours": trailing("gold.tenant_usage_hourly", before=7)},
    sql="sql/tenant_usage_daily.sql",
    description="The same per tenant and day, against the mean of the 7 days before",
)


@gold(
    "enforcement_alerts",
    version=VERSION,
    partition=day("usage_date"),
    inputs={"minutes": same("gold.tenant_usage_1min"), "days": same("gold.tenant_usage_daily")},
    metrics={
        "over_limit_alerts": "count(*) FILTER (WHERE alert_type = 'over_limit')",
        "over_limit_alerts_free": "count(*) FILTER (WHERE alert_type = 'over_limit' AND plan = 'free')",
        "abuse_alerts": "count(*) FILTER (WHERE alert_type = 'abuse')",
    },
)
def enforcement_alerts() -> str:
    """Minutes over the plan's limit, and days far above a tenant's own baseline."""
    return f"""
        SELECT
            tenant_id, plan, 'over_limit' AS alert_type, window_start AS alert_time,
            requests, CAST({limit_of("plan")} AS BIGINT) AS threshold, usage_date
        FROM minutes
        WHERE over_limit_count > 0
        UNION ALL
        SELECT
            tenant_id, plan, 'abuse' AS alert_type, CAST(usage_date AS TIMESTAMPTZ) AS alert_time,
            requests, CAST({ABUSE_REQUESTS} AS BIGINT) AS threshold, usage_date
        FROM days
        WHERE requests >= {ABUSE_REQUESTS} AND usage_ratio >= {ABUSE_RATIO}
    """
