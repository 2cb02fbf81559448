"""The statements of bare SQL, as fast as we know them."""

CHANNEL = "benchmarks_bare"

_COLUMNS = "worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at"
_VALUES = "%s, %s, %s, '{}', '{}', 0, 20, 0"
_NOW = "timezone('UTC', clock_timestamp())"

INSERT = f"""
INSERT INTO oban_jobs ({_COLUMNS})
VALUES ({_VALUES}, 'available', {_NOW}, {_NOW})
RETURNING id
"""

INSERT_AND_NOTIFY = f"WITH inserted AS ({INSERT}) SELECT pg_notify('{CHANNEL}', '0') FROM inserted"

INSERT_SCHEDULED = f"""
WITH inserted AS (
  INSERT INTO oban_jobs ({_COLUMNS})
  VALUES ({_VALUES}, 'scheduled', {_NOW}, {_NOW} + make_interval(secs => %s))
  RETURNING CAST(extract(epoch FROM scheduled_at) AS float8) AS due
)
SELECT due, pg_notify('{CHANNEL}', due::text) FROM inserted
"""

INSERT_MANY = f"""
INSERT INTO oban_jobs ({_COLUMNS})
SELECT worker, queue, args, '{{}}', '{{}}', 0, 20, 0, 'available', {_NOW}, {_NOW}
FROM json_to_recordset(CAST(%s AS json)) AS given (worker text, queue text, args jsonb)
RETURNING id
"""

FETCH = f"""
UPDATE oban_jobs AS j
SET state = 'executing', attempt = j.attempt + 1, attempted_at = {_NOW}, attempted_by = ARRAY['bare', 'bare']
WHERE j.id = ANY (ARRAY(
  SELECT id FROM oban_jobs
  WHERE state = 'available' AND queue = %s
  ORDER BY priority, scheduled_at, id
  LIMIT %s
  FOR UPDATE SKIP LOCKED
))
RETURNING
  j.id, j.worker, j.attempt, j.max_attempts, j.priority, j.args, j.meta, j.tags, j.inserted_at, j.scheduled_at,
  j.attempted_at
"""

ACK = f"""
UPDATE oban_jobs
SET state = 'completed', completed_at = {_NOW}
WHERE id = ANY (%s) AND state::text = 'executing'
"""

STAGE = f"""
UPDATE oban_jobs
SET state = 'available'
WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= {_NOW}
"""
