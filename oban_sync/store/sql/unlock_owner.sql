-- Let go of the session lock of a queue that ended.
-- Frees one advisory key; never waits.
SELECT pg_advisory_unlock({lock_class}, hashtext(%(owner)s))
