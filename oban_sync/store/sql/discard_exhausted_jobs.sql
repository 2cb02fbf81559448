-- Discard jobs that wait to run although their attempts are used up; looks at the head of the queue, where they gather.
-- Locks the rows it discards; passes over rows that others hold.
WITH head AS (
  SELECT id, attempt, max_attempts
  FROM {schema}.oban_jobs
  WHERE state = 'available' AND queue = %(queue)s
  ORDER BY priority, scheduled_at, id
  LIMIT 1000
), spent AS (
  SELECT j.id
  FROM {schema}.oban_jobs AS j
  JOIN head USING (id)
  WHERE head.attempt >= head.max_attempts AND j.state::text = 'available' AND j.attempt >= j.max_attempts
  FOR UPDATE OF j SKIP LOCKED
)
UPDATE {schema}.oban_jobs AS j
SET state = 'discarded', discarded_at = timezone('UTC', clock_timestamp())
FROM spent
WHERE j.id = spent.id
RETURNING j.id
