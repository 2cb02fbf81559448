-- Say in how many seconds the next lease of an oban_sync node lapses, unless it is renewed until then. Locks nothing.
WITH moment AS (
  SELECT timezone('UTC', clock_timestamp()) AS now
), leases AS (
  SELECT updated_at + make_interval(secs => %(lease)s) - moment.now AS remaining
  FROM {schema}.oban_producers, moment
  WHERE meta ->> 'oban_sync' IS NOT NULL
)
SELECT CAST(extract(epoch FROM min(remaining)) AS float8)
FROM leases
WHERE remaining > interval '0'
