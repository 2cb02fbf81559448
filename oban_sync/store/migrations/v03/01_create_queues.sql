-- Create the table of queues whose pause outlives restarts.
-- Locks nothing that exists.
CREATE TABLE IF NOT EXISTS {schema}.oban_sync_queues (
    queue text PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now()
);
