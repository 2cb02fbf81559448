-- Select whether a queue is paused beyond restarts.
-- Locks nothing.
SELECT EXISTS (SELECT FROM {schema}.oban_sync_queues WHERE queue = %(queue)s)
