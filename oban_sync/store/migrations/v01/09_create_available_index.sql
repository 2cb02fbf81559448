-- Index the jobs that wait, in the order in which they are fetched, unless Oban's index over all states is there: two cost more than either.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE) and waits for older transactions; reads and writes go on.
-- outside a transaction
-- unless: EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('{schema}.oban_jobs') AND indisvalid AND indpred IS NULL AND pg_get_indexdef(indexrelid) ~ '\(state, queue, priority, scheduled_at, id\)')
CREATE INDEX CONCURRENTLY IF NOT EXISTS oban_jobs_available_index
ON {schema}.oban_jobs (queue, priority, scheduled_at, id)
WITH (fillfactor = 90)
WHERE state = 'available';
