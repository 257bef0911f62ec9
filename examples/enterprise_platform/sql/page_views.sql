SELECT
    view_id,
    visitor,
    page,
    viewed_at,
    date_trunc('hour', viewed_at) AS view_hour
FROM views
