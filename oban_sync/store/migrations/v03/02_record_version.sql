-- Record that version 3 is installed.
-- Locks one row of oban_sync_migrations.
INSERT INTO {schema}.oban_sync_migrations (version) VALUES (3) ON CONFLICT DO NOTHING;
