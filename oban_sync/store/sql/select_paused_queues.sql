-- Select the queues that are paused wherever they start.
-- Locks nothing.
SELECT queue
FROM {schema}.oban_sync_queues
ORDER BY queue
