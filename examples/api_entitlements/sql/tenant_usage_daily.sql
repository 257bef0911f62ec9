-- A day without requests counts as none, so the baseline is always a seventh of the 7 days before.
WITH daily AS (
    SELECT
        tenant_id,
        plan,
        usage_date,
        CAST(sum(requests) AS BIGINT) AS requests,
        CAST(sum(errors) AS BIGINT) AS errors,
        CAST(sum(bytes) AS BIGINT) AS bytes
    FROM hours
    GROUP BY tenant_id, plan, usage_date
),

baselined AS (
    SELECT
        *,
        coalesce(sum(requests) OVER week_before, 0) / CAST(7 AS DOUBLE) AS baseline_requests
    FROM daily
    WINDOW week_before AS (
        PARTITION BY tenant_id, plan
        ORDER BY usage_date
        RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND INTERVAL 1 DAY PRECEDING
    )
)

SELECT
    tenant_id,
    plan,
    requests,
    errors,
    bytes,
    baseline_requests,
    requests / greatest(baseline_requests, CAST(1 AS DOUBLE)) AS usage_ratio,
    usage_date
FROM baselined
