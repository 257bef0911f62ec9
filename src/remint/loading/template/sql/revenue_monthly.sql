SELECT
    CAST(date_trunc('month', order_date) AS DATE) AS order_month,
    CAST(sum(orders) AS BIGINT) AS orders,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue
FROM days
GROUP BY order_month
