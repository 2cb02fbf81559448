-- Send a signal to every node.
-- Locks nothing; NOTIFY takes a lock of the whole server while the transaction commits.
SELECT pg_notify({signal_channel}, %s)
