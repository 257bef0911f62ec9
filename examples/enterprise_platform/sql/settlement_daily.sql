WITH paid AS (
    SELECT order_id, sum(amount_cents) AS paid_cents
    FROM payments
    GROUP BY order_id
)

SELECT
    count(*) AS orders,
    CAST(sum(orders.amount_cents) AS BIGINT) AS ordered_cents,
    CAST(sum(coalesce(paid.paid_cents, 0)) AS BIGINT) AS paid_cents,
    CAST(sum(orders.amount_cents - coalesce(paid.paid_cents, 0)) AS BIGINT) AS open_cents,
    orders.order_date
FROM orders
LEFT JOIN paid ON paid.order_id = orders.order_id
WHERE orders.status <> 'cancelled'
GROUP BY orders.order_date
