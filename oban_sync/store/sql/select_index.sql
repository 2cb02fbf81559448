-- Select whether an index of the jobs is there and valid.
-- Locks nothing.
SELECT EXISTS (
  SELECT 1
  FROM pg_index AS i
  JOIN pg_class AS c ON c.oid = i.indexrelid
  WHERE i.indrelid = to_regclass('{schema}.oban_jobs') AND i.indisvalid AND c.relname = %(name)s
)
