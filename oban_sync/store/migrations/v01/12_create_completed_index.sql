-- Index the completed jobs by the time of it, for pruning.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE) and waits for older transactions; reads and writes go on.
-- outside a transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS oban_jobs_completed_at_index
ON {schema}.oban_jobs (completed_at)
WHERE state = 'completed';
