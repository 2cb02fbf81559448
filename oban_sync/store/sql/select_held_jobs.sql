-- Select the jobs that an owner holds, as the database sees it.
-- Locks nothing.
SELECT id, attempt
FROM {schema}.oban_jobs
WHERE state = 'executing' AND attempted_by[2] = %(owner)s
