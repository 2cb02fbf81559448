-- Insert jobs in the order of a JSON array, and notify each queue that got one to run now.
-- Locks only the new rows; NOTIFY takes a lock of the whole server while the transaction commits.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), given AS (
  SELECT *
  FROM ROWS FROM (json_to_recordset(CAST(%s AS json)) AS (
    worker text, queue text, args jsonb, meta jsonb, tags text[], priority smallint, max_attempts smallint,
    attempt smallint, state text, inserted_at timestamp, scheduled_at timestamp, delay float8, quiet boolean
  )) WITH ORDINALITY
), inserted AS (
  INSERT INTO {schema}.oban_jobs (
    worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at
  )
  SELECT
    worker,
    queue,
    args,
    coalesce(meta, '{{}}'),
    coalesce(tags, '{{}}'),
    coalesce(priority, 0),
    coalesce(max_attempts, 20),
    coalesce(attempt, 0),
    coalesce(state, 'available')::{schema}.oban_job_state,
    coalesce(given.inserted_at, moment.now),
    coalesce(given.scheduled_at, moment.now + make_interval(secs => coalesce(delay, 0)))
  FROM given, moment
  ORDER BY ordinality
  RETURNING id, state::text AS state, queue, inserted_at, scheduled_at
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM (SELECT DISTINCT queue FROM inserted WHERE state = 'available') AS ready
  WHERE NOT EXISTS (SELECT 1 FROM given WHERE quiet)
), announced AS (
  SELECT count(pg_notify({due_channel}, extract(epoch FROM due)::text))
  FROM (SELECT min(scheduled_at) AS due FROM inserted WHERE state = 'scheduled') AS earliest, moment
  WHERE due < moment.now + interval '10 seconds' AND NOT EXISTS (SELECT 1 FROM given WHERE quiet)
)
SELECT
  id,
  state,
  CAST(extract(epoch FROM inserted_at) * 1000000 AS bigint) AS inserted_us,
  CAST(extract(epoch FROM scheduled_at) * 1000000 AS bigint) AS scheduled_us
FROM inserted
WHERE (SELECT count FROM woken) + (SELECT count FROM announced) >= 0
ORDER BY id
