-- Index the jobs that run, for their rescue, unless Oban's index over all states is there and serves it.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE) and waits for older transactions; reads and writes go on.
-- outside a transaction
-- unless: EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('{schema}.oban_jobs') AND indisvalid AND indpred IS NULL AND pg_get_indexdef(indexrelid) ~ '\(state, queue, priority, scheduled_at, id\)')
CREATE INDEX CONCURRENTLY IF NOT EXISTS oban_jobs_executing_index
ON {schema}.oban_jobs (id)
WHERE state = 'executing';
