-- Hold a session lock a queue of this node, which the server frees when the process dies.
-- Locks advisory keys that nobody else takes; never waits.
SELECT bool_and(pg_try_advisory_lock({lock_class}, hashtext(owner)))
FROM unnest(%(owners)s::text[]) AS owner
WHERE NOT EXISTS (
  SELECT 1
  FROM pg_locks
  WHERE
    locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 2 AND classid::bigint = {lock_class}
    AND objid::bigint = hashtext(owner)::bigint & 4294967295
)
