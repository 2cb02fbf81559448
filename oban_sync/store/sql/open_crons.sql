-- Remember periodic jobs that are new, with no tick to enqueue until an instant (null: now); give the newest tick of each, and the clock (microseconds since 1970).
-- Locks the rows that it inserts.
WITH moment AS MATERIALIZED (
  SELECT clock_timestamp() AS now
), known AS MATERIALIZED (
  SELECT name, last_at
  FROM {schema}.oban_sync_crons
  WHERE name = ANY (%(names)s::text[])
), made AS (
  INSERT INTO {schema}.oban_sync_crons (name, last_at)
  SELECT name, coalesce(CAST(%(since)s AS timestamptz), moment.now)
  FROM unnest(%(names)s::text[]) AS given (name), moment
  WHERE name NOT IN (SELECT name FROM known)
  ON CONFLICT DO NOTHING
  RETURNING name, last_at
)
SELECT
  name,
  CAST(extract(epoch FROM last_at) * 1000000 AS bigint),
  CAST(extract(epoch FROM moment.now) * 1000000 AS bigint)
FROM (SELECT * FROM known UNION ALL SELECT * FROM made) AS crons, moment
