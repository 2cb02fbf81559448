-- Make jobs that wait or have ended available now, with an attempt more if need be; count them and notify their queues.
-- Locks their rows.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), chosen AS MATERIALIZED (
  SELECT j.id
  FROM {schema}.oban_jobs AS j
  WHERE {filters} AND j.state NOT IN ('available', 'executing')
  ORDER BY j.id
  FOR UPDATE
), retried AS (
  UPDATE {schema}.oban_jobs AS j
  SET
    state = 'available',
    max_attempts = CAST(greatest(j.max_attempts, j.attempt + 1) AS smallint),
    scheduled_at = moment.now,
    completed_at = NULL,
    cancelled_at = NULL,
    discarded_at = NULL,
    meta = CASE WHEN j.meta -> 'uniq_bmp' IS NULL THEN j.meta ELSE jsonb_set(j.meta, '{{uniq_bmp}}', '[]') END
  FROM chosen, moment
  WHERE j.id = chosen.id
  RETURNING j.queue
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM (SELECT DISTINCT queue FROM retried) AS ready
  WHERE NOT CAST(%s AS boolean)
)
SELECT count(*) FROM retried WHERE (SELECT count FROM woken) >= 0
