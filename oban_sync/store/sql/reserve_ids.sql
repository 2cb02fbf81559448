-- Take ids for jobs that this transaction will insert, in rising order; tell the time (microseconds since 1970), and notify
-- their queues and, where the first of the others is due soon, the schedulers. Locks nothing; unused ids leave a gap.
WITH moment AS MATERIALIZED (
  SELECT clock_timestamp() AS now
), woken AS (
  SELECT count(pg_notify({insert_channel}, json_build_object('queue', queue)::text))
  FROM unnest(CAST(%(queues)s AS text[])) AS queue
), announced AS (
  SELECT count(pg_notify({due_channel}, extract(epoch FROM due)::text))
  FROM moment, LEAST(now + make_interval(secs => %(delay)s), to_timestamp(%(due)s)) AS due
  WHERE due < now + interval '10 seconds'
)
SELECT
  ARRAY(
    SELECT nextval(sequence)
    FROM
      (SELECT pg_get_serial_sequence({jobs_table}, 'id')::regclass AS sequence OFFSET 0) AS ids,
      generate_series(1, %(count)s)
  )::text,
  CAST(extract(epoch FROM now) * 1000000 AS bigint)
FROM moment
WHERE (SELECT count FROM woken) + (SELECT count FROM announced) >= 0
