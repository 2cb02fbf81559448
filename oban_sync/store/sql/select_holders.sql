-- Select who holds jobs that run as JSON objects, with how many and for how long the first of them.
-- Locks nothing.
SELECT CAST(json_build_object(
  'node', attempted_by[1],
  'owner', attempted_by[2],
  'count', count(*),
  'seconds', CAST(
    extract(epoch FROM timezone('UTC', clock_timestamp()) - min(attempted_at) FILTER (WHERE isfinite(attempted_at)))
    AS float8
  )
) AS text)
FROM {schema}.oban_jobs
WHERE state = 'executing'
GROUP BY attempted_by[1], attempted_by[2]
ORDER BY attempted_by[1], attempted_by[2]
