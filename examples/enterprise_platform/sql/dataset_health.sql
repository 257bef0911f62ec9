-- A row for each dataset and day. Completeness compares what arrived with what is held; duplicates are rows beyond one for
-- a key; freshness is the newest change that the day knows of.
WITH arrived AS (
    SELECT 'silver.orders' AS dataset, CAST(ordered_at AS DATE) AS health_date, count(DISTINCT order_id) AS keys_arrived
    FROM arrived_orders
    GROUP BY ALL
    UNION ALL
    SELECT 'silver.payments', CAST(paid_at AS DATE), count(DISTINCT payment_id)
    FROM arrived_payments
    GROUP BY ALL
    UNION ALL
    SELECT 'gold.revenue_daily', order_date, count(*)
    FROM orders
    GROUP BY ALL
),

held AS (
    SELECT
        'silver.orders' AS dataset,
        order_date AS health_date,
        count(*) AS rows_held,
        count(*) - count(DISTINCT order_id) AS duplicate_keys,
        count(*) FILTER (WHERE customer_id IS NULL OR amount_cents IS NULL OR status IS NULL) AS null_cells,
        max(updated_at) AS newest_change
    FROM orders
    GROUP BY ALL
    UNION ALL
    SELECT
        'silver.payments',
        payment_date,
        count(*),
        count(*) - count(DISTINCT payment_id),
        count(*) FILTER (WHERE order_id IS NULL OR amount_cents IS NULL OR method IS NULL),
        max(updated_at)
    FROM payments
    GROUP BY ALL
    UNION ALL
    SELECT
        'gold.revenue_daily',
        order_date,
        CAST(sum(orders) AS BIGINT),
        count(*) - count(DISTINCT country),
        count(*) FILTER (WHERE revenue_cents IS NULL),
        CAST(max(order_date) AS TIMESTAMPTZ)
    FROM revenue
    GROUP BY ALL
)

SELECT
    arrived.dataset,
    coalesce(held.rows_held, 0) AS rows_held,
    CAST(100.0 * coalesce(held.rows_held, 0) / arrived.keys_arrived AS DECIMAL(6,2)) AS complete_percent,
    coalesce(held.duplicate_keys, 0) AS duplicate_keys,
    coalesce(held.null_cells, 0) AS null_cells,
    held.newest_change,
    arrived.health_date
FROM arrived
LEFT JOIN held ON held.dataset = arrived.dataset AND held.health_date = arrived.health_date
