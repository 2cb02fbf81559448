-- Move periodic jobs on to the ticks that are to be enqueued, except those that somebody moved since they were read.
-- Locks their rows, in the order of their names, until the transaction ends.
WITH due AS MATERIALIZED (
  SELECT *
  FROM json_to_recordset(CAST(%(crons)s AS json)) AS due (name text, seen bigint, tick timestamptz)
), held AS MATERIALIZED (
  SELECT crons.name
  FROM {schema}.oban_sync_crons AS crons
  JOIN due USING (name)
  WHERE CAST(extract(epoch FROM crons.last_at) * 1000000 AS bigint) = due.seen
  ORDER BY crons.name
  FOR UPDATE OF crons
)
UPDATE {schema}.oban_sync_crons AS crons
SET last_at = due.tick
FROM held
JOIN due USING (name)
WHERE crons.name = held.name
RETURNING crons.name
