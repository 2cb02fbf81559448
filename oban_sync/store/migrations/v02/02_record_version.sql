-- Record that version 2 is installed.
-- Locks one row of oban_sync_migrations.
INSERT INTO {schema}.oban_sync_migrations (version) VALUES (2) ON CONFLICT DO NOTHING;
