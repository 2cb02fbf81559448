-- Forget queues of ours whose process died long enough ago that their jobs were rescued.
-- Locks the rows it deletes.
DELETE FROM {schema}.oban_producers
WHERE meta ? 'oban_sync' AND updated_at < timezone('UTC', clock_timestamp()) - interval '5 minutes'
RETURNING uuid
