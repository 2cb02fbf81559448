-- Complete a group of jobs that this owner still holds, by (id, attempt, owner). Safe to repeat.
-- Locks their rows. The state is compared as text so that the primary key, not an index on state, finds them.
UPDATE {schema}.oban_jobs AS j
SET state = 'completed', completed_at = timezone('UTC', clock_timestamp())
FROM unnest(CAST(%(ids)s AS bigint[]), CAST(%(attempts)s AS int[])) AS done (id, attempt)
WHERE
  j.id = done.id
  AND j.attempt = done.attempt
  AND j.attempted_by[2] = %(owner)s
  AND j.state::text = 'executing'
RETURNING j.id
