SELECT
    payment_id,
    order_id,
    method,
    amount_cents,
    paid_at,
    updated_at,
    CAST(paid_at AS DATE) AS payment_date
FROM payments
