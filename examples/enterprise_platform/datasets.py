"""The lakehouse of an enterprise: four sources to Bronze, upserts by key to Silver, metrics and monitoring to Gold."""

from metrics import NO_REVENUE
from versions import ORDER_VERSION, REVENUE_VERSION

from remint import arrivals, bronze, by_arrival, day, files, gold, hour, latest, same, silver, trailing

bronze(
    "orders",
    partition=day("extract_date"),
    source=files("landing/orders/{date}*.csv", format="csv"),
    arrivals=arrivals("ordered_at", key=("order_id",)),
    description="Every version of every order, as the ERP exported it",
)

bronze(
    "payments",
    partition=day("extract_date"),
    source=files("landing/payments/{date}*.jsonl", format="jsonl"),
    arrivals=arrivals("paid_at", key=("payment_id",)),
    description="Every version of every payment, as the provider reported it",
)

bronze(
    "page_views",
    partition=day("extract_date"),
    source=files("landing/page_views/*.parquet", format="parquet"),
    arrivals=arrivals("viewed_at", grain="hour"),
    description="Page views, as the web collector wrote them",
)

bronze(
    "customers",
    partition=day("list_date"),
    source=files("landing/customers/*.csv", format="csv"),
    description="The customers; each list is whole and has a date, and the newest one counts",
)

# MERGE: keep says that the newest version of a key wins, among all versions that ever arrived.
silver(
    "orders",
    partition=day("order_date"),
    inputs={"orders": by_arrival("bronze.orders")},
    keep=("updated_at",),
    sql="sql/orders.sql",
    version=ORDER_VERSION,
    metrics={"orders": "count(*)", "amount_cents": "sum(amount_cents)"},
    description="One row for each order: its newest version",
)

silver(
    "payments",
    partition=day("payment_date"),
    inputs={"payments": by_arrival("bronze.payments")},
    keep=("updated_at",),
    sql="sql/payments.sql",
    metrics={"payments": "count(*)", "amount_cents": "sum(amount_cents)"},
    description="One row for each payment: its newest version",
)

silver(
    "page_views",
    partition=hour("view_hour"),
    inputs={"views": by_arrival("bronze.page_views")},
    keep=("viewed_at",),
    sql="sql/page_views.sql",
    description="One row for each view of a page, by the hour",
)


@gold(
    "revenue_daily",
    partition=day("order_date"),
    inputs={"orders": same("silver.orders"), "customers": latest("bronze.customers")},
    version=REVENUE_VERSION,
    metrics={"revenue_cents": "sum(revenue_cents)"},
)
def revenue_daily() -> str:
    """Orders and revenue by country and day."""
    without = ", ".join(f"'{status}'" for status in NO_REVENUE)
    return f"""
        SELECT
            customers.country,
            count(*) AS orders,
            CAST(sum(CASE WHEN orders.status IN ({without}) THEN 0 ELSE orders.amount_cents END) AS BIGINT)
                AS revenue_cents,
            orders.order_date
        FROM orders
        JOIN customers ON customers.customer_id = orders.customer_id
        GROUP BY customers.country, orders.order_date
    """


gold(
    "revenue_weekly",
    partition=day("order_date"),
    inputs={"days": trailing("gold.revenue_daily", before=6)},
    sql="sql/revenue_weekly.sql",
    metrics={"revenue_cents": "sum(revenue_cents)"},
    description="Revenue of a country in the seven days that end with a day",
)

gold(
    "settlement_daily",
    partition=day("order_date"),
    inputs={"orders": same("silver.orders"), "payments": same("silver.payments")},
    sql="sql/settlement_daily.sql",
    metrics={"open_cents": "sum(open_cents)"},
    description="What was ordered against what was paid, by day",
)

gold(
    "traffic_hourly",
    partition=hour("view_hour"),
    inputs={"views": same("silver.page_views")},
    sql="sql/traffic_hourly.sql",
    description="Views and visitors of each page, by the hour",
)

gold(
    "dataset_health",
    partition=day("health_date"),
    inputs={
        "arrived_orders": by_arrival("bronze.orders"),
        "orders": same("silver.orders"),
        "arrived_payments": by_arrival("bronze.payments"),
        "payments": same("silver.payments"),
        "revenue": same("gold.revenue_daily"),
    },
    sql="sql/dataset_health.sql",
    metrics={"duplicate_keys": "sum(duplicate_keys)", "null_cells": "sum(null_cells)", "rows_held": "sum(rows_held)"},
    description="The monitoring table: volume, completeness, duplicates, nulls and freshness of each dataset and day",
)
