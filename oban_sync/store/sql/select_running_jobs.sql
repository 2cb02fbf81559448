-- Select the jobs that have been running for longest as JSON objects.
-- Locks nothing.
SELECT CAST(json_build_object(
  'id', id,
  'worker', worker,
  'queue', queue,
  'node', attempted_by[1],
  'attempt', attempt,
  'seconds', CASE WHEN isfinite(attempted_at) THEN
    CAST(extract(epoch FROM timezone('UTC', clock_timestamp()) - attempted_at) AS float8)
  ELSE 0 END
) AS text)
FROM {schema}.oban_jobs
WHERE state = 'executing'
ORDER BY attempted_at, id
LIMIT %(limit)s
