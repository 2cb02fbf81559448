-- Drop the table of paused queues.
-- Locks the table against everything (ACCESS EXCLUSIVE) and refuses while another object depends on it.
DROP TABLE IF EXISTS {schema}.oban_sync_queues;
