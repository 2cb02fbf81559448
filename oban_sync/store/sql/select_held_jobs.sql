-- Select the jobs that an owner holds, as the database sees it, and whether somebody asked each to stop since it began.
-- Locks nothing. Both times are text of one form, which sorts as they do.
SELECT
  id,
  attempt,
  meta ->> 'cancel_attempted_at' ~ '^[0-9]{{4}}-'
  AND (meta ->> 'cancel_attempted_at') COLLATE "C" >= to_jsonb(attempted_at) #>> '{{}}'
FROM {schema}.oban_jobs
WHERE state = 'executing' AND attempted_by[2] = %(owner)s
