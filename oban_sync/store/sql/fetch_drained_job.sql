-- Take the first job of a queue that is available, out of some ids or (null) of all: executing, one attempt more. For
-- drains in tests; gives the job as JSON, which drivers do not decode. Locks what it takes; passes over what others hold.
UPDATE {schema}.oban_jobs AS j
SET
  state = 'executing',
  attempt = j.attempt + 1,
  attempted_at = timezone('UTC', clock_timestamp()),
  attempted_by = ARRAY[%(node)s::text, %(owner)s::text]
WHERE j.id = (
  SELECT id
  FROM {schema}.oban_jobs
  WHERE
    state = 'available' AND queue = %(queue)s AND attempt < max_attempts
    AND id = ANY (coalesce(CAST(%(ids)s AS bigint[]), ARRAY[id]))
  ORDER BY priority, scheduled_at, id
  LIMIT 1
  FOR UPDATE SKIP LOCKED
)
RETURNING CAST(row_to_json(j) AS text)
