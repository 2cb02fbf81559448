-- Complete a group of jobs that this owner still holds, by (id, attempt, owner). Safe to repeat.
-- Locks their rows. The state is compared as text so that the primary key, not an index on state, finds them; and the
-- arrays come from subqueries, so that no plan counts their elements: one for many would scan the table.
UPDATE {schema}.oban_jobs AS j
SET state = 'completed', completed_at = timezone('UTC', clock_timestamp())
FROM
  unnest((SELECT CAST(%(ids)s AS bigint[])), (SELECT CAST(%(attempts)s AS int[]))) AS done (id, attempt)
WHERE
  j.id = done.id
  AND j.attempt = done.attempt
  AND j.attempted_by[2] = %(owner)s
  AND j.state::text = 'executing'
RETURNING j.id
