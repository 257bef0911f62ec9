SELECT
    entity_id,
    count(*) AS mentions,
    count(DISTINCT author_id) AS authors,
    CAST(sum(engagement) AS BIGINT) AS engagement,
    CAST(sum(sentiment) AS BIGINT) AS sentiment,
    event_date
FROM mentions
GROUP BY entity_id, event_date
