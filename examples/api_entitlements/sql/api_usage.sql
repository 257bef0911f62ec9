-- One row per event; which of its copies and corrections is the latest is declared with the dataset (keep).
SELECT
    event_id,
    event_timestamp,
    tenant_id,
    plan,
    endpoint,
    method,
    status_code,
    latency_ms,
    request_bytes,
    response_bytes,
    ingestion_timestamp,
    kafka_partition,
    kafka_offset,
    CAST(event_timestamp AS DATE) AS event_date
FROM records
