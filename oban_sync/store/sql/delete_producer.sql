-- Forget a queue that ended.
-- Locks its row.
DELETE FROM {schema}.oban_producers WHERE uuid = CAST(%(owner)s AS uuid)
