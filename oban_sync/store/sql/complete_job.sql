-- Complete a job in the transaction of its own work, by (id, attempt, owner), if this owner still holds it.
-- Locks its row until that transaction ends.
UPDATE {schema}.oban_jobs
SET state = 'completed', completed_at = timezone('UTC', clock_timestamp())
WHERE id = %s AND attempt = %s AND attempted_by[2] = %s AND state::text = 'executing'
RETURNING id
