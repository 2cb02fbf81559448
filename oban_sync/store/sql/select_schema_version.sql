-- Select the newest version installed; the table of versions must be there.
-- Locks nothing.
SELECT max(version) FROM {schema}.oban_sync_migrations
