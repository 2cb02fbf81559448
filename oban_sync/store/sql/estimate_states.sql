-- Guess how many jobs of some states each running queue has, from the planner's statistics.
-- Locks nothing.
SELECT state, queue, {schema}.oban_count_estimate(state, queue)
FROM unnest(%(states)s::text[]) AS state
CROSS JOIN (SELECT DISTINCT queue FROM {schema}.oban_producers) AS queues
