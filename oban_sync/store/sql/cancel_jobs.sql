-- Cancel jobs that wait, ask those that run to stop by a mark in meta and a signal, and count both.
-- Locks their rows.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), chosen AS MATERIALIZED (
  SELECT j.id, j.state
  FROM {schema}.oban_jobs AS j
  WHERE {filters} AND j.state IN ('available', 'scheduled', 'retryable', 'suspended', 'executing')
  ORDER BY j.id
  FOR UPDATE
), cancelled AS (
  UPDATE {schema}.oban_jobs AS j
  SET
    state = CASE WHEN chosen.state = 'executing' THEN j.state ELSE 'cancelled' END,
    cancelled_at = CASE WHEN chosen.state = 'executing' THEN j.cancelled_at ELSE moment.now END,
    meta = coalesce(j.meta, '{{}}') || jsonb_build_object('cancel_attempted_at', moment.now)
  FROM chosen, moment
  WHERE j.id = chosen.id
  RETURNING j.id, j.state
), told AS (
  SELECT count(pg_notify({signal_channel}, json_build_object('action', 'pkill', 'job_id', id)::text))
  FROM cancelled
  WHERE state = 'executing' AND NOT CAST(%s AS boolean)
)
SELECT count(*) FROM cancelled WHERE (SELECT count FROM told) >= 0
