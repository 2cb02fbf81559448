-- Select how far a job is from its run: seconds until it is due, seconds since it began, and what its queue runs before it.
-- Locks nothing. Counts at most so many jobs and one.
SELECT CAST(json_build_object(
  'due_seconds', CASE WHEN isfinite(j.scheduled_at) THEN
    CAST(extract(epoch FROM j.scheduled_at - timezone('UTC', clock_timestamp())) AS float8)
  END,
  'ran_seconds', CASE WHEN isfinite(j.attempted_at) THEN
    CAST(extract(epoch FROM timezone('UTC', clock_timestamp()) - j.attempted_at) AS float8)
  END,
  'ahead', ahead.count,
  'urgent', ahead.urgent
) AS text)
FROM {schema}.oban_jobs AS j
CROSS JOIN LATERAL (
  SELECT count(*) AS count, count(*) FILTER (WHERE before.priority < j.priority) AS urgent
  FROM (
    SELECT o.priority
    FROM {schema}.oban_jobs AS o
    WHERE
      o.state = 'available' AND o.queue = j.queue
      AND (o.priority, o.scheduled_at, o.id) < (j.priority, j.scheduled_at, j.id)
    LIMIT %(most)s + 1
  ) AS before
) AS ahead
WHERE j.id = %(id)s
