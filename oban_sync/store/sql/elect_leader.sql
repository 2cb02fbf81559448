-- Become or stay the leader of a name unless another node is; give since when (null: another is) and the database's clock.
-- Locks the row of the name.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), elected AS (
  INSERT INTO {schema}.oban_leaders AS l (name, node, elected_at, expires_at)
  SELECT %(name)s, %(node)s, now, now + make_interval(secs => %(lease)s)
  FROM moment
  ON CONFLICT (name) DO UPDATE
  SET
    node = excluded.node,
    elected_at = CASE
      WHEN l.node = excluded.node AND l.elected_at = CAST(%(since)s AS timestamp) THEN l.elected_at
      ELSE excluded.elected_at END,
    expires_at = excluded.expires_at
  WHERE
    l.node = excluded.node AND l.elected_at = CAST(%(since)s AS timestamp)
    OR l.expires_at < timezone('UTC', clock_timestamp()) - make_interval(secs => CASE
      WHEN EXISTS (
        SELECT 1
        FROM {schema}.oban_producers AS p
        WHERE p.name = l.name AND p.node = l.node AND p.meta ? 'oban_sync'
      ) THEN 0
      ELSE %(foreign_grace)s END)
  RETURNING l.elected_at
)
SELECT (SELECT elected_at::text FROM elected), CAST(extract(epoch FROM timezone('UTC', now)) AS float8) FROM moment
