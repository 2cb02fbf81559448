-- Insert the job of a JSON object, and notify its queue, or the nodes of a job that is due soon.
-- Locks only the new row; NOTIFY takes a lock of the whole server while the transaction commits.
WITH given AS MATERIALIZED (
  SELECT CAST(%s AS jsonb) AS job, timezone('UTC', clock_timestamp()) AS now
), inserted AS (
  INSERT INTO {schema}.oban_jobs (
    worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at
  )
  SELECT
    job ->> 'worker',
    job ->> 'queue',
    job -> 'args',
    coalesce(job -> 'meta', '{{}}'),
    CASE WHEN job -> 'tags' IS NULL THEN '{{}}' ELSE ARRAY(SELECT jsonb_array_elements_text(job -> 'tags')) END,
    coalesce((job ->> 'priority')::smallint, 0),
    coalesce((job ->> 'max_attempts')::smallint, 20),
    coalesce((job ->> 'attempt')::smallint, 0),
    coalesce(job ->> 'state', 'available')::{schema}.oban_job_state,
    coalesce((job ->> 'inserted_at')::timestamp, now),
    coalesce((job ->> 'scheduled_at')::timestamp, now + make_interval(secs => coalesce((job ->> 'delay')::float8, 0)))
  FROM given
  RETURNING id, state::text AS state, queue, inserted_at, scheduled_at
)
SELECT
  id,
  state,
  CAST(extract(epoch FROM inserted_at) * 1000000 AS bigint) AS inserted_us,
  CAST(extract(epoch FROM scheduled_at) * 1000000 AS bigint) AS scheduled_us,
  CASE
    WHEN job -> 'quiet' IS NOT NULL THEN NULL
    WHEN state = 'available' THEN pg_notify({insert_channel}, json_build_object('queue', queue)::text)
    WHEN state = 'scheduled' AND scheduled_at < now + interval '10 seconds' THEN
      pg_notify({due_channel}, extract(epoch FROM scheduled_at)::text)
  END
FROM inserted, given
