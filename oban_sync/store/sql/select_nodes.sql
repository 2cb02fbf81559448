-- Select the queues that run on nodes as JSON objects: their options, the age of their beat in seconds, what they run.
-- Locks nothing.
WITH held AS MATERIALIZED (
  SELECT objid::bigint AS key
  FROM pg_locks
  WHERE
    locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = {lock_class}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), running AS (
  SELECT attempted_by[2] AS owner, count(*) AS count
  FROM {schema}.oban_jobs
  WHERE state = 'executing'
  GROUP BY attempted_by[2]
)
SELECT CAST(json_build_object(
  'queue', p.queue,
  'node', p.node,
  'instance', p.name,
  'uuid', p.uuid,
  'limit', CASE jsonb_typeof(p.meta -> 'local_limit') WHEN 'number' THEN p.meta -> 'local_limit' END,
  'paused', coalesce(p.meta ->> 'paused', 'false') = 'true',
  'running', coalesce(running.count, 0),
  'beat_seconds', CASE
    WHEN isfinite(p.updated_at)
      THEN CAST(extract(epoch FROM timezone('UTC', clock_timestamp()) - p.updated_at) AS float8)
    WHEN p.updated_at = 'infinity' THEN 0
    ELSE 1e9
  END,
  'version', p.meta ->> 'oban_sync',
  'locks', coalesce(p.meta ->> 'locks', 'true') = 'true',
  'locked', EXISTS (SELECT 1 FROM held WHERE key = hashtext(p.uuid::text)::bigint & 4294967295)
) AS text)
FROM {schema}.oban_producers AS p
LEFT JOIN running ON running.owner = p.uuid::text
ORDER BY p.queue, p.node, p.uuid
