-- Select the ticks for which periodic jobs were inserted since an instant, by whomever.
-- Locks nothing. Steps back along the primary key, each time twice as far, so that it reads little more than the newest jobs.
WITH RECURSIVE back (id, inserted_at, step) AS (
  (
    SELECT id, inserted_at, CAST(1000 AS bigint)
    FROM {schema}.oban_jobs
    ORDER BY id DESC
    LIMIT 1
  )
  UNION ALL
  SELECT older.id, older.inserted_at, back.step * 2
  FROM back
  CROSS JOIN LATERAL (
    SELECT j.id, j.inserted_at
    FROM {schema}.oban_jobs AS j
    WHERE j.id <= back.id - back.step
    ORDER BY j.id DESC
    LIMIT 1
  ) AS older
  WHERE back.inserted_at >= CAST(%(since)s AS timestamp)
)
SELECT meta ->> 'cron_name', meta ->> 'cron_at'
FROM {schema}.oban_jobs
WHERE
  id >= (SELECT CASE WHEN bool_or(inserted_at < CAST(%(since)s AS timestamp)) THEN min(id) ELSE 0 END FROM back)
  AND inserted_at >= CAST(%(since)s AS timestamp)
  AND meta ->> 'cron_name' = ANY (%(names)s::text[])
