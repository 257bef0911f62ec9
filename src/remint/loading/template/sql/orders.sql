-- The latest row of each order wins: its key is in the contract, the order of rows in datasets.py (keep).
SELECT
    order_id,
    customer_id,
    amount,
    status,
    ordered_at,
    updated_at,
    CAST(ordered_at AS DATE) AS order_date
FROM events
