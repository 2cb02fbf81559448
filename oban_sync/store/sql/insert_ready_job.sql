-- Insert a job without tags that is to run now, and notify its queue unless that is to be quiet.
-- Locks only the new row; NOTIFY takes a lock of the whole server while the transaction commits.
INSERT INTO {schema}.oban_jobs (
  worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at
)
SELECT
  %s, %s, CAST(%s AS jsonb), CAST(%s AS jsonb), '{{}}', CAST(%s AS smallint), CAST(%s AS smallint), 0, 'available', now, now
FROM (SELECT timezone('UTC', clock_timestamp()) AS now) AS moment
RETURNING
  id,
  state::text,
  CAST(extract(epoch FROM inserted_at) * 1000000 AS bigint) AS inserted_us,
  CAST(extract(epoch FROM scheduled_at) * 1000000 AS bigint) AS scheduled_us,
  CASE WHEN CAST(%s AS boolean) THEN pg_notify({insert_channel}, json_build_object('queue', queue)::text) END
