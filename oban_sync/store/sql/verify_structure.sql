-- Select the names of the tables that the schema lacks.
-- Locks nothing.
SELECT needed.name
FROM unnest(ARRAY['oban_jobs', 'oban_leaders', 'oban_producers']) AS needed (name)
WHERE to_regclass(quote_ident(%(prefix)s) || '.' || needed.name) IS NULL
ORDER BY needed.name;
