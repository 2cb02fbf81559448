-- Make those jobs of a queue available that are due by an instant, or (null) whenever they are due. For drains in tests.
-- Locks the rows it stages; passes over rows that others hold.
WITH due AS (
  SELECT id
  FROM {schema}.oban_jobs
  WHERE
    state IN ('scheduled', 'retryable') AND queue = %(queue)s
    AND scheduled_at <= coalesce(CAST(%(until)s AS timestamp), 'infinity')
  FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.oban_jobs AS j
SET state = 'available'
FROM due
WHERE j.id = due.id
RETURNING j.id
