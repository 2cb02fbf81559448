-- Count the jobs of some states by queue, at most so many and one of each state.
-- Locks nothing. Each state has an index of its own, which only a state that is written out can use.
SELECT state, queue, count(*)
FROM (
  (SELECT 'available' AS state, queue FROM {schema}.oban_jobs
   WHERE state = 'available' AND 'available' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'scheduled', queue FROM {schema}.oban_jobs
   WHERE state = 'scheduled' AND 'scheduled' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'executing', queue FROM {schema}.oban_jobs
   WHERE state = 'executing' AND 'executing' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'retryable', queue FROM {schema}.oban_jobs
   WHERE state = 'retryable' AND 'retryable' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'completed', queue FROM {schema}.oban_jobs
   WHERE state = 'completed' AND 'completed' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'cancelled', queue FROM {schema}.oban_jobs
   WHERE state = 'cancelled' AND 'cancelled' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
  UNION ALL
  (SELECT 'discarded', queue FROM {schema}.oban_jobs
   WHERE state = 'discarded' AND 'discarded' = ANY (%(states)s::text[]) LIMIT %(limit)s + 1)
) AS jobs
GROUP BY state, queue
