-- Record that version 1 is installed.
-- Locks one row of oban_sync_migrations.
INSERT INTO {schema}.oban_sync_migrations (version) VALUES (1) ON CONFLICT DO NOTHING;
