-- Take jobs back from owners that are dead, under a lock that lets one node at a time judge. Their attempt is not counted.
-- Locks the rows it takes back; passes over rows that others hold, and, since attempt and owner are compared again under
-- the lock, those that another judge took back and a node took since this statement began.
WITH moment AS MATERIALIZED (
  SELECT timezone('UTC', clock_timestamp()) AS now
), judge AS MATERIALIZED (
  SELECT 1
  WHERE
    clock_timestamp() - pg_postmaster_start_time() > interval '10 seconds'
    AND pg_try_advisory_xact_lock({lock_class}, hashtext({prefix}))
), senior AS (
  SELECT 1
  FROM {schema}.oban_producers, moment
  WHERE uuid = CAST(%(judge)s AS uuid) AND started_at < moment.now - interval '20 seconds'
), held AS MATERIALIZED (
  SELECT objid::bigint AS key
  FROM pg_locks
  WHERE
    locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = {lock_class}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), running AS (
  SELECT
    j.id,
    j.attempt,
    j.attempted_by[2] AS owner,
    j.attempted_at,
    j.attempted_by[2] LIKE {owner_pattern} AS ours,
    p.updated_at AS beat,
    coalesce(p.meta ->> 'locks', 'true') = 'true' AS locks,
    EXISTS (SELECT 1 FROM held WHERE key = hashtext(j.attempted_by[2])::bigint & 4294967295) AS locked
  FROM {schema}.oban_jobs AS j
  LEFT JOIN {schema}.oban_producers AS p ON p.uuid::text = j.attempted_by[2]
  WHERE j.state = 'executing' AND EXISTS (SELECT 1 FROM judge)
), dead AS (
  SELECT running.id, running.attempt, running.owner
  FROM running, moment
  WHERE CASE
    WHEN ours AND beat IS NOT NULL THEN
      beat < moment.now - make_interval(secs => CASE WHEN locked THEN %(held_lease)s WHEN locks THEN %(free_lease)s
                                                     ELSE %(lockless_lease)s END)
    WHEN ours THEN
      NOT locked AND attempted_at < moment.now - interval '20 seconds' AND EXISTS (SELECT 1 FROM senior)
    ELSE
      beat < moment.now - interval '60 seconds'
      AND attempted_at < moment.now - make_interval(secs => %(rescue_after)s)
  END
), taken AS (
  SELECT
    j.id,
    CASE WHEN j.meta ->> 'rescued' ~ '^[0-9]{{1,9}}$' THEN (j.meta ->> 'rescued')::int ELSE 0 END AS count,
    coalesce(
      j.meta ->> 'cancel_attempted_at' ~ '^[0-9]{{4}}-'
      AND (j.meta ->> 'cancel_attempted_at') COLLATE "C" >= to_jsonb(j.attempted_at) #>> '{{}}', false
    ) AS asked
  FROM {schema}.oban_jobs AS j
  JOIN dead ON dead.id = j.id AND dead.attempt = j.attempt AND dead.owner IS NOT DISTINCT FROM j.attempted_by[2]
  WHERE j.state = 'executing'
  ORDER BY j.id
  LIMIT %(limit)s
  FOR UPDATE OF j SKIP LOCKED
), rescued AS (
  UPDATE {schema}.oban_jobs AS j
  SET
    state = CASE
      WHEN taken.asked THEN 'cancelled' WHEN j.attempt >= j.max_attempts THEN 'discarded' ELSE 'available'
    END::{schema}.oban_job_state,
    cancelled_at = CASE WHEN taken.asked THEN moment.now ELSE j.cancelled_at END,
    discarded_at = CASE WHEN j.attempt >= j.max_attempts AND NOT taken.asked THEN moment.now ELSE j.discarded_at END,
    errors = j.errors || jsonb_build_object(
      'attempt', j.attempt,
      'at', to_char(moment.now, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'error', 'The process that ran this job ended before the job did: node ' || coalesce(j.attempted_by[1], 'unknown')
    ),
    max_attempts = CASE
      WHEN taken.count < %(free_rescues)s AND j.attempt < j.max_attempts THEN least(j.max_attempts + 1, 32767)
      ELSE j.max_attempts
    END,
    meta = j.meta || jsonb_build_object('rescued', taken.count + 1)
  FROM taken, moment
  WHERE j.id = taken.id
  RETURNING j.id, j.state::text AS state, j.queue
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM (SELECT DISTINCT queue FROM rescued WHERE state = 'available') AS ready
)
SELECT id, state, queue FROM rescued WHERE (SELECT count FROM woken) >= 0 ORDER BY id
