-- Select for how many seconds the job that has been due for longest waits in each of some queues.
-- Locks nothing. Looks at the first job of each priority, which an index gives.
SELECT q.queue, CAST(extract(epoch FROM timezone('UTC', clock_timestamp()) - min(first.scheduled_at)) AS float8)
FROM
  unnest(CAST(%(queues)s AS text[])) AS q (queue)
  CROSS JOIN generate_series(0, 9) AS priority
  CROSS JOIN LATERAL (
    SELECT j.scheduled_at
    FROM {schema}.oban_jobs AS j
    WHERE j.state = 'available' AND j.queue = q.queue AND j.priority = priority.priority AND isfinite(j.scheduled_at)
    ORDER BY j.scheduled_at, j.id
    LIMIT 1
  ) AS first
GROUP BY q.queue
