-- Select the ids of the jobs of a queue that could run now.
-- Locks nothing.
SELECT id FROM {schema}.oban_jobs WHERE state = 'available' AND queue = %(queue)s
