-- Take due jobs like fetch_jobs, but only those behind a key of their priority, so that it walks over no dead entries of
-- jobs that ran before. Locks what it takes; passes over what others hold.
WITH due AS MATERIALIZED (
  SELECT job.id, job.attempt, job.max_attempts, job.priority, job.scheduled_at
  FROM
    unnest(CAST(%(times)s AS timestamp[]), CAST(%(ids)s AS bigint[])) WITH ORDINALITY AS after (scheduled_at, id, place)
    CROSS JOIN LATERAL (
      SELECT j.id, j.attempt, j.max_attempts, j.priority, j.scheduled_at
      FROM {schema}.oban_jobs AS j
      WHERE
        j.state = 'available' AND j.queue = %(queue)s AND j.priority = after.place - 1
        AND (j.scheduled_at, j.id) > (after.scheduled_at, after.id) AND j.attempt < j.max_attempts
      ORDER BY j.scheduled_at, j.id
      LIMIT %(demand)s
      FOR UPDATE SKIP LOCKED
    ) AS job
  LIMIT %(demand)s
), placed AS (
  SELECT id, attempt, max_attempts, row_number() OVER (ORDER BY priority, scheduled_at, id) AS place
  FROM due
)
UPDATE {schema}.oban_jobs AS j
SET
  state = 'executing',
  attempt = j.attempt + 1,
  attempted_at = timezone('UTC', clock_timestamp()),
  attempted_by = ARRAY[%(node)s, %(owner)s]
WHERE j.id = ANY (ARRAY(SELECT id FROM placed WHERE place <= %(free)s OR attempt + 1 < max_attempts))
RETURNING
  j.id, j.worker, j.attempt, j.max_attempts, j.priority, j.args, j.meta, j.tags, j.inserted_at, j.scheduled_at,
  j.attempted_at, CASE WHEN j.attempt > 1 THEN to_jsonb(j.errors) END,
  (SELECT count(*) FROM due),
  (SELECT CAST(extract(epoch FROM clock_timestamp() - statement_timestamp()) AS float8) FROM due LIMIT 1)
