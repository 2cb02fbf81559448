-- Index the jobs that are not due yet by the time at which they are, unless an index of the same columns is there.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE) and waits for older transactions; reads and writes go on.
-- outside a transaction
-- unless: EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('{schema}.oban_jobs') AND indisvalid AND pg_get_indexdef(indexrelid) ~ '\(scheduled_at, id\).*scheduled.*retryable')
CREATE INDEX CONCURRENTLY IF NOT EXISTS oban_jobs_staging_index
ON {schema}.oban_jobs (scheduled_at, id) INCLUDE (queue)
WHERE state IN ('scheduled', 'retryable');
