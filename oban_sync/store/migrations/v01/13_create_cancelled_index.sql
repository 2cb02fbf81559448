-- Index the cancelled jobs by the time of it, for pruning, unless an index by state and time is there.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE) and waits for older transactions; reads and writes go on.
-- outside a transaction
-- unless: EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('{schema}.oban_jobs') AND indisvalid AND pg_get_indexdef(indexrelid) ~ '\(state, cancelled_at\)')
CREATE INDEX CONCURRENTLY IF NOT EXISTS oban_jobs_cancelled_at_index
ON {schema}.oban_jobs (cancelled_at)
WHERE state = 'cancelled';
