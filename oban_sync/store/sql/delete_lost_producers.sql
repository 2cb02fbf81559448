-- Forget queues of other libraries that show no sign of life and hold no job: jobs they hold are rescued by these rows.
-- Locks the rows it deletes.
DELETE FROM {schema}.oban_producers AS p
WHERE
  NOT p.meta ? 'oban_sync'
  AND p.updated_at < timezone('UTC', clock_timestamp()) - make_interval(secs => %(max_age)s)
  AND NOT EXISTS (
    SELECT 1
    FROM {schema}.oban_jobs AS j
    WHERE j.state = 'executing' AND j.attempted_by[2] = p.uuid::text
  )
RETURNING p.uuid::text
