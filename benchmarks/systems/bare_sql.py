"""The statements of bare SQL, as fast as we know them."""

FETCH = """
UPDATE oban_jobs AS j
SET state = 'executing', attempt = j.attempt + 1, attempted_at = timezone('UTC', clock_timestamp()),
  attempted_by = ARRAY['bare', 'bare']
WHERE j.id = ANY (ARRAY(
  SELECT id FROM oban_jobs WHERE state = 'available' AND queue = %s
  ORDER BY priority, scheduled_at, id LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING j.id, j.worker, j.attempt, j.max_attempts, j.priority, j.args, j.meta, j.tags, j.inserted_at, j.scheduled_at,
  j.attempted_at
"""

ACK = """
UPDATE oban_jobs SET state = 'completed', completed_at = timezone('UTC', clock_timestamp())
WHERE id = ANY (%s) AND state::text = 'executing'
"""

STAGE = """
UPDATE oban_jobs SET state = 'available'
WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= timezone('UTC', clock_timestamp())
"""

INSERT = """
INSERT INTO oban_jobs (worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at)
VALUES (%s, %s, %s, '{}', '{}', 0, 20, 0, 'available', timezone('UTC', now()), timezone('UTC', now()))
RETURNING id
"""
