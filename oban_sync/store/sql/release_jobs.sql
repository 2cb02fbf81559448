-- Hand jobs back at a stop, by (id, attempt, owner), with the attempt that did not end restored, and notify their queue.
-- Ends one that was asked to stop as cancelled, a started last attempt as discarded; from the third time on, it counts.
-- Passes over rows that others hold.
WITH given AS (
  SELECT *
  FROM json_to_recordset(CAST(%(jobs)s AS json)) AS given (id bigint, attempt smallint, started boolean)
), moment AS (
  SELECT timezone('UTC', clock_timestamp()) AS now
), judged AS (
  SELECT
    j.id,
    given.started,
    given.started AND j.attempt >= j.max_attempts AS spent,
    coalesce(
      j.meta ->> 'cancel_attempted_at' ~ '^[0-9]{{4}}-'
      AND (j.meta ->> 'cancel_attempted_at') COLLATE "C" >= to_jsonb(j.attempted_at) #>> '{{}}', false
    ) AS asked,
    CASE WHEN j.meta ->> 'handed_back' ~ '^[0-9]{{1,9}}$' THEN (j.meta ->> 'handed_back')::int ELSE 0 END AS count
  FROM {schema}.oban_jobs AS j
  JOIN given ON j.id = given.id AND j.attempt = given.attempt
  WHERE j.attempted_by[2] = %(owner)s AND j.state::text = 'executing'
  FOR UPDATE OF j SKIP LOCKED
), released AS (
  UPDATE {schema}.oban_jobs AS j
  SET
    state = CASE
      WHEN asked THEN 'cancelled' WHEN spent THEN 'discarded' ELSE 'available'
    END::{schema}.oban_job_state,
    attempt = j.attempt - CASE WHEN spent OR started AND count >= 2 THEN 0 ELSE 1 END,
    cancelled_at = CASE WHEN asked THEN moment.now ELSE j.cancelled_at END,
    discarded_at = CASE WHEN spent AND NOT asked THEN moment.now ELSE j.discarded_at END,
    errors = CASE WHEN spent THEN j.errors || jsonb_build_object(
      'attempt', j.attempt,
      'at', to_char(moment.now, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'error', 'The node stopped before this last attempt ended'
    ) ELSE j.errors END,
    meta = CASE WHEN started THEN j.meta || jsonb_build_object('handed_back', count + 1) ELSE j.meta END
  FROM judged, moment
  WHERE j.id = judged.id
  RETURNING j.id, j.state::text AS state, j.queue
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM (SELECT DISTINCT queue FROM released WHERE state = 'available') AS ready
)
SELECT id, state FROM released WHERE (SELECT count FROM woken) >= 0
