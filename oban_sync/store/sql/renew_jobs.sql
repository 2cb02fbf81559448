-- Renew attempted_at of jobs that these owners run for long, while nodes are seen that take back jobs by that time alone.
-- Locks the rows it renews; passes over rows that others hold. When the run began stays in meta, a cancel stays later.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), others AS MATERIALIZED (
  SELECT 1
  WHERE
    EXISTS (SELECT 1 FROM {schema}.oban_producers WHERE NOT meta ? 'oban_sync')
    OR EXISTS (
      SELECT 1
      FROM {schema}.oban_leaders AS l
      WHERE NOT EXISTS (SELECT 1 FROM {schema}.oban_producers AS p WHERE p.node = l.node AND p.meta ? 'oban_sync')
    )
    OR EXISTS (
      SELECT 1
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relname = 'oban_peers' AND n.nspname = {prefix}
    )
), aged AS (
  SELECT
    j.id,
    CASE
      WHEN j.meta ->> 'renewed_at' = to_jsonb(j.attempted_at) #>> '{{}}' THEN j.meta -> 'began_at'
      ELSE to_jsonb(j.attempted_at)
    END AS began_at,
    coalesce(
      j.meta ->> 'cancel_attempted_at' ~ '^[0-9]{{4}}-'
      AND (j.meta ->> 'cancel_attempted_at') COLLATE "C" >= to_jsonb(j.attempted_at) #>> '{{}}', false
    ) AS asked
  FROM {schema}.oban_jobs AS j, moment
  WHERE
    j.state = 'executing'
    AND j.attempted_by[2] = ANY(%(owners)s)
    AND j.attempted_at < moment.now - make_interval(secs => %(age)s)
    AND EXISTS (SELECT 1 FROM others)
  FOR UPDATE OF j SKIP LOCKED
)
UPDATE {schema}.oban_jobs AS j
SET
  attempted_at = moment.now,
  meta = j.meta
    || jsonb_build_object('began_at', aged.began_at, 'renewed_at', moment.now)
    || CASE WHEN aged.asked THEN jsonb_build_object('cancel_attempted_at', moment.now) ELSE '{{}}' END
FROM aged, moment
WHERE j.id = aged.id
RETURNING j.id
