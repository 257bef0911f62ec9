SELECT
    tenant_id,
    plan,
    date_trunc('hour', window_start) AS window_start,
    sum(requests) AS requests,
    sum(errors) AS errors,
    sum(bytes) AS bytes,
    sum(over_limit_count) AS over_limit_count,
    max(requests) AS peak_requests_per_minute,
    usage_date
FROM minutes
GROUP BY tenant_id, plan, date_trunc('hour', minutes.window_start), usage_date
