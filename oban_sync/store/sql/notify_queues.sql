-- Tell every node that queues have jobs to run now.
-- Locks nothing; NOTIFY takes a lock of the whole server while the transaction commits.
SELECT pg_notify({insert_channel}, json_build_object('queue', queue)::text)
FROM unnest(CAST(%s AS text[])) AS queue
