-- Give leadership up and tell every node so.
-- Locks the row of the name; NOTIFY takes a lock of the whole server while the transaction commits.
WITH resigned AS (
  DELETE FROM {schema}.oban_leaders
  WHERE name = %(name)s AND node = %(node)s AND elected_at = CAST(%(since)s AS timestamp)
  RETURNING name, node
)
SELECT pg_notify({leader_channel}, json_build_object('action', 'resign', 'node', node, 'name', name)::text)
FROM resigned
