-- The newest version of each post first, whichever day it names; then copies: what one author says twice on a day, apart
-- from case, accents, punctuation and an edit mark, counts once. The first of the copies stays, and says how many there were.
WITH newest AS (
    SELECT *
    FROM posts
    QUALIFY row_number() OVER (PARTITION BY post_id ORDER BY updated_at DESC) = 1
),

normalised AS (
    SELECT
        *,
        CAST(created_at AS DATE) AS event_date,
        trim(regexp_replace(replace(strip_accents(lower(text)), '(edit)', ' '), '[^a-z0-9$]+', ' ', 'g'))
            AS text_normalised
    FROM newest
),

counted AS (
    SELECT
        *,
        count(*) OVER (PARTITION BY event_date, author_id, text_normalised) AS copies,
        row_number() OVER (
            PARTITION BY event_date, author_id, text_normalised
            ORDER BY created_at, post_id
        ) AS place
    FROM normalised
)

SELECT
    post_id,
    author_id,
    created_at,
    updated_at,
    lang,
    text,
    text_normalised,
    likes,
    reposts,
    copies,
    event_date
FROM counted
WHERE place = 1
