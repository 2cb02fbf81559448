-- Select those of some jobs whose rows somebody else holds.
-- Locks the others for the length of the statement; passes over rows that others hold.
WITH free AS MATERIALIZED (
  SELECT id
  FROM {schema}.oban_jobs
  WHERE id = ANY (%(ids)s::bigint[])
  FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id
FROM {schema}.oban_jobs
WHERE id = ANY (%(ids)s::bigint[]) AND id NOT IN (SELECT id FROM free)
