-- Select the jobs that wait for their first run, the newest first, each as JSON, which drivers do not decode.
-- Locks nothing.
SELECT CAST(row_to_json(j) AS text)
FROM {schema}.oban_jobs AS j
WHERE j.state IN ('available', 'scheduled', 'suspended')
ORDER BY j.id DESC
