-- Delete those of the next cancelled jobs, the oldest first, whose queues it is for; say how many it saw, deleted, and the last one's time.
-- Locks the rows it deletes; passes over rows that others hold.
WITH looked AS MATERIALIZED (
  SELECT id, queue, cancelled_at AS ended
  FROM {schema}.oban_jobs
  WHERE
    state = 'cancelled'
    AND cancelled_at >= CAST(%(since)s AS timestamp)
    AND cancelled_at < (SELECT timezone('UTC', clock_timestamp()) - make_interval(secs => %(age)s))
  ORDER BY cancelled_at
  LIMIT %(limit)s
), old AS (
  SELECT j.id
  FROM looked
  JOIN {schema}.oban_jobs AS j USING (id)
  WHERE
    (looked.queue = ANY (%(queues)s::text[])) = %(only)s
    AND j.state::text = 'cancelled'
    AND j.cancelled_at = looked.ended
  FOR UPDATE OF j SKIP LOCKED
), deleted AS (
  DELETE FROM {schema}.oban_jobs AS j
  USING old
  WHERE j.id = old.id
  RETURNING j.id
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM deleted), (SELECT max(ended)::text FROM looked)
