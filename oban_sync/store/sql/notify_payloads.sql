-- Send payloads on a channel.
-- Locks nothing; NOTIFY takes a lock of the whole server while the transaction commits.
SELECT pg_notify(%(channel)s, payload)
FROM unnest(%(payloads)s::text[]) AS payload
