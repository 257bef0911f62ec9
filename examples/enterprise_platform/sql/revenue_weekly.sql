SELECT
    days.country,
    CAST(sum(week.revenue_cents) AS BIGINT) AS revenue_cents,
    days.order_date
FROM days
JOIN days AS week
    ON week.country = days.country
    AND week.order_date BETWEEN days.order_date - INTERVAL 6 DAY AND days.order_date
GROUP BY days.country, days.order_date
