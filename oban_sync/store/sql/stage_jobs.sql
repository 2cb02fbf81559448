-- Make due jobs available, and say of which queues and how soon the next one is due (seconds; null: none).
-- Locks the rows it stages; passes over rows that others hold.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), due AS (
  SELECT id
  FROM {schema}.oban_jobs
  WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= (SELECT now FROM moment)
  ORDER BY scheduled_at, id
  LIMIT %(limit)s
  FOR UPDATE SKIP LOCKED
), staged AS (
  UPDATE {schema}.oban_jobs AS j
  SET state = 'available'
  FROM due
  WHERE j.id = due.id
  RETURNING j.queue
)
SELECT
  coalesce((SELECT jsonb_object_agg(queue, n) FROM (SELECT queue, count(*) AS n FROM staged GROUP BY queue) AS q), '{{}}'),
  CAST((
    SELECT extract(epoch FROM min(scheduled_at) - (SELECT now FROM moment))
    FROM {schema}.oban_jobs
    WHERE state IN ('scheduled', 'retryable') AND scheduled_at > (SELECT now FROM moment) AND scheduled_at < 'infinity'
  ) AS float8),
  CAST(extract(epoch FROM (SELECT now FROM moment)) AS float8)
