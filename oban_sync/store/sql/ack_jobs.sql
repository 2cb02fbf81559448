-- End a group of runs in any way, for jobs that this owner still holds, by (id, attempt, owner). Safe to repeat.
-- Locks their rows. The state is compared as text so that the primary key, not an index on state, finds them.
UPDATE {schema}.oban_jobs AS j
SET
  state = done.state::{schema}.oban_job_state,
  attempt = j.attempt + done.attempt_change,
  meta = CASE WHEN done.meta IS NULL THEN j.meta ELSE j.meta || done.meta END,
  errors = CASE WHEN done.error IS NULL THEN j.errors ELSE j.errors || jsonb_build_object(
    'attempt', j.attempt,
    'at', to_char(moment.now, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'error', done.error
  ) END,
  scheduled_at = CASE WHEN done.delay IS NULL THEN j.scheduled_at ELSE moment.now + make_interval(secs => done.delay) END,
  completed_at = CASE WHEN done.state = 'completed' THEN moment.now ELSE j.completed_at END,
  cancelled_at = CASE WHEN done.state = 'cancelled' THEN moment.now ELSE j.cancelled_at END,
  discarded_at = CASE WHEN done.state = 'discarded' THEN moment.now ELSE j.discarded_at END
FROM
  json_to_recordset(CAST(%(outcomes)s AS json)) AS done (
    id bigint, attempt smallint, state text, attempt_change smallint, delay float8, error text, meta jsonb
  ),
  (SELECT timezone('UTC', clock_timestamp()) AS now) AS moment
WHERE
  j.id = done.id
  AND j.attempt = done.attempt
  AND j.attempted_by[2] = %(owner)s
  AND j.state::text = 'executing'
RETURNING j.id
