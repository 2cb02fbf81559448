-- Notify a token to whoever listens, to find out whether this node hears it.
-- Locks nothing; NOTIFY takes a lock of the whole server while the transaction commits.
SELECT pg_notify({probe_channel}, to_json(CAST(%s AS text))::text)
