-- Delete those of the next jobs that ended so, the oldest first, whose queues it is for; say how many it saw, deleted, and the last one's time.
-- Locks the rows it deletes; passes over rows that others hold.
WITH looked AS MATERIALIZED (
  SELECT id, queue, {state}_at AS ended
  FROM {schema}.oban_jobs
  WHERE
    state = '{state}'
    AND {state}_at >= CAST(%(since)s AS timestamp)
    AND {state}_at < (SELECT timezone('UTC', clock_timestamp()) - make_interval(secs => %(age)s))
  ORDER BY {state}_at
  LIMIT %(limit)s
), old AS (
  SELECT j.id
  FROM looked
  JOIN {schema}.oban_jobs AS j USING (id)
  WHERE
    (looked.queue = ANY (%(queues)s::text[])) = %(only)s
    AND j.state::text = '{state}'
    AND j.{state}_at = looked.ended
  FOR UPDATE OF j SKIP LOCKED
), deleted AS (
  DELETE FROM {schema}.oban_jobs AS j
  USING old
  WHERE j.id = old.id
  RETURNING j.id
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM deleted), (SELECT max(ended)::text FROM looked)
