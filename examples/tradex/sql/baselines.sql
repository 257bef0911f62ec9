-- A day of the window without a mention counts as none; a day that the source never delivered does not count at all.
-- Sums are of whole numbers, and each figure is one division or one root of them, so any order gives the same.
WITH days AS (
    SELECT DISTINCT event_date FROM metrics
),

history AS (
    SELECT own.event_date, past.event_date AS past_date
    FROM days AS own
    JOIN days AS past
        ON past.event_date >= own.event_date - INTERVAL 28 DAY AND past.event_date < own.event_date
),

companies AS (
    SELECT DISTINCT own.event_date, metrics.entity_id
    FROM days AS own
    JOIN metrics
        ON metrics.event_date >= own.event_date - INTERVAL 28 DAY AND metrics.event_date <= own.event_date
),

observed AS (
    SELECT
        companies.event_date,
        companies.entity_id,
        history.past_date,
        CASE WHEN history.past_date IS NULL THEN NULL ELSE coalesce(metrics.mentions, 0) END AS mentions
    FROM companies
    LEFT JOIN history ON history.event_date = companies.event_date
    LEFT JOIN metrics ON metrics.event_date = history.past_date AND metrics.entity_id = companies.entity_id
),

summed AS (
    SELECT
        event_date,
        entity_id,
        count(past_date) AS history_days,
        coalesce(sum(mentions), 0) AS total,
        coalesce(sum(mentions * mentions), 0) AS squares,
        coalesce(median(mentions), 0) AS median_mentions
    FROM observed
    GROUP BY event_date, entity_id
)

SELECT
    entity_id,
    history_days,
    CAST(total / greatest(history_days, 1) AS DECIMAL(12,4)) AS mean_mentions,
    CAST(median_mentions AS DECIMAL(12,1)) AS median_mentions,
    CAST(sqrt(history_days * squares - total * total) / greatest(history_days, 1) AS DECIMAL(12,4)) AS deviation,
    event_date
FROM summed
