-- Select what concerns the whole server, and which versions of the tables are noted, as a JSON object.
-- Locks nothing.
SELECT CAST(json_build_object(
  'server', current_setting('server_version'),
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'max_connections', CAST(current_setting('max_connections') AS int),
  'standby', pg_is_in_recovery(),
  'versioned', coalesce(has_table_privilege(to_regclass('{schema}.oban_sync_migrations'), 'SELECT'), false),
  'comment', obj_description(to_regclass('{schema}.oban_jobs'), 'pg_class')
) AS text)
