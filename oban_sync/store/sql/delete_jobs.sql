-- Delete jobs that do not run, and count them.
-- Locks their rows.
WITH deleted AS (
  DELETE FROM {schema}.oban_jobs AS j
  WHERE {filters} AND j.state <> 'executing'
  RETURNING j.id
)
SELECT count(*) FROM deleted
