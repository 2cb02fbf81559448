-- Select who holds the oldest snapshots as JSON objects, sessions, prepared transactions and replication slots alike.
-- Locks nothing.
WITH holders AS (
  SELECT
    'session' AS kind,
    pid::text AS name,
    application_name AS application,
    usename::text AS role,
    state,
    CAST(extract(epoch FROM clock_timestamp() - xact_start) AS float8) AS seconds,
    greatest(age(backend_xmin), age(backend_xid)) AS transactions,
    left(query, 100) AS query
  FROM pg_stat_activity
  WHERE
    (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
    AND pid <> pg_backend_pid()
    AND (backend_type = 'client backend' AND datname = current_database() OR backend_type = 'walsender')
  UNION ALL
  SELECT
    'prepared transaction', gid, NULL, owner::text, NULL,
    CAST(extract(epoch FROM clock_timestamp() - prepared) AS float8), age(transaction), NULL
  FROM pg_prepared_xacts
  WHERE database = current_database()
  UNION ALL
  SELECT
    'replication slot', slot_name::text, NULL, NULL, CASE WHEN active THEN 'active' ELSE 'not active' END,
    NULL, age(xmin), NULL
  FROM pg_replication_slots
  WHERE xmin IS NOT NULL
)
SELECT CAST(row_to_json(holders) AS text)
FROM holders
ORDER BY transactions DESC, seconds DESC NULLS LAST
LIMIT 5
