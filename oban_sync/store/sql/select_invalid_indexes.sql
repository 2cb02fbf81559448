-- Select the quoted names of our indexes that a crash left half built: DROP INDEX CONCURRENTLY each, then create it again.
-- Locks nothing.
SELECT '{schema}.' || quote_ident(c.relname) AS name
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass('{schema}.oban_jobs')
    AND NOT i.indisvalid
    AND c.relname ~ '^oban_jobs_.*_index$'
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
ORDER BY c.relname;
