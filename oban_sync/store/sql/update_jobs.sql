-- Write fields of jobs from a JSON array and give the jobs as JSON objects; a new time makes them wait or be available.
-- Locks their rows.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), given AS (
  SELECT given.*, coalesce(given.scheduled_at, moment.now + make_interval(secs => given.delay)) AS due
  FROM moment, json_to_recordset(CAST(%s AS json)) AS given (
    id bigint, worker text, queue text, args jsonb, meta jsonb, tags text[], priority smallint, max_attempts smallint,
    scheduled_at timestamp, delay float8
  )
), updated AS (
  UPDATE {schema}.oban_jobs AS j
  SET
    worker = coalesce(given.worker, j.worker),
    queue = coalesce(given.queue, j.queue),
    args = coalesce(given.args, j.args),
    meta = coalesce(given.meta, j.meta),
    tags = coalesce(given.tags, j.tags),
    priority = coalesce(given.priority, j.priority),
    max_attempts = coalesce(given.max_attempts, j.max_attempts),
    scheduled_at = coalesce(given.due, j.scheduled_at),
    state = CASE
      WHEN j.state = 'available' AND given.due > moment.now THEN 'scheduled'
      WHEN j.state = 'scheduled' AND given.due <= moment.now THEN 'available'
      ELSE j.state
    END
  FROM given, moment
  WHERE j.id = given.id
  RETURNING j.*
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM (SELECT DISTINCT queue FROM updated WHERE state = 'available') AS ready
  WHERE NOT CAST(%s AS boolean)
), announced AS (
  SELECT count(pg_notify({due_channel}, extract(epoch FROM due)::text))
  FROM (SELECT min(scheduled_at) AS due FROM updated WHERE state IN ('scheduled', 'retryable')) AS earliest, moment
  WHERE due < moment.now + interval '10 seconds' AND NOT CAST(%s AS boolean)
)
SELECT CAST(row_to_json(updated) AS text)
FROM updated
WHERE (SELECT count FROM woken) + (SELECT count FROM announced) >= 0
ORDER BY id
