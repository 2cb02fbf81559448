-- Take the first due jobs of a queue for this owner: executing, one attempt more.
-- Locks the rows it takes; passes over rows that others hold.
UPDATE {schema}.oban_jobs AS j
SET
  state = 'executing',
  attempt = j.attempt + 1,
  attempted_at = timezone('UTC', clock_timestamp()),
  attempted_by = ARRAY[%(node)s, %(owner)s]
WHERE j.id = ANY (ARRAY(
  SELECT id
  FROM {schema}.oban_jobs
  WHERE state = 'available' AND queue = %(queue)s AND attempt < max_attempts
  ORDER BY priority, scheduled_at, id
  LIMIT %(demand)s
  FOR UPDATE SKIP LOCKED
))
RETURNING
  j.id, j.worker, j.attempt, j.max_attempts, j.priority, j.args, j.meta, j.tags, j.inserted_at, j.scheduled_at,
  j.attempted_at, CASE WHEN j.attempt > 1 THEN to_jsonb(j.errors) END
