-- Select whether the table of paused queues is there to be read.
-- Locks nothing.
SELECT coalesce(has_table_privilege(to_regclass('{schema}.oban_sync_queues'), 'SELECT'), false)
