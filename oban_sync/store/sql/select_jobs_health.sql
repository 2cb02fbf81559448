-- Select rows, dead rows, sizes in bytes and the last vacuum of the jobs as a JSON object, by the server's statistics.
-- Locks nothing.
SELECT CAST(json_build_object(
  'live', s.n_live_tup,
  'dead', s.n_dead_tup,
  'vacuum_seconds', CAST(extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum)) AS float8),
  'table_bytes', pg_relation_size(s.relid),
  'index_bytes', pg_indexes_size(s.relid),
  'expected_bytes', (
    SELECT CAST(c.reltuples * (sum(w.avg_width) + 32) / 0.85 AS bigint)
    FROM pg_class AS c, pg_stats AS w
    WHERE c.oid = s.relid AND c.reltuples > 0 AND w.schemaname = s.schemaname AND w.tablename = s.relname
    GROUP BY c.reltuples
  )
) AS text)
FROM pg_stat_all_tables AS s
WHERE s.relid = to_regclass('{schema}.oban_jobs')
