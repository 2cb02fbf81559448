-- Create the table that remembers the newest tick of each periodic job, so that nobody enqueues one twice.
-- Locks nothing that exists.
CREATE TABLE IF NOT EXISTS {schema}.oban_sync_crons (
    name text PRIMARY KEY,
    last_at timestamptz NOT NULL
);
