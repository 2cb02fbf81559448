-- Select the names of the tables that the schema lacks.
-- Locks nothing.
SELECT needed.name
FROM unnest(ARRAY['oban_jobs', 'oban_leaders', 'oban_producers', 'oban_sync_crons']) AS needed (name)
WHERE to_regclass(quote_ident(%(prefix)s) || '.' || needed.name) IS NULL AND (needed.name <> 'oban_sync_crons' OR %(crons)s)
ORDER BY needed.name;
