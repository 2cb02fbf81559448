-- Take the first due jobs of a queue for this owner: executing, one attempt more. Beyond the free threads it takes no last
-- attempts, which a death of the process would discard unbegun. Locks what it takes; passes over what others hold.
WITH due AS MATERIALIZED (
  SELECT id, attempt, max_attempts, priority, scheduled_at
  FROM {schema}.oban_jobs
  WHERE state = 'available' AND queue = %(queue)s AND attempt < max_attempts
  ORDER BY priority, scheduled_at, id
  LIMIT %(demand)s
  FOR UPDATE SKIP LOCKED
), placed AS (
  SELECT id, attempt, max_attempts, row_number() OVER (ORDER BY priority, scheduled_at, id) AS place
  FROM due
)
UPDATE {schema}.oban_jobs AS j
SET
  state = 'executing',
  attempt = j.attempt + 1,
  attempted_at = timezone('UTC', clock_timestamp()),
  attempted_by = ARRAY[%(node)s, %(owner)s]
WHERE j.id = ANY (ARRAY(SELECT id FROM placed WHERE place <= %(free)s OR attempt + 1 < max_attempts))
RETURNING
  j.id, j.worker, j.attempt, j.max_attempts, j.priority, j.args, j.meta, j.tags, j.inserted_at, j.scheduled_at,
  j.attempted_at, CASE WHEN j.attempt > 1 THEN to_jsonb(j.errors) END,
  (SELECT count(*) FROM due),
  (SELECT CAST(extract(epoch FROM clock_timestamp() - statement_timestamp()) AS float8) FROM due LIMIT 1)
