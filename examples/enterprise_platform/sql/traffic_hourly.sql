SELECT
    page,
    count(*) AS views,
    count(DISTINCT visitor) AS visitors,
    view_hour
FROM views
GROUP BY page, view_hour
