-- Select who leads as JSON objects, with the seconds until each lease ends.
-- Locks nothing.
SELECT CAST(json_build_object(
  'instance', name,
  'node', node,
  'expires_seconds', CASE
    WHEN isfinite(expires_at) THEN CAST(extract(epoch FROM expires_at - timezone('UTC', clock_timestamp())) AS float8)
    WHEN expires_at = 'infinity' THEN 1e9
    ELSE -1e9
  END
) AS text)
FROM {schema}.oban_leaders
ORDER BY name
