-- Let queues, or with * every queue, be resumed by a restart again, where they were paused before an age in seconds.
-- Locks the rows it deletes.
DELETE FROM {schema}.oban_sync_queues
WHERE (queue = ANY (CAST(%(queues)s AS text[])) OR '*' = ANY (CAST(%(queues)s AS text[])))
AND paused_at <= clock_timestamp() - make_interval(secs => CAST(%(ago)s AS float8))
RETURNING queue
