-- Count jobs.
-- Locks nothing.
SELECT count(*)
FROM {schema}.oban_jobs AS j
WHERE {filters}
