"""TradeX: posts of a social network to Bronze, events and mentions to Silver, metrics, baselines and signals to Gold."""

from lexicon import NEGATIVE, POSITIVE
from scoring import FIRES_AT, LEAST_HISTORY, LEAST_MENTIONS
from versions import BASELINE_VERSION, EVENT_VERSION, FEATURE_VERSION, SIGNAL_VERSION

from remint import (
    arrivals,
    bronze,
    by_arrival,
    day,
    files,
    gold,
    http_pages,
    latest,
    logic_version,
    same,
    silver,
    trailing,
)

bronze(
    "x_posts",
    partition=day("ingestion_date"),
    source=http_pages(
        "http://127.0.0.1:8787/2/posts",
        page_size=500,
        since_param="since",
        until_param="until",
        window_days=5,
        headers_env={"Authorization": "Bearer {X_TOKEN}"},
        ingested_at="ingested_at",
    ),
    arrivals=arrivals("created_at", key=("post_id",)),
    description="Every version of every post, as the API told it",
)

bronze(
    "entities",
    partition=day("list_date"),
    source=files("entities/*.csv", format="csv"),
    description="The companies with their aliases; each list is whole and has a date, and the newest one counts",
)

silver(
    "social_events",
    partition=day("event_date"),
    inputs={"posts": by_arrival("bronze.x_posts")},
    keep=("updated_at",),
    sql="sql/social_events.sql",
    version=EVENT_VERSION,
    metrics={"posts": "sum(copies)", "authors": "count(DISTINCT author_id)"},
    description="One row for each thing that an author said on a day: newest versions of posts, copies counted once",
)


def told(text: str, phrases: tuple[str, ...]) -> str:
    """Return SQL that counts how many of the phrases stand in the column ``text``."""
    return " + ".join(f"CAST(contains(' ' || {text} || ' ', ' {phrase} ') AS INTEGER)" for phrase in phrases)


@silver(
    "mentions",
    partition=day("event_date"),
    inputs={"events": same("silver.social_events"), "entities": latest("bronze.entities")},
    version=FEATURE_VERSION,
    metrics={"mentions": "count(*)", "sentiment": "sum(sentiment)"},
)
def mentions() -> str:
    """Which companies an event is about: cashtags, names, nicknames and misspellings become an entity_id."""
    return f"""
        WITH aliases AS (
            SELECT DISTINCT
                entity_id,
                trim(regexp_replace(strip_accents(lower(alias)), '[^a-z0-9$]+', ' ', 'g')) AS alias
            FROM entities
        )
        SELECT DISTINCT
            events.post_id,
            aliases.entity_id,
            events.author_id,
            events.likes + events.reposts AS engagement,
            CAST(sign(({told("events.text_normalised", POSITIVE)}) - ({told("events.text_normalised", NEGATIVE)}))
                AS INTEGER) AS sentiment,
            events.event_date
        FROM events
        JOIN aliases ON contains(' ' || events.text_normalised || ' ', ' ' || aliases.alias || ' ')
    """


gold(
    "metrics_daily",
    partition=day("event_date"),
    inputs={"mentions": same("silver.mentions")},
    sql="sql/metrics_daily.sql",
    version=FEATURE_VERSION,
    metrics={"mentions": "sum(mentions)", "engagement": "sum(engagement)"},
    description="What was said about a company on a day",
)

gold(
    "baselines",
    partition=day("event_date"),
    inputs={"metrics": trailing("gold.metrics_daily", before=28)},
    sql="sql/baselines.sql",
    version=logic_version(BASELINE_VERSION),
    metrics={"mean_mentions": "avg(mean_mentions)"},
    description="What is usual for a company: mean, median and spread of the 28 days before",
)


@gold(
    "signals",
    partition=day("event_date"),
    inputs={"metrics": same("gold.metrics_daily"), "baselines": same("gold.baselines")},
    version=logic_version(SIGNAL_VERSION, column="signal_version", old="deprecate"),
    metrics={"signals_fired": "count(*) FILTER (WHERE fired)", "mean_score": "avg(score)"},
)
def signals() -> str:
    """How unusual a company's day is against its baseline, and whether that is a signal."""
    return f"""
        WITH scored AS (
            SELECT
                metrics.entity_id,
                metrics.mentions,
                metrics.sentiment,
                baselines.history_days,
                CAST(
                    (metrics.mentions - CAST(baselines.mean_mentions AS DOUBLE))
                    / greatest(CAST(baselines.deviation AS DOUBLE), 1)
                    AS DECIMAL(12,2)
                ) AS score,
                metrics.event_date
            FROM metrics
            JOIN baselines
                ON baselines.entity_id = metrics.entity_id AND baselines.event_date = metrics.event_date
        )
        SELECT
            entity_id,
            mentions,
            score,
            CASE WHEN sentiment > 0 THEN 'up' WHEN sentiment < 0 THEN 'down' ELSE 'flat' END AS direction,
            score >= {FIRES_AT} AND mentions >= {LEAST_MENTIONS} AND history_days >= {LEAST_HISTORY} AS fired,
            event_date
        FROM scored
    """
