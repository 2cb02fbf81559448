-- Create the table of the versions installed. The COMMENT of oban_jobs is another tool's version: never write it.
-- Locks nothing that exists.
CREATE TABLE IF NOT EXISTS {schema}.oban_sync_migrations (
    version integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);
