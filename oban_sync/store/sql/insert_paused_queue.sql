-- Have a queue stay paused beyond restarts.
-- Locks its row.
INSERT INTO {schema}.oban_sync_queues (queue)
VALUES (%s)
ON CONFLICT (queue) DO UPDATE SET paused_at = now()
RETURNING queue
