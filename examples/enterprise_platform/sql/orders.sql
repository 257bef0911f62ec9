SELECT
    order_id,
    customer_id,
    product,
    quantity,
    quantity * price_cents AS amount_cents,
    status,
    ordered_at,
    updated_at,
    CAST(ordered_at AS DATE) AS order_date
FROM orders
