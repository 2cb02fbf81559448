-- Let a queue, or with * every queue, be resumed by a restart again.
-- Locks the rows it deletes.
DELETE FROM {schema}.oban_sync_queues
WHERE queue = %s OR %s = '*'
RETURNING queue
