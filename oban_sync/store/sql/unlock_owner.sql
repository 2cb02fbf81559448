-- Let go of the session lock of a queue that ended.
-- Locks nothing.
SELECT pg_advisory_unlock({lock_class}, hashtext(%(owner)s))
